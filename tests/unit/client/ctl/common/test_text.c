#include "client/ctl/common/text.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_escaped(const char *text, const char *expected)
{
    char *escaped = text_escape(text);

    assert_string_equal(escaped, expected);
    free(escaped);
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    assert_escaped("a\033[2Jb\n\x7f", "a\\x1b[2Jb\\x0a\\x7f");
    assert_escaped("\xc2\x9b 31m", "\\u009b 31m");
    assert_escaped("x\xe2\x80\xaey", "x\\u202ey");
    assert_escaped("größe 模型 ●", "größe 模型 ●");
    assert_escaped(NULL, "");
}

static void bytes_that_are_no_text_are_escaped(void **state)
{
    (void)state;
    assert_escaped("a\xe2\x80", "a\\xe2\\x80");
    assert_escaped("\xf0", "\\xf0");
}

static void numbers_keep_what_people_read(void **state)
{
    char b[TEXT_SIZE];

    (void)state;
    assert_string_equal(text_number(0.0941, b), "0.0941");
    assert_string_equal(text_number(80, b), "80.00");
    assert_string_equal(text_number(0, b), "0.0000");
    assert_string_equal(text_number(1e-5, b), "1.000e-05");
    assert_string_equal(text_number(123456, b), "123456");
    assert_string_equal(text_number(NAN, b), "-");
}

static void ages_are_told_in_one_unit(void **state)
{
    char b[TEXT_SIZE];

    (void)state;
    assert_string_equal(text_age(100, 101, b), "now");
    assert_string_equal(text_age(200, 100, b), "now");
    assert_string_equal(text_age(0, 59, b), "59 s ago");
    assert_string_equal(text_age(0, 200, b), "3 min ago");
    assert_string_equal(text_age(0, 7300, b), "2 h ago");
    assert_string_equal(text_age(0, 86400 * 3.5, b), "3 days ago");
    assert_string_equal(text_age(NAN, 1, b), "-");
}

static void assert_folded(const char *line, size_t columns, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    text_print_folded(line, columns, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void long_lines_are_folded_at_spaces(void **state)
{
    (void)state;
    assert_folded("", 10, "\n");
    assert_folded("one two", 10, "one two\n");
    assert_folded("one two three four", 10, "one two\n    three\n    four\n");
    assert_folded("unbreakable-word", 10, "unbreakabl\n    e-word\n");
    assert_folded("a b", 1, "a\nb\n");
    assert_folded("日本語", 4, "日本\n語\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(bytes_that_are_no_text_are_escaped),
        cmocka_unit_test(numbers_keep_what_people_read),
        cmocka_unit_test(ages_are_told_in_one_unit),
        cmocka_unit_test(long_lines_are_folded_at_spaces),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
