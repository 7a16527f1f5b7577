/* Targets and row weights in the moments: columns of Y beside the outputs, sums by class, and rows
 * that count more or less. Checked against the naive reference, which knows neither labels nor
 * blocks. */
#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/random.h"

#define N 200
#define P 12
#define C 3
#define K 5

static const struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64},
                                         .projector.kind = PROJECTOR_SPAN};

/* Rows whose features lean towards their class. */
struct data {
    double x[N * P], y[N * C], one_hot[N * K], weights[N];
    int32_t labels[N];
};

static void draw(struct data *d, uint64_t seed)
{
    struct random rng;

    memset(d, 0, sizeof *d);
    random_seed(&rng, seed);
    for (size_t i = 0; i < N; i++) {
        d->labels[i] = (int32_t)random_below(&rng, K);
        d->one_hot[i * K + (size_t)d->labels[i]] = 1;
        d->weights[i] = 0.1 + random_uniform(&rng);
        for (size_t j = 0; j < P; j++)
            d->x[i * P + j] = random_gaussian(&rng) + 2 * (j == (size_t)d->labels[i]);
        for (size_t j = 0; j < C; j++)
            d->y[i * C + j] = d->x[i * P + j] + 0.3 * random_gaussian(&rng);
    }
}

static struct rows rows_of(const struct data *d)
{
    return (struct rows){.n = N,
                         .features = d->x,
                         .outputs = d->y,
                         .features_dtype = DTYPE_F64,
                         .outputs_dtype = DTYPE_F64};
}

static void fold_all(struct moments *m, struct rows rows, size_t batch)
{
    struct fold *f = fold_new(m->p, m->w, 1);

    assert_non_null(f);
    for (size_t at = 0; at < rows.n; at += batch) {
        fold_begin(f, m, 0);
        fold_add(f, &rows, at, rows.n - at < batch ? rows.n - at : batch);
        fold_run(f);
        assert_false(rows.refused);
    }
    fold_free(f);
}

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g, expected %.17g", value, expected);
}

/* X't_c = W pi_c (mu_c - m) for the one-hot column t_c: the sums of the classes are those of the
 * columns. */
static void class_sums_are_those_of_one_hot_columns(void **state)
{
    struct data d;
    struct moments labels, values;
    struct rows rows;
    double mean[P];

    (void)state;
    draw(&d, 1);
    assert_int_equal(moments_init(&labels, P, C, 0), 0);
    assert_int_equal(moments_init(&values, P, C, K), 0);
    labels.classes = classes_new(P, K, K, 0);
    rows = rows_of(&d);
    rows.targets = d.labels;
    rows.targets_dtype = DTYPE_I32;
    fold_all(&labels, rows, 64);
    rows.targets = d.one_hot;
    rows.targets_dtype = DTYPE_F64;
    fold_all(&values, rows, 64);
    assert_int_equal(labels.classes->n, K);
    for (size_t slot = 0; slot < K; slot++) {
        size_t c = labels.classes->sums[slot].label;
        double share = moments_class_share(&labels, slot);

        assert_near(share, values.mean_y[C + c], 1e-14);
        moments_class_mean(&labels, slot, mean);
        for (size_t i = 0; i < P; i++)
            assert_near(share * N * mean[i], values.xy[i * (C + K) + C + c], 1e-11);
    }
    classes_free(labels.classes);
    moments_release(&labels);
    moments_release(&values);
}

/* What the projector onto the targets leaves of the features is what the reference finds when the
 * targets stand in the place of the outputs: ||Q'X||^2 = u t. Double rows, hence 1e-11. */
static void span_of_the_targets_is_that_of_targets_sent_as_outputs(void **state)
{
    struct data d;
    struct moments m;
    struct span span;
    struct rows rows;
    struct reference expected;
    double variation;

    (void)state;
    draw(&d, 2);
    assert_int_equal(moments_init(&m, P, C, K), 0);
    rows = rows_of(&d);
    rows.targets = d.one_hot;
    rows.targets_dtype = DTYPE_F64;
    fold_all(&m, rows, 70);
    assert_int_equal(span_init(&span, &m, C, K, DTYPE_F64), 0);
    assert_int_equal(span_variation(&span, &m, &variation), 0);
    reference_measure(N, P, d.x, K, d.one_hot, NULL, 1e-10, &expected);
    assert_int_equal(span.rank, K - 1); /* one-hot columns sum to 1 */
    assert_near(variation / tiles_trace(&m.xx), (double)expected.u, 1e-11);
    span_release(&span);
    moments_release(&m);
}

static void targets_leave_the_measure_of_the_outputs_alone(void **state)
{
    struct data d;
    struct moments with, without;
    struct rows rows;
    struct point a = {0}, b = {0};
    struct spectrum *none;

    (void)state;
    draw(&d, 3);
    assert_int_equal(moments_init(&with, P, C, K), 0);
    assert_int_equal(moments_init(&without, P, C, 0), 0);
    rows = rows_of(&d);
    fold_all(&without, rows, 50);
    rows.targets = d.one_hot;
    rows.targets_dtype = DTYPE_F64;
    fold_all(&with, rows, 50);
    assert_int_equal(measure_point(&with, &plan, &a, &none), 0);
    assert_int_equal(measure_point(&without, &plan, &b, &none), 0);
    assert_int_equal(a.rank, b.rank);
    for (int i = 0; i < METRIC_COUNT; i++)
        if (isfinite(b.value[i]))
            assert_near(a.value[i], b.value[i], 1e-12);
    moments_release(&with);
    moments_release(&without);
}

static void weighted_rows_measure_as_the_reference_does(void **state)
{
    struct data d;
    struct moments m;
    struct rows rows;
    struct point point = {0};
    struct spectrum *none;
    struct reference expected;

    (void)state;
    draw(&d, 4);
    assert_int_equal(moments_init(&m, P, C, 0), 0);
    rows = rows_of(&d);
    rows.weights = d.weights;
    rows.weights_dtype = DTYPE_F64;
    fold_all(&m, rows, 33);
    assert_int_equal(measure_point(&m, &plan, &point, &none), 0);
    reference_measure(N, P, d.x, C, d.y, d.weights, 1e-10, &expected);
    assert_near(point.n, (double)expected.n, 1e-9);
    assert_near(point.value[METRIC_D_LR], (double)expected.d_lr, 1e-11);
    assert_near(point.value[METRIC_U], (double)expected.u, 1e-11);
    moments_release(&m);
}

/* A row of weight 2 is that row twice, but for n. */
static void a_weight_of_two_is_the_row_twice(void **state)
{
    struct data d;
    struct moments twice, weighted;
    struct rows rows;
    double weights[N];

    (void)state;
    draw(&d, 5);
    assert_int_equal(moments_init(&twice, P, C, 0), 0);
    assert_int_equal(moments_init(&weighted, P, C, 0), 0);
    rows = rows_of(&d);
    fold_all(&twice, rows, N);
    fold_all(&twice, rows, N);
    for (size_t i = 0; i < N; i++)
        weights[i] = 2;
    rows.weights = weights;
    rows.weights_dtype = DTYPE_F64;
    fold_all(&weighted, rows, N);
    assert_near(weighted.weight, twice.weight, 0);
    assert_near(tiles_trace(&weighted.xx), tiles_trace(&twice.xx), 1e-9);
    assert_near(weighted.sum_s2, twice.sum_s2, 1e-7);
    moments_release(&twice);
    moments_release(&weighted);
}

/* Weights that are all 1 but for one; the text of the refusal, or none. */
static void check_weight(double others, double one, const char *why)
{
    struct data d;
    struct moments m;
    struct rows rows;
    struct fold *f = fold_new(P, C, 1);

    draw(&d, 6);
    for (size_t i = 0; i < N; i++)
        d.weights[i] = others;
    d.weights[17] = one;
    assert_int_equal(moments_init(&m, P, C, 0), 0);
    rows = rows_of(&d);
    rows.weights = d.weights;
    rows.weights_dtype = DTYPE_F64;
    fold_begin(f, &m, 0);
    fold_add(f, &rows, 0, N);
    fold_run(f);
    assert_int_equal(rows.refused, why != NULL);
    if (why)
        assert_string_equal(rows.why.text, why);
    assert_true(m.n_rows == (why ? 0 : N));
    assert_true(why || m.weight == 0 || isnormal(m.weight_sq));
    fold_free(f);
    moments_release(&m);
}

static void weights_that_cannot_be_squared_refuse_the_batch_and_name_the_row(void **state)
{
    (void)state;
    check_weight(1, -0.5, "the weight at row 17 is negative");
    check_weight(1, 1e200, "the weight at row 17 is 1e+200, and may be 1e+100 at most");
    check_weight(0, 1e-300,
                 "the largest weight, 1e-300 at row 17, is below 1e-100: scale them, for only "
                 "their ratios count");
    check_weight(1, 1e-300, NULL); /* beside others it adds nothing */
    check_weight(1e-99, 1e99, NULL);
    check_weight(0, 0, NULL);
}

static void rows_that_weigh_nothing_change_nothing(void **state)
{
    struct data d;
    struct moments m;
    struct rows rows;
    double before;

    (void)state;
    draw(&d, 7);
    assert_int_equal(moments_init(&m, P, C, 0), 0);
    rows = rows_of(&d);
    fold_all(&m, rows, N);
    before = tiles_trace(&m.xx);
    memset(d.weights, 0, sizeof d.weights);
    rows.weights = d.weights;
    rows.weights_dtype = DTYPE_F64;
    fold_all(&m, rows, N);
    assert_true(tiles_trace(&m.xx) == before && m.weight == N && m.n_rows == 2 * N);
    moments_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_sums_are_those_of_one_hot_columns),
        cmocka_unit_test(span_of_the_targets_is_that_of_targets_sent_as_outputs),
        cmocka_unit_test(targets_leave_the_measure_of_the_outputs_alone),
        cmocka_unit_test(weighted_rows_measure_as_the_reference_does),
        cmocka_unit_test(a_weight_of_two_is_the_row_twice),
        cmocka_unit_test(weights_that_cannot_be_squared_refuse_the_batch_and_name_the_row),
        cmocka_unit_test(rows_that_weigh_nothing_change_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
