#include "proto/json.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_refused(const char *text, size_t size)
{
    struct err e = {""};
    cJSON *value = json_parse(text, size, &e);

    if (value)
        print_error("taken: %.60s\n", text);
    assert_null(value);
    assert_true(e.text[0] != '\0');
}

static cJSON *taken(const char *text)
{
    struct err e = {""};
    cJSON *value = json_parse(text, strlen(text), &e);

    if (!value)
        print_error("refused: %s: %s\n", text, e.text);
    assert_non_null(value);
    return value;
}

static void bad_json_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "[1] [2]",
        "{\"a\":1,\"a\":2}",
        "[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]",
        "{\"a\":1,\"\\u0061\":2}",
        "1",
        "\"text\"",
        "null",
        "[1e999]",
        "[-1e999]",
        "[NaN]",
        "[Infinity]",
        "{\"a\":\"\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"a\":\"x\ty\"}",
        "{\"a\":\"x\ny\"}",
        "{'a':1}",
        "[1,]",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "{\"a\":\"\xe2\x98\"}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_refused(texts[i], strlen(texts[i]));
}

static void nul_byte_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    assert_refused("{\"a\":1}\0", 8);
    assert_refused("{\"a\":\"\0\"}", 9);
    assert_refused("\0{\"a\":1}", 8);
}

/* An escaped backslash before u0000 is text, not a NUL. */
static void backslash_before_u0000_is_text(void **state)
{
    cJSON *value = taken("{\"a\":\"\\\\u0000\"}");
    const char *text = NULL;

    (void)state;
    assert_int_equal(json_text(value, "a", 16, &text, NULL), 1);
    assert_string_equal(text, "\\u0000");
    cJSON_Delete(value);
    assert_refused("{\"a\":\"\\\\\\u0000\"}", strlen("{\"a\":\"\\\\\\u0000\"}"));
}

static char *nested(size_t depth)
{
    char *text = calloc(2 * depth + 1, 1);

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

static void depth_is_bounded(void **state)
{
    char *good = nested(JSON_MAX_DEPTH), *bad = nested(JSON_MAX_DEPTH + 1), *worse = nested(1001);

    (void)state;
    cJSON_Delete(taken(good));
    assert_refused(bad, strlen(bad));
    assert_refused(worse, strlen(worse));
    free(good);
    free(bad);
    free(worse);
}

static void brackets_in_text_are_no_depth(void **state)
{
    (void)state;
    cJSON_Delete(taken("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"}"));
}

/* Half a million values in 1 MiB would become 32 MB of cJSON and more. */
static void size_and_number_of_values_are_bounded(void **state)
{
    size_t size = JSON_MAX_SIZE + 1;
    char *text = malloc(size);

    (void)state;
    memset(text, ' ', size);
    memcpy(text, "[]", 2);
    assert_refused(text, size);
    cJSON_Delete(json_parse(text, JSON_MAX_SIZE, NULL));
    for (size_t i = 1; i < JSON_MAX_SIZE - 1; i++)
        text[i] = i % 2 ? '1' : ',';
    text[JSON_MAX_SIZE - 1] = ']';
    assert_refused(text, JSON_MAX_SIZE);
    free(text);
}

static void largest_text_is_taken(void **state)
{
    char *text = malloc(JSON_MAX_SIZE);
    cJSON *value;

    (void)state;
    memset(text, 'x', JSON_MAX_SIZE);
    memcpy(text, "[\"", 2);
    memcpy(text + JSON_MAX_SIZE - 2, "\"]", 2);
    value = json_parse(text, JSON_MAX_SIZE, NULL);
    assert_non_null(value);
    cJSON_Delete(value);
    free(text);
}

static void integers_are_exact_or_refused(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } rows[] = {
        {"{\"a\":0}", 1, 0},
        {"{\"a\":-5}", 1, -5},
        {"{\"a\":9007199254740991}", 1, 9007199254740991},
        {"{\"a\":\"9007199254740993\"}", 1, 9007199254740993},
        {"{\"a\":\"9223372036854775807\"}", 1, INT64_MAX},
        {"{\"a\":\"9223372036854775808\"}", -EPROTO, 0},
        {"{\"a\":9007199254740992}", -EPROTO, 0},
        {"{\"a\":9007199254740993}", -EPROTO, 0},
        {"{\"a\":9007199254740994}", -EPROTO, 0},
        {"{\"a\":1.5}", -EPROTO, 0},
        {"{\"a\":1e300}", -EPROTO, 0},
        {"{\"a\":\"\"}", -EPROTO, 0},
        {"{\"a\":\" 1\"}", -EPROTO, 0},
        {"{\"a\":\"1x\"}", -EPROTO, 0},
        {"{\"a\":true}", -EPROTO, 0},
        {"{\"a\":null}", 0, 7},
        {"{\"A\":1}", 0, 7},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        cJSON *object = taken(rows[i].text);
        int64_t value = 7;
        struct err e = {""};

        assert_int_equal(json_integer(object, "a", INT64_MIN, INT64_MAX, &value, &e), rows[i].rc);
        assert_int_equal(value, rows[i].rc < 0 ? 7 : rows[i].value);
        assert_int_equal(e.text[0] != '\0', rows[i].rc < 0);
        cJSON_Delete(object);
    }
}

/* 2^53 + 1 is not a double: read as a number it would silently be 2^53. */
static void two_to_53_plus_1_is_never_read_as_another(void **state)
{
    cJSON *object = taken("{\"a\":9007199254740993}");
    int64_t value = 7;

    (void)state;
    assert_int_equal(json_integer(object, "a", 0, (int64_t)JSON_MAX_INTEGER - 1, &value, NULL),
                     -EPROTO);
    assert_int_equal(value, 7);
    cJSON_Delete(object);
}

static void look_ups_tell_absent_from_wrong(void **state)
{
    cJSON *object = taken("{\"t\":\"four\",\"n\":1.5,\"z\":null}");
    const char *text = "as before";
    double value = 7;

    (void)state;
    assert_int_equal(json_text(object, "none", 9, &text, NULL), 0);
    assert_string_equal(text, "as before");
    assert_int_equal(json_text(object, "t", 3, &text, NULL), -EPROTO);
    assert_int_equal(json_text(object, "n", 9, &text, NULL), -EPROTO);
    assert_int_equal(json_text(object, "t", 4, &text, NULL), 1);
    assert_int_equal(json_number(object, "none", &value, NULL), 0);
    assert_true(value == 7);
    assert_int_equal(json_number(object, "t", &value, NULL), -EPROTO);
    assert_int_equal(json_number(object, "n", &value, NULL), 1);
    assert_true(value == 1.5);
    assert_int_equal(json_number(object, "z", &value, NULL), 1);
    assert_true(isnan(value));
    cJSON_Delete(object);
}

static double random_double(uint64_t *seed)
{
    double value;

    do {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        memcpy(&value, seed, sizeof value);
    } while (!isfinite(value));
    return value;
}

static void a_word_is_one_of_those_known_or_all_are_named(void **state)
{
    static const char *const words[] = {"auto", "span", "top", "ridge", NULL};
    cJSON *object = taken("{\"a\":\"top\",\"b\":\"topp\",\"c\":3}");
    int place = 7;
    struct err e;

    (void)state;
    assert_int_equal(json_word(object, "absent", words, &place, &e), 0);
    assert_int_equal(place, 7);
    assert_int_equal(json_word(object, "a", words, &place, &e), 1);
    assert_int_equal(place, 2);
    assert_int_equal(json_word(object, "b", words, &place, &e), -EPROTO);
    assert_string_equal(
        e.text, "\"b\" is \"topp\", expected one of \"auto\", \"span\", \"top\", \"ridge\"");
    assert_int_equal(json_word(object, "c", words, &place, &e), -EPROTO);
    cJSON_Delete(object);
}

static void assert_reads_back(double value)
{
    cJSON *array = cJSON_CreateArray(), *again;
    char *text;

    assert_true(json_push_double(array, value));
    text = json_print(array);
    again = json_parse(text, strlen(text), NULL);
    assert_non_null(again);
    assert_memory_equal(&again->child->valuedouble, &value, sizeof value);
    cJSON_Delete(again);
    cJSON_free(text);
    cJSON_Delete(array);
}

static void ten_thousand_doubles_read_back_the_same(void **state)
{
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_reads_back(random_double(&seed));
    for (int i = 0; i < 1000; i++)
        assert_reads_back(i / 1000.0);
    assert_reads_back(-0.0);
    assert_reads_back(5e-324);
}

/* A machine need not have a locale with a comma: the test makes one. */
static void decimal_comma_of_a_locale_changes_nothing(void **state)
{
    char folder[] = "/tmp/richd-locale.XXXXXX", command[128];
    uint64_t seed = 5;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8", folder);
    assert_int_equal(system(command), 0);
    setenv("LOCPATH", folder, 1);
    assert_non_null(setlocale(LC_NUMERIC, "de_DE.UTF-8"));
    for (int i = 0; i < 100; i++)
        assert_reads_back(random_double(&seed));
    assert_reads_back(0.5);
    setlocale(LC_NUMERIC, "C");
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void not_finite_is_null_and_counters_are_text(void **state)
{
    cJSON *object = cJSON_CreateObject();
    char *text;

    (void)state;
    assert_true(json_add_double(object, "a", NAN));
    assert_true(json_add_double(object, "b", -INFINITY));
    assert_true(json_add_counter(object, "c", UINT64_MAX));
    assert_true(json_add_integer(object, "d", INT64_MIN));
    text = json_print(object);
    assert_string_equal(text, "{\"a\":null,\"b\":null,\"c\":\"18446744073709551615\","
                              "\"d\":-9223372036854775808}");
    cJSON_free(text);
    cJSON_Delete(object);
}

static void utf8_is_checked_at_every_boundary(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"a", true},
        {"\x7f", true},
        {"\x80", false},
        {"\xc1\xbf", false},
        {"\xc2\x80", true},
        {"\xc2\x7f", false},
        {"\xc2\xc0", false},
        {"\xc2", false},
        {"\xdf\xbf", true},
        {"\xe0\x9f\xbf", false},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xef\xbf\xbf", true},
        {"\xef\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xf0\x90\x80\x7f", false},
        {"\xff", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(json_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].valid);
    assert_false(json_utf8_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_json_is_refused),
        cmocka_unit_test(nul_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(backslash_before_u0000_is_text),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(brackets_in_text_are_no_depth),
        cmocka_unit_test(size_and_number_of_values_are_bounded),
        cmocka_unit_test(largest_text_is_taken),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(two_to_53_plus_1_is_never_read_as_another),
        cmocka_unit_test(look_ups_tell_absent_from_wrong),
        cmocka_unit_test(a_word_is_one_of_those_known_or_all_are_named),
        cmocka_unit_test(ten_thousand_doubles_read_back_the_same),
        cmocka_unit_test(decimal_comma_of_a_locale_changes_nothing),
        cmocka_unit_test(not_finite_is_null_and_counters_are_text),
        cmocka_unit_test(utf8_is_checked_at_every_boundary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
