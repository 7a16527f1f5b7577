#include "client/ctl/common/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct options *o, struct err *e, const char *const *argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return options_parse(argc, argv, o, e);
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

static void sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},
                {"1", 1},
                {"500M", 500 << 20},
                {"2G", (int64_t)2 << 30},
                {"1.5k", 1536},
                {"2GiB", (int64_t)2 << 30},
                {"7B", 7},
                {"1T", (int64_t)1 << 40}};
    static const char *const bad[] = {"", "G", "-1G", "1X", "1GG", "1e99", "nan", "1iB", " 1"};
    struct options o;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *argv[] = {"richctl", "--max-bytes", good[i].text, NULL};

        assert_int_equal(parse(&o, &e, argv), 0);
        assert_int_equal(o.max_bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *argv[] = {"richctl", "--max-bytes", bad[i], NULL};

        assert_true(parse(&o, &e, argv) < 0);
        assert_non_null(strstr(e.text, "--max-bytes takes a size"));
    }
}

static void behind_tag_a_dash_is_a_word(void **state)
{
    const char *argv[] = {"richctl", "tag", "r", "-a", "--json", NULL};
    const char *other[] = {"richctl", "hide", "r", "-a", NULL};
    struct options o;
    struct err e;

    (void)state;
    assert_int_equal(parse(&o, &e, argv), 0);
    assert_int_equal(o.n_words, 3);
    assert_string_equal(o.words[2], "-a");
    assert_true(o.json);
    assert_true(parse(&o, &e, other) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(behind_tag_a_dash_is_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
