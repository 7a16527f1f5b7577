#include "client/ctl/text.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/options.h"
#include "client/ctl/pointrow.h"
#include "client/ctl/table.h"

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

static void columns_of_a_table_are_aligned(void **state)
{
    struct table *t = table_new("lr");
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    table_add(t, "name");
    table_add(t, "step");
    table_add(t, "größe");
    table_addf(t, "%d", 12);
    table_add(t, "\033");
    table_add(t, NULL);
    assert_int_equal(table_print(t, out), 0);
    fclose(out);
    assert_string_equal(text, "name   step\ngröße    12\n\\x1b      -\n");
    free(text);
    table_free(t);
}

static int parse(struct options *o, struct err *e, const char *const *argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return options_parse(argc, argv, o, e);
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

/* The line of a point with everything, in so many columns. */
static void assert_point_row(size_t columns, const char *expected)
{
    cJSON *number = cJSON_CreateNumber(0.5);
    const cJSON *parts[POINT_PARTS];
    struct pointrow row = {"a-run-with-a-long-name", "layer.0.head", parts, NULL};
    struct pointrow_format f = {.run = true, .layer = true, .columns = columns};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    for (int i = 0; i < POINT_PARTS; i++)
        parts[i] = number;
    for (int i = METRIC_D_LR; i <= METRIC_PR; i++)
        f.shown[i] = true;
    pointrow_print(&f, &row, out);
    fclose(out);
    assert_string_equal(text, expected);
    assert_true(columns == 0 || text_width(text) <= columns + 1);
    free(text);
    cJSON_Delete(number);
}

static void rows_of_points_fit_the_terminal(void **state)
{
    (void)state;
    assert_point_row(40, "a-run-w…  lay…           0     0.5000\n");
    assert_point_row(80, "a-run-with-a-lo…  layer.0…           0          0     0.5000\n");
    assert_point_row(0, "a-run-with-a-long-name    layer.0.head           0          0     0.5000"
                        "     0.5000     0.5000     0.5000\n");
}

static void options_stand_anywhere(void **state)
{
    const char *argv[] = {"richctl", "--json", "series", "--from=5", "x",
                          "--to",    "7",      "--",     "-y",       NULL};
    struct options o;
    struct err e;

    (void)state;
    assert_int_equal(parse(&o, &e, argv), 0);
    assert_true(o.json);
    assert_int_equal(o.from, 5);
    assert_int_equal(o.to, 7);
    assert_int_equal(o.points, -1);
    assert_int_equal(o.n_words, 3);
    assert_string_equal(o.words[2], "-y");
    assert_int_equal(options_check(&o, FOR_SERIES, "series", &e), 0);
    assert_true(options_check(&o, FOR_TAIL, "tail", &e) < 0);
    assert_string_equal(e.text, "--from does not go with tail");
}

static void wrong_options_are_named(void **state)
{
    const char *unknown[] = {"richctl", "--layr", "x", NULL};
    const char *far[] = {"richctl", "--nope", NULL};
    const char *missing[] = {"richctl", "--layer", NULL};
    const char *number[] = {"richctl", "--from", "1x", NULL};
    const char *range[] = {"richctl", "--points=3", NULL};
    const char *flag[] = {"richctl", "--json=yes", NULL};
    const char *axes[] = {"richctl", "--logx", "--linx", NULL};
    struct options o;
    struct err e;

    (void)state;
    assert_true(parse(&o, &e, unknown) < 0);
    assert_string_equal(e.text, "unknown option --layr; did you mean --layer?");
    assert_true(parse(&o, &e, far) < 0);
    assert_string_equal(e.text, "unknown option --nope");
    assert_true(parse(&o, &e, missing) < 0);
    assert_string_equal(e.text, "--layer needs a value: --layer L");
    assert_true(parse(&o, &e, number) < 0);
    assert_non_null(strstr(e.text, "\"1x\""));
    assert_true(parse(&o, &e, range) < 0);
    assert_true(parse(&o, &e, flag) < 0);
    assert_true(parse(&o, &e, axes) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(bytes_that_are_no_text_are_escaped),
        cmocka_unit_test(numbers_keep_what_people_read),
        cmocka_unit_test(ages_are_told_in_one_unit),
        cmocka_unit_test(columns_of_a_table_are_aligned),
        cmocka_unit_test(long_lines_are_folded_at_spaces),
        cmocka_unit_test(rows_of_points_fit_the_terminal),
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(wrong_options_are_named),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
