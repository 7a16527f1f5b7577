/* Windows with fewer rows than features: measured from XX', without X'X. The two forms must agree,
 * and a window that grows beyond its features must not show that it began with the other one. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/kernel.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reduced.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* Both forms in double: n products and p of them, 2^-53 sqrt(n p) of ||X'X|| at worst, divided by
 * what the de-biased estimate leaves of it (1/20) and, for the errors, by the single precision of
 * the p x p form there (see test_jackknife.c). */
#define TOLERANCE        1e-9
#define TOLERANCE_ERRORS 1e-6

struct short_window {
    struct sample s;
    struct moments m;
    struct fold *fold;
    double *weights;
};

static void start(struct short_window *w, size_t n, size_t p, size_t c, enum dtype d)
{
    struct random r;

    memset(w, 0, sizeof *w);
    random_seed(&r, n * p);
    sample_init(&w->s, n, p, c);
    sample_fill(&w->s, &r, 5, 2);
    sample_encode(&w->s, d, d);
    assert_int_equal(moments_init(&w->m, p, c, 0), 0);
    w->m.reservoir = reservoir_new(p, c, 0);
    w->fold = fold_new(p, c, 1);
    assert_non_null(w->m.reservoir);
    assert_non_null(w->fold);
}

static void end(struct short_window *w)
{
    reservoir_free(w->m.reservoir);
    fold_free(w->fold);
    moments_release(&w->m);
    sample_release(&w->s);
    free(w->weights);
}

static void fold_rows(struct short_window *w, size_t from, size_t to, size_t batch)
{
    for (size_t at = from; at < to; at += batch) {
        size_t n = to - at < batch ? to - at : batch;
        struct rows rows = sample_rows(&w->s, at, n);

        rows.weights = w->weights ? w->weights + at : NULL;
        rows.weights_dtype = DTYPE_F64;
        fold_begin(w->fold, &w->m, 0);
        fold_add(w->fold, &rows, 0, n);
        fold_run(w->fold);
        assert_false(rows.refused);
    }
}

static struct point measure(struct short_window *w, bool may_wait, size_t batch)
{
    moments_reset(&w->m);
    w->m.may_wait = may_wait;
    fold_rows(w, 0, w->s.n, batch);
    return sample_measure(&w->s, &w->m);
}

static double difference(const struct point *a, const struct point *b, enum metric first,
                         enum metric last)
{
    double largest = 0;

    for (enum metric i = first; i <= last; i++) {
        assert_false(isnan(a->value[i]));
        largest = fmax(largest, fabs(a->value[i] / b->value[i] - 1));
    }
    return largest;
}

static void check_forms(const char *what, struct short_window *w, double tolerance)
{
    struct point rows = measure(w, true, 13), features = measure(w, false, 13);
    double measures = difference(&rows, &features, METRIC_D_LR, METRIC_PR);
    double errors = difference(&rows, &features, METRIC_D_LR_SE, METRIC_D_DEBIASED_SE);

    printf("%-28s forms differ by %.1e (tolerance %.0e), errors by %.1e\n", what, measures,
           tolerance, errors);
    assert_int_equal(rows.flags & FLAG_ROW_FORM, FLAG_ROW_FORM);
    assert_int_equal(features.flags & FLAG_ROW_FORM, 0);
    assert_int_equal(rows.flags & ~FLAG_ROW_FORM, features.flags);
    assert_int_equal(rows.rank, features.rank);
    assert_true(measures <= tolerance);
    assert_true(errors <= TOLERANCE_ERRORS);
}

static void both_forms_agree(void **state)
{
    static const size_t shapes[][3] = {
        {40, 41, 3}, {60, 300, 5}, {100, 1100, 4}, {300, 700, 20}, {1000, 1030, 3}};
    char what[64];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct short_window w;

        start(&w, shapes[i][0], shapes[i][1], shapes[i][2], DTYPE_F64);
        snprintf(what, sizeof what, "f64, n %zu p %zu C %zu", shapes[i][0], shapes[i][1],
                 shapes[i][2]);
        check_forms(what, &w, TOLERANCE);
        end(&w);
    }
}

/* The p x p form rounds the rows to single precision, the n x n form does not. */
static void f32_rows_agree_as_closely_as_they_are_promised(void **state)
{
    struct short_window w;

    (void)state;
    start(&w, 200, 600, 4, DTYPE_F32);
    check_forms("f32, n 200 p 600", &w, 1e-6);
    end(&w);
}

static void weighted_rows_agree(void **state)
{
    struct short_window w;
    struct random r;

    (void)state;
    start(&w, 90, 150, 3, DTYPE_F64);
    random_seed(&r, 3);
    w.weights = must_alloc(90 * sizeof(double));
    for (size_t i = 0; i < 90; i++)
        w.weights[i] = i % 7 == 0 ? 0 : 0.1 + random_uniform(&r);
    check_forms("f64, weighted", &w, TOLERANCE);
    end(&w);
}

static void the_row_form_is_the_reference(void **state)
{
    struct short_window w;
    struct point got;
    struct reference expected;

    (void)state;
    start(&w, 50, 120, 4, DTYPE_F64);
    got = measure(&w, true, 9);
    expected = sample_reference_kept(&w.s, NULL);
    assert_int_equal(got.flags & FLAG_ROW_FORM, FLAG_ROW_FORM);
    assert_true(fabsl(expected.d_lr - got.value[METRIC_D_LR]) <= 1e-11);
    assert_true(fabsl(expected.d_debiased - got.value[METRIC_D_DEBIASED]) <= 1e-11);
    assert_true(fabsl(expected.u - got.value[METRIC_U]) <= 1e-11);
    end(&w);
}

/* Of a window that is measured by rows no element of X'X is written. */
static void a_short_window_never_touches_features_by_features(void **state)
{
    struct short_window w;

    (void)state;
    start(&w, 100, 600, 2, DTYPE_F32);
    for (size_t i = 0; i < w.m.xx.n_values; i++)
        w.m.xx.values[i] = 7.25;
    measure(&w, true, 30);
    assert_true(w.m.by_rows);
    for (size_t i = 0; i < w.m.xx.n_values; i++)
        assert_true(w.m.xx.values[i] == 7.25);
    end(&w);
}

/* n passes p in the middle of a batch; or n passes what is kept, which is 1024 rows. */
static void a_window_that_grows_long_is_measured_by_features(void **state)
{
    static const size_t shapes[][2] = {{100, 99}, {100, 100}, {260, 64}, {1100, 1200}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct short_window w;
        struct point grown, whole;

        start(&w, shapes[i][0], shapes[i][1], 2, DTYPE_F64);
        grown = measure(&w, true, 37);
        whole = measure(&w, false, 37);
        assert_int_equal(grown.flags & FLAG_ROW_FORM, 0);
        assert_true(difference(&grown, &whole, METRIC_D_LR, METRIC_PR) <= TOLERANCE);
        end(&w);
    }
}

static void a_long_window_lets_the_next_one_begin_by_features(void **state)
{
    struct short_window w;

    (void)state;
    start(&w, 100, 50, 2, DTYPE_F64);
    assert_false(w.m.by_rows);
    fold_rows(&w, 0, 10, 10);
    assert_true(w.m.by_rows);
    fold_rows(&w, 10, 100, 10);
    moments_reset(&w.m);
    fold_rows(&w, 0, 10, 10);
    assert_false(w.m.by_rows); /* it is going to be long, too */
    moments_reset(&w.m);
    fold_rows(&w, 0, 10, 10);
    assert_true(w.m.by_rows); /* the last one was short after all */
    end(&w);
}

static void reduced_rows_end_the_waiting(void **state)
{
    struct short_window w;
    struct reduced other;
    struct point got;
    struct reference expected;

    (void)state;
    start(&w, 80, 90, 2, DTYPE_F64);
    reduced_init(&other, &w.s, 40, 60, DTYPE_F64);
    fold_rows(&w, 0, 40, 10);
    assert_true(w.m.by_rows);
    assert_int_equal(moments_absorb(&w.m, &other.view, 0), 0);
    assert_false(w.m.by_rows);
    fold_rows(&w, 60, 80, 20);
    got = sample_measure(&w.s, &w.m);
    expected = sample_reference(&w.s, NULL);
    assert_true(fabsl(expected.d_lr - got.value[METRIC_D_LR]) <= 1e-11);
    assert_true(fabsl(expected.d_debiased - got.value[METRIC_D_DEBIASED]) <= 1e-11);
    reduced_release(&other);
    end(&w);
}

static void features_that_do_not_vary_give_null(void **state)
{
    struct short_window w;
    struct point got;

    (void)state;
    start(&w, 20, 30, 2, DTYPE_F64);
    for (size_t i = 0; i < 600; i++)
        w.s.x[i] = 0.1;
    sample_encode(&w.s, DTYPE_F64, DTYPE_F64);
    got = measure(&w, true, 20);
    assert_int_equal(got.flags, FLAG_CONSTANT | FLAG_ROW_FORM);
    assert_true(isnan(got.value[METRIC_PR]));
    end(&w);
}

static void no_memory_is_said_and_leaks_nothing(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct short_window w;
    struct point got;
    size_t n_failed = 0;

    (void)state;
    start(&w, 60, 80, 2, DTYPE_F64);
    measure(&w, true, 60);
    for (long i = 1;; i++) {
        int rc;

        fault_arm(i);
        rc = measure_point(&w.m, &plan, &got, &none);
        if (!fault_disarm())
            break;
        assert_int_equal(rc, -ENOMEM);
        n_failed++;
    }
    assert_true(n_failed > 15);
    fault_arm(1);
    assert_int_equal(moments_make_xx(&w.m), -ENOMEM);
    assert_true(fault_disarm());
    assert_true(w.m.by_rows);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_agree),
        cmocka_unit_test(f32_rows_agree_as_closely_as_they_are_promised),
        cmocka_unit_test(weighted_rows_agree),
        cmocka_unit_test(the_row_form_is_the_reference),
        cmocka_unit_test(a_short_window_never_touches_features_by_features),
        cmocka_unit_test(a_window_that_grows_long_is_measured_by_features),
        cmocka_unit_test(a_long_window_lets_the_next_one_begin_by_features),
        cmocka_unit_test(reduced_rows_end_the_waiting),
        cmocka_unit_test(features_that_do_not_vary_give_null),
        cmocka_unit_test(no_memory_is_said_and_leaks_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
