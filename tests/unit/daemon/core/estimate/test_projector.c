/* Which principal directions count, and how much. */
#include "tests/lib/cmocka.h"

#include <math.h>

#include "daemon/core/estimate/projector.h"

/* Ascending, as LAPACK gives them; the first is rounding. Their energy is 100. */
static const double values[] = {-1e-15, 1, 4, 15, 80};

static void a_policy_chooses_by_the_shape(void **state)
{
    struct projector ridge = {.kind = PROJECTOR_RIDGE, .lambda = 0.5};
    struct projector automatic = {.kind = PROJECTOR_AUTO, .energy = 0.9};

    (void)state;
    assert_int_equal(projector_for(automatic, 4, 3).kind, PROJECTOR_SPAN);
    assert_int_equal(projector_for(automatic, 4, 4).kind, PROJECTOR_TOP);
    assert_int_equal(projector_for(ridge, 4, 4).kind, PROJECTOR_RIDGE);
}

static void the_span_and_the_ridge_keep_all_that_vary(void **state)
{
    struct projector span = {.kind = PROJECTOR_SPAN};
    struct projector ridge = {.kind = PROJECTOR_RIDGE, .lambda = 0.5};

    (void)state;
    assert_int_equal(projector_count(&span, 5, values, 4), 4);
    assert_int_equal(projector_count(&ridge, 5, values, 4), 4);
}

static void the_top_is_a_number_or_the_fewest_with_a_share_of_the_energy(void **state)
{
    struct projector top = {.kind = PROJECTOR_TOP, .k = 2};

    (void)state;
    assert_int_equal(projector_count(&top, 5, values, 4), 2);
    top.k = 9;
    assert_int_equal(projector_count(&top, 5, values, 4), 4);
    top.k = 0;
    top.energy = 0.8;
    assert_int_equal(projector_count(&top, 5, values, 4), 1);
    top.energy = 0.81;
    assert_int_equal(projector_count(&top, 5, values, 4), 2);
    top.energy = 1;
    assert_int_equal(projector_count(&top, 5, values, 4), 4);
    assert_int_equal(projector_count(&top, 5, values, 3), 3);
}

static void only_the_ridge_shrinks(void **state)
{
    struct projector top = {.kind = PROJECTOR_TOP, .k = 2};
    struct projector ridge = {.kind = PROJECTOR_RIDGE, .lambda = 0.5};

    (void)state;
    assert_true(projector_weight(&top, 15, 80) == 1);
    assert_true(projector_weight(&ridge, 80, 80) == 80.0 / 120);
    assert_true(projector_weight(&ridge, 15, 80) == 15.0 / 55);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_chooses_by_the_shape),
        cmocka_unit_test(the_span_and_the_ridge_keep_all_that_vary),
        cmocka_unit_test(the_top_is_a_number_or_the_fewest_with_a_share_of_the_energy),
        cmocka_unit_test(only_the_ridge_shrinks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
