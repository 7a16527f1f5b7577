/* Neural collapse with many classes: more than features, more than are paired, more than there is
 * memory for. Few classes are in test_spectrum.c. The reference sees the rows
 * (tests/lib/core/reference_spectrum.h). */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reference_spectrum.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

/* f64 rows, good to 1e-14 of the largest moment; nc1 divides by the smallest of the eigenvalues of
 * S_B, which is above 1e-3 of the largest here. */
#define TOLERANCE 1e-10

struct world {
    size_t n, p, k;
    double *x, *y, *weights;
    int32_t *labels;
    enum dtype format; /* of x */
    struct moments m;
    struct point point;
    struct spectrum *spectrum;
};

/* Classes of unequal size about means of their own, with fewer and fewer rows. */
static void draw(struct world *w, uint64_t seed, size_t n, size_t p, size_t k)
{
    struct random rng;
    double *mean = must_alloc(k * p * sizeof *mean);

    *w = (struct world){.n = n, .p = p, .k = k, .format = DTYPE_F64};
    w->x = must_alloc(n * p * sizeof(double));
    w->y = must_alloc(n * sizeof(double));
    w->weights = must_alloc(n * sizeof(double));
    w->labels = must_alloc(n * sizeof(int32_t));
    random_seed(&rng, seed);
    for (size_t i = 0; i < k * p; i++)
        mean[i] = random_gaussian(&rng);
    for (size_t i = 0; i < n; i++) {
        size_t label = (size_t)((double)k * pow(random_uniform(&rng), 1.5));

        label = i < k ? i : label < k ? label : k - 1;
        w->labels[i] = (int32_t)label;
        w->weights[i] = 1;
        for (size_t j = 0; j < p; j++)
            w->x[i * p + j] = 10 + mean[label * p + j] + 0.3 * random_gaussian(&rng);
        w->y[i] = w->x[i * p] + 0.1 * random_gaussian(&rng);
    }
    free(mean);
}

static void fold(struct world *w, size_t k, size_t room, size_t batch, double half_life_rows)
{
    struct fold *f = fold_new(w->p, 1, 1);
    struct rows rows = {.n = w->n,
                        .features = w->x,
                        .outputs = w->y,
                        .targets = w->labels,
                        .features_dtype = w->format,
                        .outputs_dtype = DTYPE_F64,
                        .targets_dtype = DTYPE_I32};

    assert_int_equal(moments_init(&w->m, w->p, 1, 0), 0);
    w->m.classes = classes_new(w->p, k, room, 0);
    for (size_t at = 0; at < w->n; at += batch) {
        fold_begin(f, &w->m, half_life_rows);
        fold_add(f, &rows, at, w->n - at < batch ? w->n - at : batch);
        fold_run(f);
    }
    fold_free(f);
}

static int measure_it(struct world *w, bool with_spectrum)
{
    struct measure_plan plan = {.precision = {w->format, DTYPE_F64, DTYPE_I32},
                                .projector.kind = PROJECTOR_SPAN,
                                .spectrum = {.wanted = with_spectrum}};

    return measure_point(&w->m, &plan, &w->point, &w->spectrum);
}

static void release(struct world *w)
{
    classes_free(w->m.classes);
    moments_release(&w->m);
    spectrum_free(w->spectrum);
    free(w->x);
    free(w->y);
    free(w->weights);
    free(w->labels);
}

static void assert_value(const struct world *w, enum metric metric, long double expected,
                         double tolerance)
{
    double d = (double)fabsl(w->point.value[metric] - expected) / (double)fmaxl(1, expected);

    printf("%zu classes in %zu dimensions: %s off by %.1e, tolerance %.0e\n", w->k, w->p,
           metric_table[metric].name, d, tolerance);
    assert_true(d <= tolerance);
}

static void compare(struct world *w, double angle_tolerance)
{
    struct reference_rows rows = {
        .n = w->n, .p = w->p, .k = w->k, .x = w->x, .labels = w->labels, .weights = w->weights};
    struct reference_collapse want;

    reference_collapse(&rows, &want);
    assert_value(w, METRIC_NC1, want.nc1, TOLERANCE);
    assert_value(w, METRIC_NC1_QUOTIENT, want.nc1_quotient, TOLERANCE);
    assert_value(w, METRIC_NC2_NORM_CV, want.nc2_norm_cv, TOLERANCE);
    assert_value(w, METRIC_NC2_ANGLE, want.nc2_angle, angle_tolerance);
    assert_value(w, METRIC_LIDAR, reference_lidar(&rows), TOLERANCE);
}

static void many_classes_are_the_reference(void **state)
{
    static const size_t shapes[][2] = {{19, 20}, {20, 20}, {21, 20}, {300, 20}, {700, 3}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct world w;

        draw(&w, i, 2000, shapes[i][1], shapes[i][0]);
        fold(&w, w.k, w.k, 333, 0);
        assert_int_equal(measure_it(&w, false), 0);
        assert_int_equal(w.point.classes_seen, w.k);
        compare(&w, TOLERANCE);
        release(&w);
    }
}

/* Of 3,000 classes 2,048 are paired. Pairs of directions in 6 dimensions: |cos| has a standard
 * deviation of 0.24 and the mean over pairs one of about 0.24 / 2048, times 3. */
static void more_classes_than_are_paired_are_sampled_evenly(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 11, 9000, 6, 3000);
    fold(&w, w.k, w.k, 1000, 0);
    assert_int_equal(measure_it(&w, false), 0);
    compare(&w, 2e-3);
    release(&w);
}

/* A half-life is a weight; the classes of the oldest rows are forgotten. */
static void exponential_windows_are_the_reference_of_weighted_rows(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 12, 1500, 8, 30);
    for (size_t i = 0; i < w.n; i++)
        w.weights[i] = exp2(-(double)(w.n - 1 - i) / 400);
    fold(&w, w.k, w.k, 100, 400);
    assert_int_equal(measure_it(&w, false), 0);
    compare(&w, TOLERANCE);
    release(&w);
}

static void a_vocabulary_costs_the_classes_that_occur(void **state)
{
    struct world w;
    uint64_t rows[12] = {0}, fewest = UINT64_MAX;

    (void)state;
    draw(&w, 13, 600, 10, 12);
    for (size_t i = 0; i < w.n; i++)
        rows[w.labels[i]]++;
    for (size_t c = 0; c < 12; c++)
        fewest = rows[c] < fewest ? rows[c] : fewest;
    for (size_t i = 0; i < w.n; i++)
        w.labels[i] *= 1000000;
    fold(&w, 1u << 24, 12, 600, 0);
    assert_int_equal(measure_it(&w, false), 0);
    assert_int_equal(w.point.classes_seen, 12);
    assert_int_equal(w.point.class_rows_min, fewest);
    assert_true(w.point.flags & FLAG_CLASSES_MISSING);
    for (size_t i = 0; i < w.n; i++)
        w.labels[i] /= 1000000;
    compare(&w, TOLERANCE);
    release(&w);
}

static void without_room_for_the_classes_the_rest_is_measured(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 14, 300, 10, 12);
    fold(&w, 12, 11, 100, 0);
    assert_int_equal(measure_it(&w, true), 0);
    assert_true(w.point.flags & FLAG_CLASSES_LOST && !(w.point.flags & FLAG_CLASSES_MISSING));
    assert_int_equal(w.point.classes_seen, 0);
    assert_true(isnan(w.point.value[METRIC_NC1_QUOTIENT]) && !isnan(w.point.value[METRIC_D_LR]));
    assert_non_null(w.spectrum);
    assert_null(w.spectrum->q);
    release(&w);
}

/* Classes of one point each, and of a small cloud about it. */
static void make_clouds(struct world *w, double size)
{
    struct random rng;
    double *mean = must_alloc(w->k * w->p * sizeof *mean);

    random_seed(&rng, w->n + w->p);
    random_fill_gaussian(&rng, w->k * w->p, mean);
    for (size_t i = 0; i < w->n * w->p; i++)
        w->x[i] = mean[(size_t)w->labels[i / w->p] * w->p + i % w->p] +
                  (size > 0 ? size * random_gaussian(&rng) : 0);
    free(mean);
}

static void to_single(struct world *w)
{
    float *narrow = (float *)w->x;

    for (size_t i = 0; i < w->n * w->p; i++)
        narrow[i] = (float)w->x[i];
}

struct collapse_case {
    size_t n, p, k;
    enum dtype format;
    double size;
    bool is_seen;
};

/* What single precision resolves is 1e-7 of the variance, 3e-4 of the spread. */
static void collapse_below_the_floor_is_no_value(void **state)
{
    static const struct collapse_case cases[] = {
        {200, 16, 10, DTYPE_F32, 0, false},    {200, 16, 40, DTYPE_F32, 0, false},
        {2000, 128, 10, DTYPE_F32, 0, false},  {2000, 128, 10, DTYPE_F32, 1e-4, false},
        {2000, 16, 10, DTYPE_F32, 1e-3, true}, {2000, 128, 200, DTYPE_F32, 1e-3, true},
        {200, 16, 10, DTYPE_F64, 0, false},    {2000, 128, 200, DTYPE_F64, 0, false},
        {2000, 128, 10, DTYPE_F64, 1e-6, true}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct collapse_case *c = &cases[i];
        double expected = c->size * c->size, got;
        struct world w;

        draw(&w, i, c->n, c->p, c->k);
        make_clouds(&w, c->size);
        w.format = c->format;
        if (c->format == DTYPE_F32)
            to_single(&w);
        fold(&w, w.k, w.k, 512, 0);
        assert_int_equal(measure_it(&w, false), 0);
        got = w.point.value[METRIC_NC1_QUOTIENT];
        printf("%s, p %zu, %zu classes: %g for %g\n", dtype_name(c->format), c->p, c->k, got,
               expected);
        assert_int_equal(isnan(got), !c->is_seen);
        assert_int_equal(isnan(w.point.value[METRIC_NC1]), !c->is_seen);
        assert_int_equal(isnan(w.point.value[METRIC_LIDAR]), !c->is_seen);
        assert_int_equal(!!(w.point.flags & FLAG_BELOW_FLOOR), !c->is_seen);
        assert_true(!c->is_seen || fabs(got / expected - 1) <= 0.2);
        release(&w);
    }
}

static void a_lack_of_memory_makes_no_point(void **state)
{
    static const size_t classes[] = {5, 40};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        int rc = -ENOMEM;

        draw(&w, 15, 300, 10, classes[i]);
        fold(&w, w.k, w.k, 100, 0);
        for (long n = 1; rc == -ENOMEM; n++) {
            fault_arm(n);
            rc = measure_it(&w, false);
            assert_true(fault_disarm() == (rc == -ENOMEM));
        }
        assert_int_equal(rc, 0);
        release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_classes_are_the_reference),
        cmocka_unit_test(more_classes_than_are_paired_are_sampled_evenly),
        cmocka_unit_test(exponential_windows_are_the_reference_of_weighted_rows),
        cmocka_unit_test(a_vocabulary_costs_the_classes_that_occur),
        cmocka_unit_test(without_room_for_the_classes_the_rest_is_measured),
        cmocka_unit_test(collapse_below_the_floor_is_no_value),
        cmocka_unit_test(a_lack_of_memory_makes_no_point),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
