/* What the features and the targets have in common, and the best linear readout: against a
 * reference that sees the rows and leaves each out by fitting the others
 * (tests/lib/core/reference_targets.h), and against what can be known beforehand. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reference_targets.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

/* f64 rows: moments are good to 1e-14 and X'X has a condition of 1e2; the floor of 1e-12 of the
 * trace moves the fit by 1e-12 p cond = 1e-9 at most, times what the weakest directions explain. */
#define TOLERANCE 1e-9
/* f32 rows: the floor is 1e-7 of the trace, and X'X is good to 1e-7: both times p cond / 100. */
#define TOLERANCE_F32 1e-5

static const double ridges[] = {1e-12, 0.01, 0.3, 10};

struct world {
    struct reference_rows rows;
    double *x, *y, *targets, *weights;
    int32_t *labels;
    bool as_values;
    struct moments m;
    struct point point;
};

struct shape {
    size_t n, p, c, k;
    double signal; /* 0: the targets have nothing to do with the features */
};

static void draw(struct world *w, uint64_t seed, struct shape s)
{
    struct random r;

    memset(w, 0, sizeof *w);
    random_seed(&r, seed);
    w->x = must_alloc(s.n * s.p * sizeof(double));
    w->y = must_alloc(s.n * s.c * sizeof(double));
    w->targets = calloc(s.n * s.k, sizeof(double));
    w->weights = must_alloc(s.n * sizeof(double));
    w->labels = must_alloc(s.n * sizeof(int32_t));
    for (size_t i = 0; i < s.n; i++) {
        size_t label = i < s.k ? i : random_below(&r, s.k);

        w->labels[i] = (int32_t)label;
        w->targets[i * s.k + label] = 1;
        w->weights[i] = 0.2 + random_uniform(&r);
        for (size_t j = 0; j < s.p; j++)
            w->x[i * s.p + j] = 3 + (1 - 0.7 * (double)j / (double)s.p) * random_gaussian(&r) +
                                s.signal * (j % s.k == label) +
                                0.3 * s.signal * (double)((j * label) % 5);
        for (size_t j = 0; j < s.c; j++)
            w->y[i * s.c + j] = 0.4 * w->x[i * s.p + j % s.p] -
                                0.2 * w->x[i * s.p + (j + 1) % s.p] + 0.3 * random_gaussian(&r);
    }
    w->rows = (struct reference_rows){.n = s.n,
                                      .p = s.p,
                                      .c = s.c,
                                      .k = s.k,
                                      .x = w->x,
                                      .y = w->y,
                                      .targets = w->targets,
                                      .labels = w->labels};
}

/* Targets of any size: the one-hot rows with the features and noise mixed in. */
static void make_values(struct world *w, uint64_t seed)
{
    const struct reference_rows *r = &w->rows;
    struct random rng;

    random_seed(&rng, seed);
    for (size_t i = 0; i < r->n * r->k; i++)
        w->targets[i] =
            5 + 2 * w->targets[i] + w->x[i / r->k * r->p + i % r->k % r->p] + random_gaussian(&rng);
    w->as_values = true;
    w->rows.labels = NULL;
}

static void fold_rows(struct world *w, enum dtype d, double half_life_rows)
{
    const struct reference_rows *r = &w->rows;
    size_t k = w->as_values ? r->k : 0, batch = 61;
    float *narrow = must_alloc(r->n * r->p * sizeof *narrow);
    struct fold *f = fold_new(r->p, r->c + k, 1);
    struct rows rows = {.n = r->n,
                        .features = d == DTYPE_F32 ? (const void *)narrow : r->x,
                        .outputs = r->y,
                        .targets = k ? (const void *)r->targets : w->labels,
                        .weights = r->weights,
                        .features_dtype = d,
                        .outputs_dtype = DTYPE_F64,
                        .targets_dtype = k ? DTYPE_F64 : DTYPE_I32,
                        .weights_dtype = r->weights ? DTYPE_F64 : DTYPE_NONE};

    for (size_t i = 0; i < r->n * r->p && d == DTYPE_F32; i++) {
        narrow[i] = (float)w->x[i];
        w->x[i] = narrow[i];
    }
    assert_int_equal(moments_init(&w->m, r->p, r->c, k), 0);
    w->m.reservoir = reservoir_new(r->p, r->c + k, half_life_rows);
    if (!k)
        w->m.classes = classes_new(r->p, r->k, r->k, reservoir_capacity(w->m.reservoir));
    for (size_t at = 0; at < r->n; at += batch) {
        fold_begin(f, &w->m, half_life_rows);
        fold_add(f, &rows, at, r->n - at < batch ? r->n - at : batch);
        fold_run(f);
        assert_false(rows.refused);
    }
    fold_free(f);
    free(narrow);
}

static int measure_it(struct world *w, enum dtype d)
{
    struct measure_plan plan = {.precision = {d, DTYPE_F64, w->as_values ? DTYPE_F64 : DTYPE_I32},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;

    return measure_point(&w->m, &plan, &w->point, &none);
}

static void release(struct world *w)
{
    reservoir_free(w->m.reservoir);
    classes_free(w->m.classes);
    moments_release(&w->m);
    free(w->x);
    free(w->y);
    free(w->targets);
    free(w->weights);
    free(w->labels);
}

static double value(const struct world *w, enum metric metric)
{
    return w->point.value[metric];
}

static void expect(const struct world *w, const char *what, enum metric metric,
                   long double expected, double tolerance)
{
    double off = (double)fabsl(value(w, metric) - expected) / (double)fmaxl(1, fabsl(expected));

    printf("%s: %s %.6f off by %.1e, tolerance %.0e\n", what, metric_table[metric].name,
           (double)expected, off, tolerance);
    assert_true(off <= tolerance);
}

static void compare(struct world *w, const char *what, enum dtype d, double tolerance)
{
    struct reference_targets want;
    bool has_rows = w->rows.n > w->rows.p + 1, is_head = w->rows.c == w->rows.k;

    assert_int_equal(measure_it(w, d), 0);
    reference_targets(&w->rows, has_rows ? 4 : 3, has_rows ? ridges : ridges + 1, &want);
    expect(w, what, METRIC_D_TARGET, want.d_target, tolerance);
    expect(w, what, METRIC_TARGET_ALIGNMENT, want.target_alignment, tolerance);
    expect(w, what, METRIC_PROBE_LOO_ERROR, want.probe_loo_error, tolerance);
    if (!w->as_values)
        expect(w, what, METRIC_PROBE_ACCURACY, want.probe_accuracy, tolerance);
    if (has_rows)
        expect(w, what, METRIC_PROBE_R2, want.probe_r2, tolerance);
    if (is_head)
        expect(w, what, METRIC_HEAD_ERROR, want.head_error, tolerance);
    if (is_head && has_rows)
        expect(w, what, METRIC_HEAD_EXCESS, want.head_excess, tolerance);
    if (is_head && has_rows && !w->as_values)
        expect(w, what, METRIC_NC3, want.nc3, tolerance);
    if (is_head && !w->as_values) {
        expect(w, what, METRIC_ETF_ERROR, want.etf_error, tolerance);
        expect(w, what, METRIC_CDNV, want.cdnv, tolerance);
    }
}

static void labels_are_the_reference(void **state)
{
    static const struct shape shapes[] = {
        {120, 7, 4, 4, 1.5}, {300, 20, 2, 2, 0.3}, {200, 3, 10, 10, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct world w;
        char what[64];

        draw(&w, i + 1, shapes[i]);
        fold_rows(&w, DTYPE_F64, 0);
        snprintf(what, sizeof what, "%zu rows, p %zu, %zu classes", shapes[i].n, shapes[i].p,
                 shapes[i].k);
        compare(&w, what, DTYPE_F64, TOLERANCE);
        release(&w);
    }
}

static void values_are_the_reference(void **state)
{
    static const struct shape shapes[] = {{120, 7, 4, 4, 1}, {150, 12, 3, 1, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct world w;

        draw(&w, i + 10, shapes[i]);
        make_values(&w, i);
        fold_rows(&w, DTYPE_F64, 0);
        compare(&w, "values", DTYPE_F64, TOLERANCE);
        release(&w);
    }
}

static void weighted_and_forgotten_rows_are_the_reference(void **state)
{
    struct world w;

    (void)state;
    for (int values = 0; values < 2; values++) {
        draw(&w, 20, (struct shape){160, 6, 3, 3, 1});
        w.rows.weights = w.weights;
        if (values)
            make_values(&w, 20);
        fold_rows(&w, DTYPE_F64, 0);
        compare(&w, "weighted", DTYPE_F64, TOLERANCE);
        release(&w);
    }
    draw(&w, 21, (struct shape){160, 6, 3, 3, 1});
    fold_rows(&w, DTYPE_F64, 100);
    for (size_t i = 0; i < w.rows.n; i++)
        w.weights[i] = exp2(-(double)(w.rows.n - 1 - i) / 100);
    w.rows.weights = w.weights;
    compare(&w, "half-life 100", DTYPE_F64, TOLERANCE);
    release(&w);
}

static void single_precision_rows_are_the_reference(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 30, (struct shape){200, 8, 4, 4, 1});
    fold_rows(&w, DTYPE_F32, 0);
    compare(&w, "f32", DTYPE_F32, TOLERANCE_F32);
    release(&w);
}

/* More classes than are read at a time. */
static void many_classes_are_the_reference(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 31, (struct shape){300, 4, 260, 260, 1});
    fold_rows(&w, DTYPE_F64, 0);
    compare(&w, "260 classes", DTYPE_F64, TOLERANCE);
    release(&w);
}

/* What is fitted to the rows themselves is not given; what is left out is the reference. */
static void fewer_rows_than_features_are_judged_by_rows_left_out(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 40, (struct shape){40, 60, 3, 3, 2});
    fold_rows(&w, DTYPE_F64, 0);
    assert_int_equal(moments_make_xx(&w.m), 0);
    compare(&w, "n < p", DTYPE_F64, TOLERANCE);
    assert_true(isnan(value(&w, METRIC_PROBE_R2)) && isnan(value(&w, METRIC_NC3)) &&
                isnan(value(&w, METRIC_HEAD_EXCESS)));
    release(&w);
}

/* 100 rows, 300 features, 4 classes that have nothing to do with them: chance is 1/4 +- 0.043, and
 * no readout is better than the mean by more than the choice of the ridge gives (0.05). */
static void unrelated_targets_are_not_explained(void **state)
{
    double error = 0, accuracy = 0;

    (void)state;
    for (uint64_t seed = 50; seed < 60; seed++) {
        struct world w;

        draw(&w, seed, (struct shape){100, 300, 3, 4, 0});
        fold_rows(&w, DTYPE_F64, 0);
        assert_int_equal(moments_make_xx(&w.m), 0);
        assert_int_equal(measure_it(&w, DTYPE_F64), 0);
        error += value(&w, METRIC_PROBE_LOO_ERROR) / 10;
        accuracy += value(&w, METRIC_PROBE_ACCURACY) / 10;
        release(&w);
    }
    printf("unrelated: error %.3f, accuracy %.3f\n", error, accuracy);
    assert_true(error > 0.95 && fabs(accuracy - 0.25) < 3 * 0.043 / sqrt(10));
}

/* Windows of 5,000 rows of which 512 are judged: the accuracy on fresh rows. Classes are 3 standard
 * deviations apart in one of 20 features: Phi(1.5) = 0.933. */
static void an_accuracy_is_that_of_the_population(void **state)
{
    double accuracy = 0;

    (void)state;
    for (uint64_t seed = 60; seed < 70; seed++) {
        struct world w;

        draw(&w, seed, (struct shape){5000, 20, 2, 2, 0});
        for (size_t i = 0; i < 5000; i++) {
            for (size_t j = 0; j < 20; j++)
                w.x[i * 20 + j] = (w.x[i * 20 + j] - 3) / (1 - 0.7 * (double)j / 20) +
                                  (j == 0 ? 3 * w.labels[i] : 0);
        }
        fold_rows(&w, DTYPE_F64, 0);
        assert_int_equal(measure_it(&w, DTYPE_F64), 0);
        accuracy += value(&w, METRIC_PROBE_ACCURACY) / 10;
        release(&w);
    }
    printf("accuracy %.4f, expected 0.9332\n", accuracy);
    assert_true(fabs(accuracy - 0.9332) < 3 * sqrt(0.0624 / 5120));
}

static void expect_null(const struct world *w, const enum metric *metrics, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(isnan(value(w, metrics[i])));
}

static void what_is_not_defined_is_null(void **state)
{
    static const enum metric all[] = {
        METRIC_D_TARGET, METRIC_TARGET_ALIGNMENT, METRIC_HEAD_EXCESS,
        METRIC_PROBE_R2, METRIC_PROBE_LOO_ERROR,  METRIC_PROBE_ACCURACY,
        METRIC_NC3,      METRIC_ETF_ERROR,        METRIC_CDNV};
    struct world w;

    (void)state;
    draw(&w, 70, (struct shape){80, 6, 3, 3, 1});
    for (size_t i = 0; i < 80; i++)
        w.labels[i] = 2; /* one class alone */
    fold_rows(&w, DTYPE_F64, 0);
    assert_int_equal(measure_it(&w, DTYPE_F64), 0);
    expect_null(&w, all, sizeof all / sizeof all[0]);
    release(&w);
    draw(&w, 71, (struct shape){80, 6, 3, 2, 1}); /* not as many outputs as classes */
    fold_rows(&w, DTYPE_F64, 0);
    assert_int_equal(measure_it(&w, DTYPE_F64), 0);
    expect_null(&w, (const enum metric[]){METRIC_HEAD_ERROR, METRIC_HEAD_EXCESS, METRIC_NC3}, 3);
    assert_false(isnan(value(&w, METRIC_PROBE_R2)));
    w.m.reservoir->broken = true; /* as after rows that came reduced */
    assert_int_equal(measure_it(&w, DTYPE_F64), 0);
    expect_null(&w, (const enum metric[]){METRIC_PROBE_LOO_ERROR, METRIC_PROBE_ACCURACY}, 2);
    assert_false(isnan(value(&w, METRIC_PROBE_R2)));
    release(&w);
}

/* A constant feature and one that stands twice: X'X is singular. */
static void dead_and_copied_features_change_nothing(void **state)
{
    struct world w, wide;

    (void)state;
    draw(&w, 80, (struct shape){150, 6, 3, 3, 1});
    draw(&wide, 80, (struct shape){150, 8, 3, 3, 1});
    for (size_t i = 0; i < 150; i++) {
        memcpy(wide.x + i * 8, w.x + i * 6, 6 * sizeof(double));
        wide.x[i * 8 + 6] = 1;
        wide.x[i * 8 + 7] = w.x[i * 6];
        wide.labels[i] = w.labels[i];
    }
    fold_rows(&w, DTYPE_F64, 0);
    fold_rows(&wide, DTYPE_F64, 0);
    assert_int_equal(measure_it(&w, DTYPE_F64), 0);
    assert_int_equal(measure_it(&wide, DTYPE_F64), 0);
    expect(&wide, "dead and copied", METRIC_PROBE_R2, value(&w, METRIC_PROBE_R2), TOLERANCE);
    release(&w);
    release(&wide);
}

static void a_lack_of_memory_makes_no_point(void **state)
{
    struct world w;
    int rc = -ENOMEM;

    (void)state;
    draw(&w, 90, (struct shape){100, 5, 3, 3, 1});
    fold_rows(&w, DTYPE_F64, 0);
    for (long n = 1; rc == -ENOMEM; n++) {
        fault_arm(n);
        rc = measure_it(&w, DTYPE_F64);
        assert_true(fault_disarm() == (rc == -ENOMEM));
    }
    assert_int_equal(rc, 0);
    release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_the_reference),
        cmocka_unit_test(values_are_the_reference),
        cmocka_unit_test(weighted_and_forgotten_rows_are_the_reference),
        cmocka_unit_test(single_precision_rows_are_the_reference),
        cmocka_unit_test(many_classes_are_the_reference),
        cmocka_unit_test(fewer_rows_than_features_are_judged_by_rows_left_out),
        cmocka_unit_test(unrelated_targets_are_not_explained),
        cmocka_unit_test(an_accuracy_is_that_of_the_population),
        cmocka_unit_test(what_is_not_defined_is_null),
        cmocka_unit_test(dead_and_copied_features_change_nothing),
        cmocka_unit_test(a_lack_of_memory_makes_no_point),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
