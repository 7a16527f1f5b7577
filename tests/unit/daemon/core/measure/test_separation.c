#include "daemon/core/measure/separation.h"

#include "tests/lib/cmocka.h"

#include <math.h>

static void a_constant_factor_a_layer_is_a_straight_line(void **state)
{
    const double nc1[] = {80, 20, 5, 1.25};
    struct separation s = separation_fit(4, nc1);

    (void)state;
    assert_int_equal(s.n_layers, 4);
    assert_true(fabs(s.slope - log(0.25)) < 1e-14 && fabs(s.r2 - 1) < 1e-14);
}

/* By hand: y = 0, 2, 1 over x = 0, 1, 2 has slope 1/2 and R^2 1/4. */
static void other_series_have_the_slope_and_r2_of_least_squares(void **state)
{
    const double nc1[] = {1, exp(2), exp(1)};
    struct separation s = separation_fit(3, nc1);

    (void)state;
    assert_true(fabs(s.slope - 0.5) < 1e-14 && fabs(s.r2 - 0.25) < 1e-14);
}

static void a_layer_without_nc1_keeps_its_place(void **state)
{
    const double nc1[] = {64, (double)NAN, 16, 0, 4, INFINITY};
    struct separation s = separation_fit(6, nc1);

    (void)state;
    assert_int_equal(s.n_layers, 3);
    assert_true(fabs(s.slope - log(0.5)) < 1e-14 && fabs(s.r2 - 1) < 1e-14);
}

static void two_layers_are_no_line(void **state)
{
    const double nc1[] = {2, 1, (double)NAN};

    (void)state;
    assert_true(isnan(separation_fit(3, nc1).slope) && isnan(separation_fit(3, nc1).r2));
    assert_int_equal(separation_fit(3, nc1).n_layers, 2);
    assert_int_equal(separation_fit(0, nc1).n_layers, 0);
}

static void equal_layers_have_a_slope_of_0_and_no_r2(void **state)
{
    const double nc1[] = {3, 3, 3};
    struct separation s = separation_fit(3, nc1);

    (void)state;
    assert_true(s.slope == 0 && isnan(s.r2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_factor_a_layer_is_a_straight_line),
        cmocka_unit_test(other_series_have_the_slope_and_r2_of_least_squares),
        cmocka_unit_test(a_layer_without_nc1_keeps_its_place),
        cmocka_unit_test(two_layers_are_no_line),
        cmocka_unit_test(equal_layers_have_a_slope_of_0_and_no_r2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
