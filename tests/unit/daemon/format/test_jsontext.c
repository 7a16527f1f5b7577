/* What is written without a tree is what cJSON would write of one. */
#include "daemon/format/jsontext.h"

#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

static void expect(struct jsontext *out, const char *expected)
{
    assert_false(out->failed);
    assert_int_equal(out->size, strlen(expected));
    assert_memory_equal(out->text, expected, out->size);
    jsontext_clear(out);
}

/* Each byte beside others, as cJSON writes it. */
static void texts_are_escaped_as_cjson_does(void **state)
{
    struct jsontext out = {0};
    char text[8];

    (void)state;
    for (int c = 1; c < 256; c++) {
        cJSON *string;
        char *expected;

        snprintf(text, sizeof text, "a%cb%c", c, c);
        string = cJSON_CreateString(text);
        expected = json_print(string);
        jsontext_put_text(&out, text);
        expect(&out, expected);
        cJSON_free(expected);
        cJSON_Delete(string);
    }
    jsontext_put_text(&out, "");
    expect(&out, "\"\"");
    jsontext_release(&out);
}

static void numbers_and_json_go_in_as_they_are(void **state)
{
    struct jsontext out = {0};

    (void)state;
    jsontext_put_number(&out, 0.1);
    jsontext_puts(&out, ",");
    jsontext_put_number(&out, (double)NAN);
    jsontext_puts(&out, ",");
    jsontext_put_integer(&out, INT64_MIN);
    expect(&out, "0.1,null,-9223372036854775808");
    jsontext_put_json(&out, "{\"a\":\r\n[1,\n2]}\n");
    expect(&out, "{\"a\":  [1, 2]} ");
    jsontext_put_json(&out, "");
    expect(&out, "null");
    jsontext_release(&out);
}

static void a_text_grows_as_it_must(void **state)
{
    enum { N = 100000 };
    struct jsontext out = {0};

    (void)state;
    for (int i = 0; i < N; i++)
        jsontext_put_integer(&out, i % 10);
    assert_int_equal(out.size, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(out.text[i], '0' + i % 10);
    jsontext_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_escaped_as_cjson_does),
        cmocka_unit_test(numbers_and_json_go_in_as_they_are),
        cmocka_unit_test(a_text_grows_as_it_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
