/* Which principal directions count, and how much. */
#include "tests/lib/cmocka.h"

#include <math.h>

#include "daemon/core/estimate/projector.h"

/* Ascending, as LAPACK gives them; the first is rounding. Their energy is 100. */
static const double values[] = {-1e-15, 1, 4, 15, 80};

static void auto_is_the_top_where_a_wide_span_holds_the_features(void **state)
{
    static const struct {
        struct projector_signs signs;
        bool top;
    } cases[] = {
        {{.n = 500, .p = 64, .c = 97, .r = 64, .u = 1, .outputs = DTYPE_F32}, true},
        {{.n = 500, .p = 64, .c = 62, .r = 60, .u = 1, .outputs = DTYPE_F32}, true},
        {{.n = 500, .p = 64, .c = 97, .r = 96, .u = 0.99, .outputs = DTYPE_F32}, false},
        {{.n = 500, .p = 64, .c = 97, .r = 50, .u = 0.9995, .outputs = DTYPE_F32}, false},
        {{.n = 500, .p = 64, .c = 97, .r = 50, .u = 0.9995, .outputs = DTYPE_BF16}, true},
        {{.n = 500, .p = 64, .c = 97, .r = 50, .u = 0.9995, .outputs = DTYPE_F16}, false},
        {{.n = 500, .p = 512, .c = 10, .r = 9, .u = 1, .outputs = DTYPE_F32}, false},
        {{.n = 40, .p = 64, .c = 97, .r = 39, .u = 1, .outputs = DTYPE_F32}, true},
        {{.n = 40, .p = 64, .c = 63, .r = 39, .u = 1, .outputs = DTYPE_F32}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(projector_takes_top(&cases[i].signs), cases[i].top);
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
        cmocka_unit_test(auto_is_the_top_where_a_wide_span_holds_the_features),
        cmocka_unit_test(the_span_and_the_ridge_keep_all_that_vary),
        cmocka_unit_test(the_top_is_a_number_or_the_fewest_with_a_share_of_the_energy),
        cmocka_unit_test(only_the_ridge_shrinks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
