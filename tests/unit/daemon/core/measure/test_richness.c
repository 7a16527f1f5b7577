#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* What is promised of D_LR: the distance to the reference on the rows as they were sent.
 *
 * Single precision. The rows are centred in double, so |mean| costs nothing; what is left:
 *   rounding the centred values       2^-24 each, independent: 2^-24 sqrt(2/n) of an entry of X'X
 *   adding n_k <= 400 products a time a random walk of steps 2^-24 of the running sum, independent
 *   in single (OpenBLAS's depth)      from block to block: 2^-24 sqrt(n_k/n) sqrt(n_k)/4 of an
 *                                     entry, below 3e-7, and p of them average in ||X'X||
 * Everything else is double. 1e-6 holds with room even for p = 1.
 *
 * Double. n products and a mean of up to 1000 spreads cost 2^-53 (sqrt(n) + 1000) = 1e-13 an entry;
 * the projection divides by eigenvalues whose condition is below 100 here: 1e-11. */
#define TOLERANCE_F32 1e-6
#define TOLERANCE_F64 1e-11

static double tolerance(enum dtype d)
{
    return d == DTYPE_F64 ? TOLERANCE_F64 : TOLERANCE_F32;
}

static const char *name_of(enum dtype d)
{
    static const char *const names[] = {"none", "f32", "f64", "f16", "bf16"};

    return names[d];
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double distance(long double expected, double got)
{
    return (double)fabsl(expected - got);
}

static void report(const char *what, enum dtype d, double largest)
{
    printf("%s %s: largest |dD_LR| = %.1e, tolerance %.0e\n", what, name_of(d), largest,
           tolerance(d));
}

/* Checks every measure of the sample against the reference; returns |dD_LR|.
 *
 * u = q/t and PR = t^2/f carry the same relative errors as D_LR. The de-biased estimate subtracts
 * from f = ||X'X||^2 what finitely many rows put there: its error is that of D_LR times f over what
 * is left, f / (n(n-3) Z), at most 20 in these samples. */
static double check(const struct sample *s, const struct point *got)
{
    struct reference ref = sample_reference(s, NULL);
    double t = tolerance(s->features_dtype), d = distance(ref.d_lr, got->value[METRIC_D_LR]);

    assert_int_equal(got->rank, ref.rank);
    assert_true(got->n == (double)s->n && got->p == s->p && got->c == s->c);
    assert_true(d <= t);
    assert_true(distance(ref.u, got->value[METRIC_U]) <= t);
    assert_true(distance(ref.pr, got->value[METRIC_PR]) <= 2 * t * (double)ref.pr);
    assert_true(distance(ref.d_debiased, got->value[METRIC_D_DEBIASED]) <= 20 * t);
    assert_true(distance(ref.u_debiased, got->value[METRIC_U_DEBIASED]) <= 2 * t);
    assert_true(distance(ref.pr_debiased, got->value[METRIC_PR_DEBIASED]) <=
                40 * t * (double)ref.pr_debiased);
    return d;
}

/* ---- accuracy ------------------------------------------------------------------------------ */

static void check_accuracy(enum dtype d, double mean)
{
    static const size_t batches[] = {31, 700, 3000};
    struct random r;
    struct sample s;
    double largest = 0;
    char what[64];

    random_seed(&r, 10 + (uint64_t)mean);
    sample_init(&s, 3000, 48, 10); /* the last batch is more than a block */
    sample_fill(&s, &r, mean, 3);
    sample_encode(&s, d, d == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32);
    for (size_t i = 0; i < 3; i++) {
        struct point got = sample_point(&s, batches[i]);

        largest = larger(largest, check(&s, &got));
    }
    sample_release(&s);
    snprintf(what, sizeof what, "accuracy, mean/std %g,", mean);
    report(what, d, largest);
}

static const double means[] = {0, 1, 10, 100, 1000};

static void d_lr_of_f32_rows_is_the_reference_at_any_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        check_accuracy(DTYPE_F32, means[i]);
}

static void d_lr_of_f64_rows_is_the_reference_at_any_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        check_accuracy(DTYPE_F64, means[i]);
}

/* Against the rows as rounded to 11 or 8 bits: what the format lost is not the daemon's doing. */
static void d_lr_of_f16_and_bf16_rows_is_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        check_accuracy(DTYPE_F16, means[i]);
        check_accuracy(DTYPE_BF16, means[i]);
    }
}

/* Sums of equal products round the same way at every step: the drift is not a random walk.
 * Saturated units, one-hot inputs and collapsed classes are such features. Any number of features
 * that are multiples of one another, p = 1 among them. */
static void two_valued_features_do_not_drift(void **state)
{
    static const size_t widths[] = {1, 8, 40};
    double largest = 0;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (int level = 0; level < 12; level++) {
            struct sample s;
            struct point got;

            sample_init(&s, 2048, widths[k], 1);
            for (size_t i = 0; i < s.n; i++) {
                s.y[i] = i % 3 == 0 ? 1 : -1;
                for (size_t j = 0; j < s.p; j++)
                    s.x[i * s.p + j] = s.y[i] * (0.3 + 0.0613 * level) * (j % 2 ? 1 : -1);
            }
            sample_encode(&s, DTYPE_F32, DTYPE_F32);
            got = sample_point(&s, s.n);
            largest = larger(largest, fabs(got.value[METRIC_D_LR])); /* x = a y + b: 0 */
            sample_release(&s);
        }
    }
    report("two-valued features", DTYPE_F32, largest);
    assert_true(largest <= TOLERANCE_F32);
}

/* Outputs whose directions vary unequally, down to the rank's cut-off: a direction that varies 1e-4
 * times as much as the largest counts as much. X'Y in plain single precision fails here. The last
 * outputs depend on the others, are constant, or have a large mean. */
static void outputs_that_vary_unequally_are_the_reference(void **state)
{
    static const double steps[] = {1, 0.1, 0.01};
    double largest = 0;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct random r;
        struct sample s;
        struct point got;

        random_seed(&r, 90 + k);
        sample_init(&s, 700, 40, 6);
        sample_fill(&s, &r, 3, 3);
        for (size_t i = 0; i < s.n; i++) {
            double *y = s.y + i * s.c, common = y[0];

            y[1] = common + steps[k] * y[1];
            y[2] = common + steps[k] * steps[k] * y[2];
            y[3] = 100 + common;
            y[4] = k == 0 ? common : y[4];
            y[5] = k == 1 ? 5 : y[5];
        }
        sample_encode(&s, DTYPE_F32, DTYPE_F64);
        got = sample_point(&s, 350);
        largest = larger(largest, check(&s, &got));
        sample_release(&s);
    }
    report("unequal outputs", DTYPE_F32, largest);
}

/* Several tiles a side, the last one narrow. */
static void wide_layers_are_the_reference(void **state)
{
    static const size_t widths[] = {600, 1100};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        enum dtype d = k % 2 ? DTYPE_F64 : DTYPE_F32;
        struct random r;
        struct sample s;
        struct point got;

        random_seed(&r, 20 + k);
        sample_init(&s, 150, widths[k / 2], 3);
        sample_fill(&s, &r, 10, 3);
        sample_encode(&s, d, DTYPE_F32);
        got = sample_point(&s, 64);
        report("wide layer", d, check(&s, &got));
        sample_release(&s);
    }
}

static void fewer_rows_than_features_are_no_exception(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        enum dtype d = k ? DTYPE_F64 : DTYPE_F32;
        struct random r;
        struct sample s;
        struct point got;

        random_seed(&r, 30);
        sample_init(&s, 40, 100, 5);
        sample_fill(&s, &r, 1, 3);
        sample_encode(&s, d, DTYPE_F32);
        got = sample_point(&s, 16);
        report("n < p", d, check(&s, &got));
        assert_int_equal(got.flags, FLAG_BIASED);
        sample_release(&s);
    }
}

/* Squares of these leave single precision; of the last ones even the values are subnormal. */
static void huge_and_tiny_magnitudes_are_the_reference(void **state)
{
    static const double scales[] = {1e-43, 1e-40, 1e-30, 1e-20, 1e12, 1e20, 1e30, 1e37};

    (void)state;
    for (size_t k = 0; k < sizeof scales / sizeof scales[0]; k++) {
        struct random r;
        struct sample s;
        struct point got;
        char what[64];

        random_seed(&r, 40);
        sample_init(&s, 300, 12, 4);
        sample_fill(&s, &r, 1, 1);
        for (size_t i = 0; i < s.n * s.p; i++)
            s.x[i] *= scales[k];
        sample_encode(&s, DTYPE_F32, DTYPE_F32);
        got = sample_point(&s, 100);
        snprintf(what, sizeof what, "magnitude %g,", scales[k]);
        report(what, DTYPE_F32, check(&s, &got));
        sample_release(&s);
    }
}

/* Column tiles are scaled one by one; products between them must come out right. */
static void tiles_of_different_magnitude_are_the_reference(void **state)
{
    struct random r;
    struct sample s;
    struct point got;

    (void)state;
    random_seed(&r, 41);
    sample_init(&s, 60, 530, 3);
    sample_fill(&s, &r, 0, 1);
    for (size_t i = 0; i < s.n * s.p; i++)
        s.x[i] *= i % s.p < TILE_ORDER ? 1e-19 : 1e-18;
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    got = sample_point(&s, 30);
    report("tiles of 1e-19 and 1e-18,", DTYPE_F32, check(&s, &got));
    sample_release(&s);
}

/* f64 values whose fourth powers leave the range of a double. Null is right, a number is not. */
static void f64_magnitudes_beyond_range_give_null_not_a_number(void **state)
{
    static const double scales[] = {1e-200, 1e-100, 1e100, 1e200};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct random r;
        struct sample s;
        struct point got;

        random_seed(&r, 42);
        sample_init(&s, 50, 6, 2);
        sample_fill(&s, &r, 1, 1);
        for (size_t i = 0; i < s.n * s.p; i++)
            s.x[i] *= scales[k];
        sample_encode(&s, DTYPE_F64, DTYPE_F64);
        got = sample_point(&s, 20);
        assert_true(isnan(got.value[METRIC_D_LR]));
        assert_true(isnan(got.value[METRIC_D_DEBIASED]));
        assert_true(isnan(got.value[METRIC_PR]));
        assert_int_not_equal(got.flags, 0);
        sample_release(&s);
    }
}

/* Each feature is the output, up to scale: all of these are at an end of [0, 1], and rounding of
 * single precision may not lead out of it. */
static void shares_at_their_ends_stay_in_range(void **state)
{
    struct random random = {.state = 77};

    (void)state;
    for (size_t n = 2; n < 60; n++) {
        struct sample s;
        struct point got;

        sample_init(&s, n, 1 + n % 7, 1);
        sample_fill(&s, &random, 1, 0);
        for (size_t i = 0; i < s.n * s.p; i++)
            s.x[i] = (double)(float)s.y[i / s.p] * (double)(1 + i % s.p);
        sample_encode(&s, DTYPE_F32, DTYPE_F32);
        got = sample_point(&s, 100);
        assert_true(got.value[METRIC_U] <= 1 && got.value[METRIC_U] > 1 - 1e-6);
        assert_true(got.value[METRIC_CKA_LINEAR] <= 1 && got.value[METRIC_CKA_LINEAR] > 1 - 1e-6);
        assert_true(got.value[METRIC_D_LR] >= 0);
        sample_release(&s);
    }
}

static void denormals_and_minus_zero_are_numbers(void **state)
{
    struct sample s;
    struct point got;

    (void)state;
    sample_init(&s, 12, 2, 1);
    for (size_t i = 0; i < s.n; i++) {
        s.y[i] = i % 2 ? 1 : -1;
        s.x[2 * i] = i % 2 ? 0.0 : -0.0;
        s.x[2 * i + 1] = i % 2 ? 0x1p-149 : 0;
    }
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    got = sample_point(&s, 5);
    assert_true(fabs(got.value[METRIC_D_LR]) <= TOLERANCE_F32);
    assert_true(fabs(got.value[METRIC_PR] - 1) <= TOLERANCE_F32);
    sample_release(&s);
}

static void duplicate_columns_are_the_reference(void **state)
{
    struct random r;
    struct sample s;
    struct point got;

    (void)state;
    random_seed(&r, 43);
    sample_init(&s, 500, 20, 6);
    sample_fill(&s, &r, 3, 1);
    for (size_t i = 0; i < s.n; i++) {
        memcpy(s.x + i * s.p + 10, s.x + i * s.p, 10 * sizeof(double));
        memcpy(s.y + i * s.c + 3, s.y + i * s.c, 3 * sizeof(double));
    }
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    got = sample_point(&s, 128);
    report("duplicate columns", DTYPE_F32, check(&s, &got));
    assert_int_equal(got.rank, 3);
    sample_release(&s);
}

static void a_constant_feature_changes_nothing(void **state)
{
    struct random r;
    struct sample with, without;
    struct point a, b;

    (void)state;
    random_seed(&r, 44);
    sample_init(&with, 200, 9, 2);
    sample_init(&without, 200, 8, 2);
    sample_fill(&without, &r, 1, 1);
    memcpy(with.y, without.y, 200 * 2 * sizeof(double));
    for (size_t i = 0; i < 200; i++) {
        memcpy(with.x + 9 * i, without.x + 8 * i, 8 * sizeof(double));
        with.x[9 * i + 8] = 0.1 + 1e6; /* no short fraction in binary */
    }
    sample_encode(&with, DTYPE_F64, DTYPE_F64);
    sample_encode(&without, DTYPE_F64, DTYPE_F64);
    a = sample_point(&with, 23);
    b = sample_point(&without, 23);
    for (int m = 0; m < METRIC_COUNT; m++) {
        bool is_of_units = m >= METRIC_DEAD_FEATURES && m <= METRIC_FEATURE_NORM;

        assert_true(is_of_units || (isnan(a.value[m]) && isnan(b.value[m])) ||
                    fabs(a.value[m] - b.value[m]) <= TOLERANCE_F64 * b.value[m]);
    }
    sample_release(&with);
    sample_release(&without);
}

/* The point by AUTO of `p` features that vary and 4 that do not, if wanted, with C outputs of them:
 * linear, or bent. */
static struct point point_by_auto(size_t p, size_t n_constant, size_t c, bool bent)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64, DTYPE_NONE},
                                .projector = {.kind = PROJECTOR_AUTO, .energy = 0.9}};
    struct random r;
    struct sample s, wide;
    struct moments m;
    struct point point;
    struct spectrum *none;

    random_seed(&r, 45);
    sample_init(&s, 600, p, c);
    sample_init(&wide, 600, p + n_constant, c);
    sample_fill(&s, &r, 1, 0);
    for (size_t i = 0; i < 600; i++) {
        for (size_t j = 0; j < c; j++)
            wide.y[i * c + j] = bent ? tanh(s.y[i * c + j]) : s.y[i * c + j];
        for (size_t j = 0; j < wide.p; j++)
            wide.x[i * wide.p + j] = j < p ? s.x[i * p + j] : 0.3;
    }
    sample_encode(&wide, DTYPE_F64, DTYPE_F64);
    assert_int_equal(moments_init(&m, wide.p, c, 0), 0);
    sample_fold(&wide, &m, 0, 600, 100, 0);
    assert_int_equal(measure_point(&m, &plan, &point, &none), 0);
    moments_release(&m);
    sample_release(&s);
    sample_release(&wide);
    return point;
}

static void constant_features_do_not_change_the_rule(void **state)
{
    static const size_t widths[] = {24, 26, 30, 8};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct point without = point_by_auto(24, 0, widths[k], false);
        struct point with = point_by_auto(24, 4, widths[k], false);

        assert_int_equal(!!(without.flags & FLAG_TOP_OUTPUTS), widths[k] >= 24);
        assert_int_equal(with.flags, without.flags);
        assert_int_equal(with.rank, without.rank);
        assert_true(fabs(with.value[METRIC_D_LR] - without.value[METRIC_D_LR]) <= TOLERANCE_F64);
    }
}

/* As those of a later layer are for one in the middle. */
static void wide_outputs_that_do_not_hold_the_features_are_taken_whole(void **state)
{
    struct point point = point_by_auto(24, 0, 30, true);

    (void)state;
    assert_false(point.flags & FLAG_TOP_OUTPUTS);
    assert_true(point.value[METRIC_U] < 0.999);
}

/* ---- invariances --------------------------------------------------------------------------- */

enum change {
    SPLIT,
    REORDER,
    ROTATE,
    MIX,
    SCALE,
    CHANGE_COUNT,
};

static void reorder(struct sample *s, struct random *r)
{
    for (size_t i = s->n - 1; i > 0; i--) {
        size_t k = random_below(r, i + 1);

        for (size_t j = 0; j < s->p; j++) {
            double t = s->x[i * s->p + j];

            s->x[i * s->p + j] = s->x[k * s->p + j];
            s->x[k * s->p + j] = t;
        }
        for (size_t j = 0; j < s->c; j++) {
            double t = s->y[i * s->c + j];

            s->y[i * s->c + j] = s->y[k * s->c + j];
            s->y[k * s->c + j] = t;
        }
    }
}

static void scale(struct sample *s)
{
    for (size_t i = 0; i < s->n * s->p; i++)
        s->x[i] *= 1234.5;
    for (size_t i = 0; i < s->n * s->c; i++)
        s->y[i] *= -0.00789;
}

static struct point changed_point(enum change change, enum dtype d, size_t batch)
{
    struct random r;
    struct sample s;
    struct point point;

    random_seed(&r, 50);
    sample_init(&s, 600, 24, 5);
    sample_fill(&s, &r, 1, 2);
    switch (change) {
    case REORDER:
        reorder(&s, &r);
        break;
    case ROTATE:
        sample_rotate(&s, &r);
        break;
    case MIX:
        sample_mix_outputs(&s, &r);
        break;
    case SCALE:
        scale(&s);
        break;
    default:
        break;
    }
    sample_encode(&s, d, d);
    point = sample_point(&s, batch);
    sample_release(&s);
    return point;
}

/* The f32 rows of a rotated sample are rounded again: 2^-24 of each value, of which the mean is no
 * larger than the spread here. That moves D_LR by less than the tolerance. */
static void check_unchanged(enum change change, const char *what)
{
    static const size_t batches[] = {600, 1, 7, 64, 599};

    for (int k = 0; k < 2; k++) {
        enum dtype d = k ? DTYPE_F64 : DTYPE_F32;
        struct point before = changed_point(SPLIT, d, 600);
        double largest = 0;

        for (size_t b = 0; b < (change == SPLIT ? 5 : 1); b++) {
            struct point after = changed_point(change, d, batches[b]);

            largest = larger(largest, fabs(after.value[METRIC_D_LR] - before.value[METRIC_D_LR]));
            assert_true(fabs(after.value[METRIC_D_DEBIASED] - before.value[METRIC_D_DEBIASED]) <=
                        20 * tolerance(d));
        }
        report(what, d, largest);
        assert_true(largest <= tolerance(d));
    }
}

static void splitting_into_batches_changes_nothing(void **state)
{
    (void)state;
    check_unchanged(SPLIT, "split");
}

static void reordering_rows_changes_nothing(void **state)
{
    (void)state;
    check_unchanged(REORDER, "reorder");
}

static void rotating_the_features_changes_nothing(void **state)
{
    (void)state;
    check_unchanged(ROTATE, "rotate");
}

static void mixing_and_shifting_the_outputs_changes_nothing(void **state)
{
    (void)state;
    check_unchanged(MIX, "mix");
}

static void scaling_features_and_outputs_changes_nothing(void **state)
{
    (void)state;
    check_unchanged(SCALE, "scale");
}

static void d_lr_is_one_less_u_times_the_root_of_pr_over_r(void **state)
{
    struct point point = changed_point(SPLIT, DTYPE_F32, 600);
    double u = point.value[METRIC_U], pr = point.value[METRIC_PR];

    (void)state;
    assert_true(fabs(1 - point.value[METRIC_D_LR] - u * sqrt(pr / point.rank)) < 1e-14);
}

/* ---- closed forms -------------------------------------------------------------------------- */

/* Balanced one-hot classes: X = Y, isotropic in the C - 1 dimensions that centring leaves. */
static void fill_one_hot(struct sample *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->y[i * s->c + i % s->c] = 1;
        s->x[i * s->p + i % s->c] = 1;
    }
}

static void the_minimal_projection_is_zero_at_rank_c_less_1(void **state)
{
    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        struct sample s;
        struct point point;

        sample_init(&s, 10 * 190, 12, 10);
        fill_one_hot(&s);
        sample_encode(&s, d, d);
        point = sample_point(&s, s.n);
        assert_int_equal(point.rank, 9);
        report("T = T_MP", d, fabs(point.value[METRIC_D_LR]));
        assert_true(fabs(point.value[METRIC_D_LR]) <= tolerance(d));
        assert_true(fabs(point.value[METRIC_U] - 1) <= tolerance(d));
        assert_true(fabs(point.value[METRIC_PR] - 9) <= 18 * tolerance(d));
        sample_release(&s);
    }
}

/* Scalar regression: D = 1 - |cov(x, f)|^2 / (var f ||S||), and x = a f + noise in one feature. */
static void one_output_is_the_regression_formula(void **state)
{
    long double cov[3], var, gram[9], squares = 0, dot = 0;
    struct random r;
    struct sample s;
    struct point point;

    (void)state;
    random_seed(&r, 60);
    sample_init(&s, 400, 3, 1);
    sample_fill(&s, &r, 2, 1);
    sample_encode(&s, DTYPE_F64, DTYPE_F64);
    point = sample_point(&s, 100);
    reference_cross(s.n, 3, s.x, 1, s.y, NULL, cov);
    reference_cross(s.n, 1, s.y, 1, s.y, NULL, &var);
    reference_cross(s.n, 3, s.x, 3, s.x, NULL, gram);
    for (int i = 0; i < 3; i++)
        dot += cov[i] * cov[i];
    for (int i = 0; i < 9; i++)
        squares += gram[i] * gram[i];
    assert_int_equal(point.rank, 1);
    assert_true(distance(1 - dot / (var * sqrtl(squares)), point.value[METRIC_D_LR]) <=
                TOLERANCE_F64);
    sample_release(&s);
}

/* Population value 1 - sqrt(r/p). The plain estimate is low by (1 - D)(p + 1) / (2n) (PR of n rows)
 * and by r/n (chance overlap); both vanish with n. Sampling error below 1/n^0.5 r^-0.5 p^-0.5. */
static void isotropic_features_approach_the_population_value(void **state)
{
    static const size_t rows[] = {500, 2000, 32000};
    const double truth = 1 - sqrt(4.0 / 32);
    struct random r;

    (void)state;
    random_seed(&r, 61);
    for (int k = 0; k < 3; k++) {
        double n = (double)rows[k], bias = (1 - truth) * (33 / (2 * n)) + 4 / n;
        struct sample s;
        struct point point;

        sample_init(&s, rows[k], 32, 4);
        sample_fill_population(&s, &r, 32, 1);
        sample_encode(&s, DTYPE_F32, DTYPE_F32);
        point = sample_point(&s, 1000);
        printf("isotropic n = %5.0f: plain %.5f, de-biased %.5f, population %.5f\n", n,
               point.value[METRIC_D_LR], point.value[METRIC_D_DEBIASED], truth);
        assert_true(fabs(point.value[METRIC_D_LR] - truth) <= bias + 4 / sqrt(n * 4 * 32));
        assert_true(fabs(point.value[METRIC_D_DEBIASED] - truth) <= 4 / sqrt(n * 4 * 32));
        sample_release(&s);
    }
}

struct table_row {
    size_t n, n_large;
    double rest, truth, plain, sd; /* sd of the de-biased estimate over draws */
};

/* The table of the de-biased estimate: p = 256, C = 10, 20 draws. A mean over 20 draws lies within
 * 4 sd / sqrt(20) of what it estimates with probability 0.99994; the plain estimate spreads less.
 */
static void the_debiased_estimate_has_the_table_s_means(void **state)
{
    static const struct table_row table[] = {
        {64, 256, 1, .8024, .569, .026},  {256, 256, 1, .8024, .727, .007},
        {1024, 256, 1, .8024, -1, .0033}, {64, 9, .05, .0772, .155, .019},
        {256, 9, .05, .0772, .108, .004}, {1024, 9, .05, .0772, -1, .0011},
    };
    struct random r;

    (void)state;
    random_seed(&r, 62);
    for (size_t k = 0; k < sizeof table / sizeof table[0]; k++) {
        const struct table_row *row = &table[k];
        double plain = 0, sum = 0, squares = 0, mean, sd, margin = 4 * row->sd / sqrt(20);

        for (int draw = 0; draw < 20; draw++) {
            struct sample s;
            struct point point;

            sample_init(&s, row->n, 256, 10);
            sample_fill_population(&s, &r, row->n_large, row->rest);
            sample_encode(&s, DTYPE_F32, DTYPE_F32);
            point = sample_point(&s, 256);
            plain += point.value[METRIC_D_LR] / 20;
            sum += point.value[METRIC_D_DEBIASED];
            squares += point.value[METRIC_D_DEBIASED] * point.value[METRIC_D_DEBIASED];
            sample_release(&s);
        }
        mean = sum / 20;
        sd = sqrt((squares - 20 * mean * mean) / 19);
        printf("de-biased n = %4zu: true %.4f, plain %.4f, de-biased %.4f (sd %.4f)\n", row->n,
               row->truth, plain, mean, sd);
        assert_true(fabs(mean - row->truth) <= margin);
        assert_true(sd > row->sd / 2 && sd < row->sd * 2);
        if (row->plain >= 0)
            assert_true(fabs(plain - row->plain) <= margin);
    }
}

/* What a population of isotropic features reads at n rows: the point of one draw. */
static struct point isotropic_point(size_t n, size_t p, size_t c, uint64_t seed)
{
    struct random r;
    struct sample s;
    struct point point;

    random_seed(&r, seed);
    sample_init(&s, n, p, c);
    sample_fill_population(&s, &r, p, 1);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    point = sample_point(&s, 256);
    sample_release(&s);
    return point;
}

static void the_debiased_triple_holds_and_few_rows_are_flagged(void **state)
{
    static const struct {
        size_t n, p;
        bool biased;
    } cases[] = {{64, 256, true}, {128, 1024, true}, {256, 64, true}, {8000, 64, false}};

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct point point = isotropic_point(cases[k].n, cases[k].p, 10, 63 + k);
        const double *v = point.value;
        double p = (double)cases[k].p, n = (double)cases[k].n;

        printf("isotropic n %5.0f p %4.0f: d_lr %.3f, de-biased %.3f, white %.3f; u %.3f, %.3f; "
               "pr %.1f, %.1f\n",
               n, p, v[METRIC_D_LR], v[METRIC_D_DEBIASED], v[METRIC_D_WHITE], v[METRIC_U],
               v[METRIC_U_DEBIASED], v[METRIC_PR], v[METRIC_PR_DEBIASED]);
        assert_true(fabs(v[METRIC_U_DEBIASED] * sqrt(v[METRIC_PR_DEBIASED] / point.rank) -
                         (1 - v[METRIC_D_DEBIASED])) <= 1e-14);
        assert_true(fabs(v[METRIC_D_WHITE] - (1 - sqrt(10 / p))) <= 1e-15);
        /* Over draws d spreads by 0.2 / sqrt(n) (the table above), u and pr / p by less: 4 of it.
         */
        assert_true(fabs(v[METRIC_D_DEBIASED] - v[METRIC_D_WHITE]) <= 0.8 / sqrt(n));
        assert_true(fabs(v[METRIC_U_DEBIASED] - 10 / p) <= 0.8 / sqrt(n));
        assert_true(fabs(v[METRIC_PR_DEBIASED] / p - 1) <= 0.8 / sqrt(n));
        assert_int_equal(!!(point.flags & FLAG_BIASED), cases[k].biased);
        assert_int_equal(point.flags & (FLAG_OUTLIERS | FLAG_WIDE_OUTPUTS), 0);
    }
}

static void a_head_as_wide_as_half_of_the_features_is_flagged(void **state)
{
    (void)state;
    assert_int_equal(isotropic_point(2000, 20, 10, 64).flags & FLAG_WIDE_OUTPUTS, 0);
    assert_int_not_equal(isotropic_point(2000, 20, 11, 64).flags & FLAG_WIDE_OUTPUTS, 0);
}

/* The case that read -14.1 without a flag. */
static void a_row_that_outweighs_all_others_gives_no_debiased_value(void **state)
{
    struct random r;
    struct sample s;
    struct point point;

    (void)state;
    random_seed(&r, 65);
    sample_init(&s, 256, 64, 10);
    sample_fill_population(&s, &r, 64, 1);
    for (size_t j = 0; j < s.p; j++)
        s.x[7 * s.p + j] *= 300;
    for (size_t j = 0; j < s.c; j++)
        s.y[7 * s.c + j] *= 300;
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    point = sample_point(&s, 256);
    assert_int_not_equal(point.flags & FLAG_OUTLIERS, 0);
    assert_true(isnan(point.value[METRIC_D_DEBIASED_SE]) &&
                isnan(point.value[METRIC_PR_DEBIASED_SE]));
    assert_true(isnan(point.value[METRIC_D_DEBIASED]));
    assert_true(point.value[METRIC_D_LR] >= 0 && point.value[METRIC_D_LR] <= 1);
    sample_release(&s);
}

/* ---- rank ---------------------------------------------------------------------------------- */

/* Columns that sum to a constant, each rounded by the format: C - 1 in every format. */
static void outputs_that_sum_to_a_constant_have_rank_c_less_1(void **state)
{
    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        struct random r;
        struct sample s;
        struct point point;

        random_seed(&r, 70);
        sample_init(&s, 400, 6, 5);
        sample_fill(&s, &r, 0, 1);
        for (size_t i = 0; i < s.n; i++) {
            double *y = s.y + i * 5;

            y[4] = 1 - y[0] - y[1] - y[2] - y[3];
        }
        sample_encode(&s, DTYPE_F32, d);
        point = sample_point(&s, 100);
        assert_int_equal(point.rank, 4);
        check(&s, &point);
        sample_release(&s);
    }
}

/* Two orthogonal outputs of +-1 and +-2^-k, exact in every format: the second eigenvalue of Y'Y is
 * 4^-k of the first. */
static uint32_t rank_at(int k, enum dtype d)
{
    struct sample s;
    struct point point;

    sample_init(&s, 64, 3, 2);
    for (size_t i = 0; i < s.n; i++) {
        s.y[2 * i] = s.x[3 * i] = i & 1 ? 1 : -1;
        s.y[2 * i + 1] = i & 2 ? ldexp(1, -k) : -ldexp(1, -k);
        s.x[3 * i + 1] = i & 2 ? 1 : -1;
        s.x[3 * i + 2] = i & 4 ? 1 : -1;
    }
    sample_encode(&s, DTYPE_F32, d);
    point = sample_point(&s, 64);
    sample_release(&s);
    return point.rank;
}

static void the_rank_s_cutoff_follows_the_format_of_the_outputs(void **state)
{
    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        double cutoff = span_cutoff(d);

        for (int k = 6; k < 20; k++)
            assert_int_equal(rank_at(k, d), ldexp(1, -2 * k) > cutoff ? 2 : 1);
    }
    assert_true(span_cutoff(DTYPE_F64) == 1e-10);
    assert_true(span_cutoff(DTYPE_F32) == 1e-10);
    assert_true(span_cutoff(DTYPE_F16) == 1e-6);
    assert_true(span_cutoff(DTYPE_BF16) == 1e-5);
}

/* Ten outputs that add up to a constant, about a mean: rounding must not make a tenth direction of
 * them. Returns the rank. */
static uint32_t rank_about(double mean, enum dtype d)
{
    struct random r;
    struct sample s;
    struct point point;

    random_seed(&r, 72);
    sample_init(&s, 512, 24, 10);
    sample_fill(&s, &r, 0, 1);
    for (size_t i = 0; i < s.n; i++) {
        double sum = 0;

        for (size_t j = 0; j < s.c; j++)
            sum += s.y[i * s.c + j] / (double)s.c;
        for (size_t j = 0; j < s.c; j++)
            s.y[i * s.c + j] += mean - sum;
    }
    sample_encode(&s, DTYPE_F32, d);
    point = sample_point(&s, 100);
    sample_release(&s);
    return point.rank;
}

static void a_mean_of_the_outputs_adds_no_rank(void **state)
{
    (void)state;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        for (double mean = 0; mean <= 1000; mean = mean > 0 ? 10 * mean : 1) {
            bool lost = (d == DTYPE_F16 && mean > 100) || (d == DTYPE_BF16 && mean > 10);

            if (!lost) /* the spread is below the format's last digit */
                assert_int_equal(rank_about(mean, d), 9);
        }
    }
}

/* A trainer may have reduced Y'Y in single precision: then its rounding lies above the cut-off of
 * its format. Rows bound the rank all the same. */
static void rounding_gives_no_more_rank_than_rows_less_1(void **state)
{
    struct random r;
    struct sample s;
    struct moments m;
    struct point point;

    (void)state;
    random_seed(&r, 71);
    sample_init(&s, 3, 6, 5);
    sample_fill(&s, &r, 0, 1);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    assert_int_equal(moments_init(&m, s.p, s.c, 0), 0);
    sample_fold(&s, &m, 0, s.n, s.n, 0);
    for (size_t j = 0; j < s.c; j++)
        m.yy[j * s.c + j] *= 1 + 1e-7 * (double)j;
    point = sample_measure(&s, &m);
    assert_int_equal(point.rank, 2);
    assert_true(point.value[METRIC_U] <= 1 + 1e-6);
    moments_release(&m);
    sample_release(&s);
}

/* ---- flags and nulls ----------------------------------------------------------------------- */

static struct point point_of_shape(size_t n, size_t p, size_t c)
{
    struct random r;
    struct sample s;
    struct point point;

    random_seed(&r, 80);
    sample_init(&s, n, p, c);
    sample_fill(&s, &r, 0, 1);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    point = sample_point(&s, n);
    sample_release(&s);
    return point;
}

static void degenerate_is_rank_at_features_or_rows_less_1(void **state)
{
    (void)state;
    assert_int_equal(point_of_shape(100, 5, 4).flags & FLAG_DEGENERATE, 0);
    assert_int_not_equal(point_of_shape(100, 4, 4).flags & FLAG_DEGENERATE, 0);
    assert_int_not_equal(point_of_shape(100, 3, 4).flags & FLAG_DEGENERATE, 0);
    assert_int_equal(point_of_shape(6, 20, 4).flags & FLAG_DEGENERATE, 0);
    assert_int_not_equal(point_of_shape(5, 20, 4).flags & FLAG_DEGENERATE, 0);
}

static void no_more_rank_than_rows_less_1(void **state)
{
    struct point point = point_of_shape(4, 20, 9);

    (void)state;
    assert_int_equal(point.rank, 3);
    assert_int_equal(point.flags, FLAG_DEGENERATE | FLAG_SMALL_SAMPLE | FLAG_BIASED);
    assert_true(fabs(point.value[METRIC_U] - 1) <= TOLERANCE_F32);
    assert_true(isnan(point.value[METRIC_D_DEBIASED]));
}

static void small_sample_is_few_rows_a_rank(void **state)
{
    (void)state;
    assert_int_equal(point_of_shape(16, 20, 4).flags & FLAG_SMALL_SAMPLE, 0);
    assert_int_not_equal(point_of_shape(15, 20, 4).flags & FLAG_SMALL_SAMPLE, 0);
    assert_int_equal(point_of_shape(10, 20, 1).flags & FLAG_SMALL_SAMPLE, 0);
    assert_int_not_equal(point_of_shape(9, 20, 1).flags & FLAG_SMALL_SAMPLE, 0);
}

static void the_debiased_estimate_needs_rows_beyond_the_rank(void **state)
{
    (void)state;
    assert_true(isnan(point_of_shape(3, 20, 1).value[METRIC_D_DEBIASED]));
    assert_false(isnan(point_of_shape(4, 20, 1).value[METRIC_D_DEBIASED]));
    assert_true(isnan(point_of_shape(6, 20, 5).value[METRIC_D_DEBIASED]));
    assert_false(isnan(point_of_shape(7, 20, 5).value[METRIC_D_DEBIASED]));
}

/* +-1 about `mean`: mean/std is `mean` exactly. */
static uint32_t flags_at_mean(double mean, enum dtype d)
{
    struct sample s;
    struct point point;

    sample_init(&s, 40, 3, 1);
    for (size_t i = 0; i < s.n; i++) {
        s.y[i] = i % 2 ? 1 : -1;
        for (size_t j = 0; j < 3; j++)
            s.x[3 * i + j] = mean + s.y[i];
    }
    sample_encode(&s, d, DTYPE_F32);
    point = sample_point(&s, 40);
    sample_release(&s);
    return point.flags;
}

static void low_precision_is_a_mean_that_leaves_few_digits(void **state)
{
    (void)state;
    assert_int_equal(flags_at_mean(255, DTYPE_F16), 0);
    assert_int_equal(flags_at_mean(257, DTYPE_F16), FLAG_LOW_PRECISION);
    assert_int_equal(flags_at_mean(511, DTYPE_BF16) & FLAG_LOW_PRECISION, FLAG_LOW_PRECISION);
    assert_int_equal(flags_at_mean(1, DTYPE_BF16), 0);
    assert_int_equal(flags_at_mean(0x1p20 - 1, DTYPE_F32), 0);
    assert_int_equal(flags_at_mean(0x1p20 + 1, DTYPE_F32), FLAG_LOW_PRECISION);
    assert_int_equal(flags_at_mean(0x1p49 - 1, DTYPE_F64), 0);
    assert_int_equal(flags_at_mean(0x1p49 + 1, DTYPE_F64), FLAG_LOW_PRECISION);
}

/* The point of features about 1 with so small a spread. */
static struct point point_about_one(double spread, enum dtype d)
{
    struct sample s;
    struct random r;
    struct point point;

    random_seed(&r, 17);
    sample_init(&s, 1000, 48, 10);
    sample_fill_population(&s, &r, 20, .1);
    for (size_t i = 0; i < s.n * s.p; i++)
        s.x[i] = 1 + spread * s.x[i];
    sample_encode(&s, d, DTYPE_F64);
    point = sample_point(&s, 100);
    sample_release(&s);
    return point;
}

static void a_spread_of_few_digits_is_flagged_before_it_moves_d_lr(void **state)
{
    static const double spreads[] = {0x1p-10, 0x1p-19, 0x1p-21, 3e-8};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct point exact = point_about_one(spreads[i], DTYPE_F64);
        struct point rounded = point_about_one(spreads[i], DTYPE_F32);
        double moved = fabs(rounded.value[METRIC_D_LR] - exact.value[METRIC_D_LR]);
        bool flagged = (rounded.flags & FLAG_LOW_PRECISION) != 0;

        printf("f32 about 1, spread %.1e: d_lr %.4f, exactly %.4f%s\n", spreads[i],
               rounded.value[METRIC_D_LR], exact.value[METRIC_D_LR], flagged ? ", flagged" : "");
        assert_true(flagged || moved <= 1e-3);
        assert_true(!flagged || i >= 2);
    }
}

static void check_null(const struct point *point, bool pr_known)
{
    assert_int_equal(point->flags, FLAG_CONSTANT);
    assert_int_equal(point->rank, 0);
    assert_true(isnan(point->value[METRIC_D_LR]));
    assert_true(isnan(point->value[METRIC_D_DEBIASED]));
    assert_true(isnan(point->value[METRIC_U]));
    assert_int_equal(!isnan(point->value[METRIC_PR]), pr_known);
}

/* 0.1 has no short binary fraction, and a mean over 3 or 7 of them must still be 0.1. */
static void features_or_outputs_that_do_not_vary_give_null(void **state)
{
    static const size_t batches[] = {1, 3, 7, 100};

    (void)state;
    for (size_t b = 0; b < 4; b++) {
        for (int varies = 0; varies < 2; varies++) {
            struct random r;
            struct sample s;
            struct point point;

            random_seed(&r, 81);
            sample_init(&s, 100, 4, 3);
            sample_fill(&s, &r, 0, 1);
            for (size_t i = 0; i < s.n * (varies ? s.c : s.p); i++)
                *(varies ? &s.y[i] : &s.x[i]) = 0.1;
            sample_encode(&s, DTYPE_F64, DTYPE_F64);
            point = sample_point(&s, batches[b]);
            check_null(&point, varies);
            sample_release(&s);
        }
    }
}

static void one_row_gives_null(void **state)
{
    struct point point = point_of_shape(1, 4, 3);

    (void)state;
    assert_true(point.n == 1);
    check_null(&point, false);
}

static void outputs_that_lapack_refuses_give_null_and_keep_pr(void **state)
{
    struct random r;
    struct sample s;
    struct moments m;
    struct point point;

    (void)state;
    random_seed(&r, 82);
    sample_init(&s, 30, 4, 2);
    sample_fill(&s, &r, 0, 1);
    for (size_t i = 0; i < s.n * s.c; i++)
        s.y[i] *= 1e200; /* finite; the square is not */
    sample_encode(&s, DTYPE_F32, DTYPE_F64);
    assert_int_equal(moments_init(&m, 4, 2, 0), 0);
    sample_fold(&s, &m, 0, s.n, s.n, 0);
    point = sample_measure(&s, &m);
    assert_int_equal(point.flags, FLAG_NOT_CONVERGED);
    assert_true(isnan(point.value[METRIC_D_LR]));
    assert_false(isnan(point.value[METRIC_PR]));
    moments_release(&m);
    sample_release(&s);
}

static void every_allocation_may_fail(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct random r;
    struct sample s;
    struct moments m;
    struct point point;
    long n = 0;
    int rc;

    (void)state;
    random_seed(&r, 83);
    sample_init(&s, 30, 4, 2);
    sample_fill(&s, &r, 0, 1);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    assert_int_equal(moments_init(&m, 4, 2, 0), 0);
    sample_fold(&s, &m, 0, s.n, s.n, 0);
    do {
        fault_arm(++n);
        rc = measure_point(&m, &plan, &point, &none);
        assert_int_equal(rc, fault_disarm() ? -ENOMEM : 0);
    } while (rc < 0);
    assert_true(n > 3);
    moments_release(&m);
    sample_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(d_lr_of_f32_rows_is_the_reference_at_any_mean),
        cmocka_unit_test(d_lr_of_f64_rows_is_the_reference_at_any_mean),
        cmocka_unit_test(d_lr_of_f16_and_bf16_rows_is_the_reference),
        cmocka_unit_test(two_valued_features_do_not_drift),
        cmocka_unit_test(outputs_that_vary_unequally_are_the_reference),
        cmocka_unit_test(wide_layers_are_the_reference),
        cmocka_unit_test(fewer_rows_than_features_are_no_exception),
        cmocka_unit_test(huge_and_tiny_magnitudes_are_the_reference),
        cmocka_unit_test(tiles_of_different_magnitude_are_the_reference),
        cmocka_unit_test(f64_magnitudes_beyond_range_give_null_not_a_number),
        cmocka_unit_test(shares_at_their_ends_stay_in_range),
        cmocka_unit_test(denormals_and_minus_zero_are_numbers),
        cmocka_unit_test(duplicate_columns_are_the_reference),
        cmocka_unit_test(a_constant_feature_changes_nothing),
        cmocka_unit_test(constant_features_do_not_change_the_rule),
        cmocka_unit_test(wide_outputs_that_do_not_hold_the_features_are_taken_whole),
        cmocka_unit_test(splitting_into_batches_changes_nothing),
        cmocka_unit_test(reordering_rows_changes_nothing),
        cmocka_unit_test(rotating_the_features_changes_nothing),
        cmocka_unit_test(mixing_and_shifting_the_outputs_changes_nothing),
        cmocka_unit_test(scaling_features_and_outputs_changes_nothing),
        cmocka_unit_test(d_lr_is_one_less_u_times_the_root_of_pr_over_r),
        cmocka_unit_test(the_minimal_projection_is_zero_at_rank_c_less_1),
        cmocka_unit_test(one_output_is_the_regression_formula),
        cmocka_unit_test(isotropic_features_approach_the_population_value),
        cmocka_unit_test(the_debiased_estimate_has_the_table_s_means),
        cmocka_unit_test(the_debiased_triple_holds_and_few_rows_are_flagged),
        cmocka_unit_test(a_head_as_wide_as_half_of_the_features_is_flagged),
        cmocka_unit_test(a_row_that_outweighs_all_others_gives_no_debiased_value),
        cmocka_unit_test(outputs_that_sum_to_a_constant_have_rank_c_less_1),
        cmocka_unit_test(the_rank_s_cutoff_follows_the_format_of_the_outputs),
        cmocka_unit_test(a_mean_of_the_outputs_adds_no_rank),
        cmocka_unit_test(rounding_gives_no_more_rank_than_rows_less_1),
        cmocka_unit_test(degenerate_is_rank_at_features_or_rows_less_1),
        cmocka_unit_test(no_more_rank_than_rows_less_1),
        cmocka_unit_test(small_sample_is_few_rows_a_rank),
        cmocka_unit_test(the_debiased_estimate_needs_rows_beyond_the_rank),
        cmocka_unit_test(low_precision_is_a_mean_that_leaves_few_digits),
        cmocka_unit_test(a_spread_of_few_digits_is_flagged_before_it_moves_d_lr),
        cmocka_unit_test(features_or_outputs_that_do_not_vary_give_null),
        cmocka_unit_test(one_row_gives_null),
        cmocka_unit_test(outputs_that_lapack_refuses_give_null_and_keep_pr),
        cmocka_unit_test(every_allocation_may_fail),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
