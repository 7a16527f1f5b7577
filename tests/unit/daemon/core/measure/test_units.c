/* What the features say alone: dead, dormant and cloned ones, the largest eigenvalue, the shape of
 * the spectrum and its floor. Against references that see the rows
 * (tests/lib/core/reference_units.h), and against what can be known beforehand. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/floor.h"
#include "daemon/core/measure/leading.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reference_units.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

/* Rows and the point that they give, with a spectrum if one is wanted. */
struct window {
    struct sample s;
    struct moments m;
    double *weights;
    struct point point;
    struct spectrum *spectrum;
};

static void start(struct window *w, size_t n, size_t p)
{
    memset(w, 0, sizeof *w);
    sample_init(&w->s, n, p, 2);
}

static void end(struct window *w)
{
    reservoir_free(w->m.reservoir);
    moments_release(&w->m);
    sample_release(&w->s);
    spectrum_free(w->spectrum);
    free(w->weights);
}

/* Folds the rows as `d`, in batches of 100, and measures them; by_rows where they are few and
 * `may_wait`. */
static void measure(struct window *w, enum dtype d, bool may_wait, bool with_spectrum)
{
    struct measure_plan plan = {.precision = {d, DTYPE_F64, DTYPE_NONE},
                                .projector.kind = PROJECTOR_SPAN,
                                .spectrum.wanted = with_spectrum};
    struct fold *f = fold_new(w->s.p, w->s.c, 1);

    for (size_t i = 0; i < w->s.n; i++) {
        w->s.y[2 * i] = w->s.x[i * w->s.p];
        w->s.y[2 * i + 1] = (double)(i % 3);
    }
    sample_encode(&w->s, d, DTYPE_F64);
    assert_int_equal(moments_init(&w->m, w->s.p, w->s.c, 0), 0);
    w->m.reservoir = reservoir_new(w->s.p, w->s.c, 0);
    w->m.may_wait = may_wait;
    for (size_t at = 0; at < w->s.n; at += 100) {
        struct rows rows = sample_rows(&w->s, at, w->s.n - at < 100 ? w->s.n - at : 100);

        rows.weights = w->weights ? w->weights + at : NULL;
        rows.weights_dtype = DTYPE_F64;
        fold_begin(f, &w->m, 0);
        fold_add(f, &rows, 0, rows.n);
        fold_run(f);
    }
    fold_free(f);
    assert_int_equal(measure_point(&w->m, &plan, &w->point, &w->spectrum), 0);
}

static double value(const struct window *w, enum metric m)
{
    return w->point.value[m];
}

/* A layer behind ReLU: of every 16 units the 1st is a clone of the 3rd, scaled; the 5th is always
 * off; the 7th hardly ever on; the 9th is constant and on. */
static void fill_relu(struct window *w, uint64_t seed)
{
    struct random r;
    size_t p = w->s.p;

    random_seed(&r, seed);
    for (size_t i = 0; i < w->s.n; i++) {
        double *x = w->s.x + i * p;

        for (size_t j = 0; j < p; j++) {
            x[j] = fmax(0, random_gaussian(&r) + 0.3);
            if (j % 16 == 5)
                x[j] = 0;
            else if (j % 16 == 7)
                x[j] *= 0.05;
            else if (j % 16 == 9)
                x[j] = 0.7;
        }
        for (size_t j = 0; j + 3 < p; j += 16)
            x[j + 1] = 2.5 * x[j + 3];
    }
}

static void check_units(const struct window *w)
{
    struct reference_units ref;

    reference_units(w->s.n, w->s.p, w->s.x, w->weights, &ref);
    assert_true(ref.dead >= w->s.p / 16 && ref.cloned >= w->s.p / 16);
    assert_true(ref.dormant > ref.dead / 2);
    assert_true(value(w, METRIC_DEAD_FEATURES) == (double)ref.dead);
    assert_true(value(w, METRIC_DORMANT_FEATURES) == (double)ref.dormant);
    assert_true(value(w, METRIC_CLONED_FEATURES) == (double)ref.cloned);
    assert_true(fabs(value(w, METRIC_FEATURE_NORM) / (double)ref.norm - 1) <= 1e-7);
}

/* Both forms of a window, one tile and several. */
static void units_are_the_reference(void **state)
{
    static const size_t shapes[][2] = {{200, 64}, {40, 64}, {120, 528}, {60, 528}};

    (void)state;
    for (size_t k = 0; k < 16; k++) {
        struct window w;

        start(&w, shapes[k / 4][0], shapes[k / 4][1]);
        fill_relu(&w, k);
        measure(&w, k % 2 ? DTYPE_F32 : DTYPE_F64, k % 4 / 2, false);
        assert_int_equal(!!(w.point.flags & FLAG_ROW_FORM), k % 4 / 2 && w.s.n < w.s.p);
        check_units(&w);
        end(&w);
    }
}

static void weights_count_in_the_units(void **state)
{
    struct random r;
    struct window w;

    (void)state;
    start(&w, 300, 48);
    fill_relu(&w, 20);
    w.weights = must_alloc(300 * sizeof *w.weights);
    random_seed(&r, 21);
    for (size_t i = 0; i < 300; i++)
        w.weights[i] = 0.1 + random_uniform(&r);
    measure(&w, DTYPE_F64, false, false);
    check_units(&w);
    end(&w);
}

static void features_that_may_be_negative_have_no_dormant_ones(void **state)
{
    struct window w;

    (void)state;
    start(&w, 200, 32);
    fill_relu(&w, 22);
    w.s.x[5] = -0.01;
    measure(&w, DTYPE_F32, false, false);
    assert_true(isnan(value(&w, METRIC_DORMANT_FEATURES)));
    assert_false(isnan(value(&w, METRIC_DEAD_FEATURES)));
    end(&w);
}

static void few_rows_or_a_large_product_tell_no_clones(void **state)
{
    static const size_t shapes[][2] = {{15, 32}, {16, 32}, {600, 1900}};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct window w;

        start(&w, shapes[k][0], shapes[k][1]);
        fill_relu(&w, 23);
        measure(&w, DTYPE_F32, true, false);
        assert_int_equal(isnan(value(&w, METRIC_CLONED_FEATURES)), k != 1);
        end(&w);
    }
}

/* ---- the largest eigenvalue ---------------------------------------------------------------- */

/* Directions of falling strength. */
static void fill_falling(struct window *w, uint64_t seed, double power)
{
    struct random r;

    random_seed(&r, seed);
    random_fill_gaussian(&r, w->s.n * w->s.p, w->s.x);
    for (size_t i = 0; i < w->s.n * w->s.p; i++)
        w->s.x[i] *= pow(1 + (double)(i % w->s.p), -power / 2);
    sample_rotate(&w->s, &r);
}

/* A small matrix exactly, a large one to the tolerance: X'X of 40 and 300 features, XX' of 60 and
 * 300 rows. */
static void stable_rank_is_the_reference_without_a_spectrum(void **state)
{
    static const size_t shapes[][2] = {{200, 40}, {60, 200}, {400, 300}, {300, 400}};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct window w;
        double ref, error, tolerance = k < 2 ? 1e-12 : LEADING_TOLERANCE;

        start(&w, shapes[k][0], shapes[k][1]);
        fill_falling(&w, k, 1);
        measure(&w, DTYPE_F64, true, false);
        ref = (double)reference_stable_rank(w.s.n, w.s.p, w.s.x);
        error = fabs(value(&w, METRIC_STABLE_RANK) / ref - 1);
        printf("stable rank of %zu x %zu: off by %.1e, tolerance %.0e\n", w.s.n, w.s.p, error,
               tolerance);
        assert_true(error <= tolerance);
        end(&w);
    }
}

/* The hardest spectrum for Lanczos: no gap at all. */
static void stable_rank_of_white_noise_is_within_a_tenth_of_a_percent(void **state)
{
    struct window w;
    double error;

    (void)state;
    start(&w, 900, 600);
    fill_falling(&w, 30, 0);
    measure(&w, DTYPE_F64, false, true);
    error = value(&w, METRIC_STABLE_RANK) / (w.spectrum->total / w.spectrum->rho[0]) - 1;
    printf("stable rank of white noise: off by %.1e\n", error);
    assert_true(fabs(error) <= LEADING_TOLERANCE);
    end(&w);
}

/* ---- the spectrum's shape ------------------------------------------------------------------ */

/* The slope through ln rho_k over ln k about their weighted means, k = 3 to `last`. */
static double slope(const double *rho, size_t last)
{
    long double w = 0, x = 0, y = 0, xy = 0, xx = 0;

    for (size_t k = 3; k <= last; k++) {
        w += 1 / (long double)k;
        x += logl((long double)k) / (long double)k;
        y += logl(rho[k - 1]) / (long double)k;
    }
    for (size_t k = 3; k <= last; k++) {
        long double d = logl((long double)k) - x / w;

        xy += d * (logl(rho[k - 1]) - y / w) / (long double)k;
        xx += d * d / (long double)k;
    }
    return (double)(-xy / xx);
}

/* From the eigenvalues, which test_spectrum.c holds to its reference. */
static void check_shape(const struct window *w)
{
    const double *rho = w->spectrum->rho;
    long double roots = 0, root = 0, sum = 0;
    size_t srank = 0, dims = 0;

    for (size_t k = 0; k < w->spectrum->n_values; k++)
        roots += sqrtl(rho[k]);
    for (size_t k = 0; k < w->spectrum->n_values; k++) {
        srank += root < 0.99L * roots;
        dims += sum < 0.99L * w->spectrum->total;
        root += sqrtl(rho[k]);
        sum += rho[k];
    }
    assert_true(value(w, METRIC_SRANK) == (double)srank);
    assert_true(value(w, METRIC_DIMS_99) == (double)dims);
    assert_true(fabs(value(w, METRIC_ALPHA_REQ) - slope(rho, 100)) <= 1e-12);
}

static void the_shape_of_a_power_law_is_found(void **state)
{
    static const double powers[] = {0.5, 1, 1.5};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct window w;

        start(&w, 2400, 150);
        fill_falling(&w, 40 + k, powers[k]);
        measure(&w, DTYPE_F32, false, true);
        check_shape(&w);
        printf("a power of %.1f reads %.3f\n", powers[k], value(&w, METRIC_ALPHA_REQ));
        assert_true(fabs(value(&w, METRIC_ALPHA_REQ) - powers[k]) <= 0.05);
        end(&w);
    }
}

static void the_leading_eigenvalues_give_what_they_can(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64, DTYPE_NONE},
                                .projector.kind = PROJECTOR_SPAN,
                                .spectrum = {.wanted = true, .leading = 20}};
    struct window w;
    double dims;

    (void)state;
    start(&w, 800, 60);
    fill_falling(&w, 50, 3);
    measure(&w, DTYPE_F64, false, true);
    dims = value(&w, METRIC_DIMS_99);
    spectrum_free(w.spectrum);
    assert_int_equal(measure_point(&w.m, &plan, &w.point, &w.spectrum), 0);
    assert_true(dims < 20 && value(&w, METRIC_DIMS_99) == dims);
    assert_true(isnan(value(&w, METRIC_SRANK)) && isnan(value(&w, METRIC_RANKME)));
    assert_false(isnan(value(&w, METRIC_ALPHA_REQ)));
    plan.spectrum.leading = 2;
    spectrum_free(w.spectrum);
    assert_int_equal(measure_point(&w.m, &plan, &w.point, &w.spectrum), 0);
    assert_true(isnan(value(&w, METRIC_DIMS_99)) && isnan(value(&w, METRIC_ALPHA_REQ)));
    end(&w);
}

/* ---- the floor ----------------------------------------------------------------------------- */

/* Features of rank r: what is beyond it is the rounding of X'X, and the features' own, 1e-7 of a
 * standard deviation. */
static void fill_rank(struct window *w, uint64_t seed, size_t rank, double mean)
{
    struct random r;
    double *a = must_alloc(rank * w->s.p * sizeof *a), *z = must_alloc(rank * sizeof *z);

    random_seed(&r, seed);
    random_fill_gaussian(&r, rank * w->s.p, a);
    for (size_t i = 0; i < w->s.n; i++) {
        random_fill_gaussian(&r, rank, z);
        for (size_t j = 0; j < w->s.p; j++) {
            w->s.x[i * w->s.p + j] = mean;
            for (size_t k = 0; k < rank; k++)
                w->s.x[i * w->s.p + j] += z[k] * a[k * w->s.p + j];
        }
    }
    free(a);
    free(z);
}

static void what_rounding_adds_is_no_direction(void **state)
{
    static const size_t shapes[][2] = {{400, 32}, {700, 128}, {2000, 512}};

    (void)state;
    for (size_t k = 0; k < 12; k++) {
        enum dtype d = k % 2 ? DTYPE_F64 : DTYPE_F32;
        struct window w;

        start(&w, shapes[k / 4][0], shapes[k / 4][1]);
        fill_rank(&w, 60 + k, 9, k % 4 < 2 ? 0 : 30);
        measure(&w, d, false, true);
        assert_int_equal(spectrum_resolved(w.spectrum), 9);
        assert_true(value(&w, METRIC_RANKME) <= 9.001 && value(&w, METRIC_EFFECTIVE_RANK) <= 9);
        assert_true(value(&w, METRIC_SRANK) <= 9);
        assert_true(isnan(w.spectrum->u[9]) && !isnan(w.spectrum->u[8]));
        assert_int_equal(!!(w.point.flags & FLAG_BELOW_FLOOR), d == DTYPE_F32 && w.s.p >= 512);
        end(&w);
    }
}

static void a_full_spectrum_is_not_below_the_floor(void **state)
{
    struct window w;

    (void)state;
    start(&w, 1200, 300);
    fill_falling(&w, 70, 2);
    measure(&w, DTYPE_F32, false, true);
    assert_int_equal(spectrum_resolved(w.spectrum), 300);
    assert_false(w.point.flags & FLAG_BELOW_FLOOR);
    end(&w);
}

/* ---- features that do not vary -------------------------------------------------------------- */

static bool is_of_units(enum metric m)
{
    return m >= METRIC_DEAD_FEATURES && m <= METRIC_FEATURE_NORM;
}

/* Standard errors come from products in single precision, which are 4 columns wider in one of the
 * two: off by 6e-9 here. */
static double tolerance_of(enum metric m)
{
    switch (m) {
    case METRIC_D_LR_SE:
    case METRIC_D_DEBIASED_SE:
    case METRIC_U_DEBIASED_SE:
    case METRIC_PR_DEBIASED_SE:
        return 1e-6;
    default:
        return 1e-10;
    }
}

/* They count as dead, and are part of a row's length; nothing else knows of them. */
static void constant_features_change_no_measure_and_no_flag(void **state)
{
    (void)state;
    for (int few = 0; few < 2; few++) {
        struct window with, without;

        start(&with, few ? 30 : 200, 44);
        start(&without, with.s.n, 40);
        fill_falling(&without, 80, 1);
        for (size_t i = 0; i < with.s.n; i++) {
            memcpy(with.s.x + 44 * i, without.s.x + 40 * i, 40 * sizeof(double));
            for (size_t j = 40; j < 44; j++)
                with.s.x[44 * i + j] = 0.3 * (double)j;
        }
        measure(&with, DTYPE_F64, false, true);
        measure(&without, DTYPE_F64, false, true);
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
            double a = value(&with, m), b = value(&without, m);

            assert_true(is_of_units(m) || (isnan(a) && isnan(b)) ||
                        fabs(a - b) <= tolerance_of(m) * fabs(b));
        }
        assert_int_equal(with.point.flags, without.point.flags);
        assert_true(value(&with, METRIC_DEAD_FEATURES) == 4);
        end(&with);
        end(&without);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int rows = 0; rows < 2; rows++) {
        struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F64, DTYPE_NONE},
                                    .projector.kind = PROJECTOR_SPAN};
        struct window w;
        long n = 0;
        int rc;

        start(&w, rows ? 280 : 400, 300);
        fill_relu(&w, 90);
        measure(&w, DTYPE_F32, rows, false);
        do {
            fault_arm(++n);
            rc = measure_point(&w.m, &plan, &w.point, &w.spectrum);
            assert_int_equal(rc, fault_disarm() ? -ENOMEM : 0);
        } while (rc < 0);
        assert_true(n > 6);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_the_reference),
        cmocka_unit_test(weights_count_in_the_units),
        cmocka_unit_test(features_that_may_be_negative_have_no_dormant_ones),
        cmocka_unit_test(few_rows_or_a_large_product_tell_no_clones),
        cmocka_unit_test(stable_rank_is_the_reference_without_a_spectrum),
        cmocka_unit_test(stable_rank_of_white_noise_is_within_a_tenth_of_a_percent),
        cmocka_unit_test(the_shape_of_a_power_law_is_found),
        cmocka_unit_test(the_leading_eigenvalues_give_what_they_can),
        cmocka_unit_test(what_rounding_adds_is_no_direction),
        cmocka_unit_test(a_full_spectrum_is_not_below_the_floor),
        cmocka_unit_test(constant_features_change_no_measure_and_no_flag),
        cmocka_unit_test(every_allocation_may_fail),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
