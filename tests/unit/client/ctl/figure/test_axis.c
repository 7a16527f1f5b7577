#include "client/ctl/figure/axis.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_labels(const struct axis *a, const char *expected)
{
    char text[256] = "";

    for (size_t i = 0; i < a->n_ticks; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, a->ticks[i].label);
    }
    assert_string_equal(text, expected);
}

static void values_get_round_ends_and_ticks(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_values(&a, 0.06, 0.54, 6);
    assert_labels(&a, "0.0 0.1 0.2 0.3 0.4 0.5 0.6");
    axis_fit_values(&a, 3, 97, 5);
    assert_labels(&a, "0 20 40 60 80 100");
    axis_fit_values(&a, -0.013, 0.02, 4);
    assert_labels(&a, "-0.02 -0.01 0.00 0.01 0.02");
}

static void a_constant_gets_a_range_around_it(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_values(&a, 0.5, 0.5, 4);
    assert_true(a.low < 0.5 && a.high > 0.5);
    assert_true(fabs(axis_position(&a, 0.5) - 0.5) < 0.2);
    axis_fit_values(&a, 0, 0, 4);
    assert_true(a.low < 0 && a.high > 0);
}

/* A scalar that diverges, and one that vanishes. */
static void values_at_the_ends_of_double_have_a_place(void **state)
{
    static const double ranges[][2] = {{-1e308, 1e308},  {1.7e308, 1.7e308}, {0, 5e-324},
                                       {5e-324, 5e-324}, {-1.7e308, 0},      {1, 1.7e308}};

    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct axis a;

        axis_fit_values(&a, ranges[i][0], ranges[i][1], 4);
        assert_true(isfinite(a.low) && isfinite(a.high) && a.high > a.low);
        for (int end = 0; end < 2; end++) {
            double place = axis_position(&a, ranges[i][end]);

            assert_true(place >= 0 && place <= 1);
        }
    }
}

/* Up to 2^53, where the next step and its logarithm are no other number. */
static void late_steps_have_a_place(void **state)
{
    static const double late[] = {4503599627370496.0, 9007199254740991.0, 9007199254740992.0};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof late / sizeof *late; i++) {
        struct axis a;
        double place;

        axis_fit_steps(&a, late[i / 2], late[i / 2], i % 2, 8);
        place = axis_position(&a, late[i / 2]);
        assert_true(a.high > a.low && place >= 0 && place <= 1);
    }
}

static void decades_are_equally_wide(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_steps(&a, 10, 1e6, true, 8);
    assert_labels(&a, "10 100 1000 10k 100k 1M");
    for (double v = 100; v <= 1e5; v *= 10)
        assert_true(fabs(axis_position(&a, 10 * v) - axis_position(&a, v) - 0.2) < 0.01);
}

static void step_zero_has_a_place_on_a_log_axis(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_steps(&a, 0, 1000, true, 8);
    assert_true(axis_position(&a, 0) == 0);
    assert_true(fabs(axis_position(&a, 1) - log(2) / log(1001)) < 1e-12);
    assert_labels(&a, "1 10 100 1000");
}

static void narrow_log_ranges_get_finer_ticks(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_steps(&a, 30, 2000, true, 8);
    assert_labels(&a, "50 100 200 500 1000 2000");
    axis_fit_steps(&a, 546, 1080, true, 8);
    assert_labels(&a, "600 700 800 900 1000");
    axis_fit_steps(&a, 1000, 1005, true, 5);
    assert_labels(&a, "1000 1001 1002 1003 1004 1005");
}

static void linear_steps_are_whole(void **state)
{
    struct axis a;

    (void)state;
    axis_fit_steps(&a, 7, 7, false, 5);
    assert_labels(&a, "7 8");
    axis_fit_steps(&a, 10, 20000, false, 5);
    assert_labels(&a, "5000 10k 15k 20k");
    axis_fit_steps(&a, 0, 3e6, false, 6);
    assert_labels(&a, "0 500k 1M 1.5M 2M 2.5M 3M");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_get_round_ends_and_ticks),
        cmocka_unit_test(a_constant_gets_a_range_around_it),
        cmocka_unit_test(values_at_the_ends_of_double_have_a_place),
        cmocka_unit_test(late_steps_have_a_place),
        cmocka_unit_test(decades_are_equally_wide),
        cmocka_unit_test(step_zero_has_a_place_on_a_log_axis),
        cmocka_unit_test(narrow_log_ranges_get_finer_ticks),
        cmocka_unit_test(linear_steps_are_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
