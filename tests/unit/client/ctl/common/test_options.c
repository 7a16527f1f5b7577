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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(wrong_options_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
