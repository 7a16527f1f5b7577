/* Features and outputs as two views: the flag of a head that is not linear, in formats and shapes
 * where rounding or few rows could be taken for one, and canonical correlations against a reference
 * that sees the rows (tests/lib/core/reference_spectrum.h). */
#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/measure/measure.h"
#include "tests/lib/core/reference_spectrum.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/random.h"

#define N_FEATURES 64
#define N_OUTPUTS  10
#define N_ROWS     2048

/* f64 rows: X'X is good to 1e-15 and the ridge is 1e-13, each times the condition, below 1e3. */
#define TOLERANCE 1e-9

/* Gaussian features about `mean`, the j-th of spread 10^(-decades j / p). */
static void fill_features(struct sample *s, struct random *r, double mean, double decades)
{
    for (size_t i = 0; i < s->n; i++) {
        for (size_t j = 0; j < s->p; j++) {
            double spread = pow(10, -decades * (double)j / (double)s->p);

            s->x[i * s->p + j] = spread * (mean + random_gaussian(r));
        }
    }
}

/* Rows of unequal length: of equal ones, a cosine head is linear. */
static void spread_lengths(struct sample *s, struct random *r)
{
    for (size_t i = 0; i < s->n; i++) {
        double length = exp(0.4 * random_gaussian(r));

        for (size_t j = 0; j < s->p; j++)
            s->x[i * s->p + j] *= length;
    }
}

/* y = x W' + bias with W of size 1/sqrt(p). */
static void fill_logits(struct sample *s, struct random *r, double bias)
{
    double *w = must_alloc(s->p * s->c * sizeof *w);

    random_fill_gaussian(r, s->p * s->c, w);
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->c; k++) {
            double sum = bias * (double)(k + 1);

            for (size_t j = 0; j < s->p; j++)
                sum += s->x[i * s->p + j] * w[k * s->p + j] / sqrt((double)s->p);
            s->y[i * s->c + k] = sum;
        }
    }
    free(w);
}

static double softmax(const double *row, size_t c, size_t k)
{
    double sum = 0;

    for (size_t j = 0; j < c; j++)
        sum += exp(row[j] - row[k]);
    return 1 / sum;
}

enum shape { LINEAR, SOFTMAX, TANH, COSINE };

static void bend(struct sample *s, enum shape shape)
{
    for (size_t i = 0; i < s->n; i++) {
        double *y = s->y + i * s->c, norm = 0, out[N_OUTPUTS];

        for (size_t j = 0; j < s->p; j++)
            norm += s->x[i * s->p + j] * s->x[i * s->p + j];
        for (size_t k = 0; k < s->c; k++)
            out[k] = shape == SOFTMAX  ? softmax(y, s->c, k)
                     : shape == TANH   ? tanh(y[k])
                     : shape == COSINE ? y[k] / sqrt(norm)
                                       : y[k];
        for (size_t k = 0; k < s->c; k++)
            y[k] = out[k];
    }
}

static bool is_flagged(struct sample *s, enum dtype d)
{
    struct point point;

    sample_encode(s, d, d);
    point = sample_point(s, 512);
    return point.flags & FLAG_NONLINEAR_HEAD;
}

static void outputs_that_are_not_linear_are_flagged(void **state)
{
    static const enum shape shapes[] = {SOFTMAX, TANH, COSINE};
    static const enum dtype formats[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16};

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        struct random r;
        struct sample s;

        random_seed(&r, i);
        sample_init(&s, N_ROWS, N_FEATURES, N_OUTPUTS);
        fill_features(&s, &r, 0, 0);
        spread_lengths(&s, &r);
        fill_logits(&s, &r, 0);
        bend(&s, shapes[i / 4]);
        assert_true(is_flagged(&s, formats[i % 4]));
        sample_release(&s);
    }
}

struct linear_case {
    const char *what;
    size_t n;
    double mean, decades, bias;
    enum dtype format;
};

/* With duplicates and features that do not vary among them. */
static void linear_heads_are_not_flagged(void **state)
{
    static const struct linear_case cases[] = {
        {"f64", N_ROWS, 0, 0, 0, DTYPE_F64},
        {"f32", N_ROWS, 0, 0, 0, DTYPE_F32},
        {"f16", N_ROWS, 0, 0, 0, DTYPE_F16},
        {"bf16", N_ROWS, 0, 0, 0, DTYPE_BF16},
        {"2 p rows", 2 * N_FEATURES, 0, 0, 0, DTYPE_F32},
        {"bf16, 2 p rows", 2 * N_FEATURES, 0, 0, 0, DTYPE_BF16},
        {"a bias", N_ROWS, 0, 0, 100, DTYPE_F32},
        {"a bias in bf16", N_ROWS, 0, 0, 30, DTYPE_BF16},
        {"mean 1000", N_ROWS, 1000, 0, 0, DTYPE_F32},
        {"mean 1000, f64", N_ROWS, 1000, 0, 0, DTYPE_F64},
        {"mean 10 in bf16", N_ROWS, 10, 0, 0, DTYPE_BF16},
        {"spreads over 3 decades", N_ROWS, 0, 3, 0, DTYPE_F32},
        {"spreads over 8 decades, f64", N_ROWS, 5, 8, 0, DTYPE_F64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct linear_case *c = &cases[i];
        struct random r;
        struct sample s;

        random_seed(&r, i);
        sample_init(&s, c->n, N_FEATURES, N_OUTPUTS);
        fill_features(&s, &r, c->mean, c->decades);
        for (size_t k = 0; k < s.n; k++) {
            s.x[k * s.p + 7] = s.x[k * s.p + 3];
            s.x[k * s.p + 9] = s.x[k * s.p + 1] - 2 * s.x[k * s.p + 2];
            s.x[k * s.p + 11] = 0.3;
            s.x[k * s.p + 12] = 0;
        }
        fill_logits(&s, &r, c->bias);
        printf("%s\n", c->what);
        assert_false(is_flagged(&s, c->format));
        sample_release(&s);
    }
}

/* The outputs of a network are no linear function of its inner layers, nor is one told with few
 * rows. */
static void inner_layers_and_few_rows_are_not_flagged(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64},
                                .projector.kind = PROJECTOR_SPAN};
    struct random r;
    struct sample s;
    struct moments m;
    struct point point;
    struct spectrum *none;

    (void)state;
    random_seed(&r, 1);
    sample_init(&s, N_ROWS, N_FEATURES, N_OUTPUTS);
    fill_features(&s, &r, 0, 0);
    fill_logits(&s, &r, 0);
    bend(&s, SOFTMAX);
    sample_encode(&s, DTYPE_F64, DTYPE_F64);
    assert_int_equal(moments_init(&m, s.p, s.c, 0), 0);
    sample_fold(&s, &m, 0, s.n, 512, 0);
    assert_int_equal(measure_point(&m, &plan, &point, &none), 0);
    assert_true(point.flags & FLAG_NONLINEAR_HEAD);
    plan.is_inner = true;
    assert_int_equal(measure_point(&m, &plan, &point, &none), 0);
    assert_false(point.flags & FLAG_NONLINEAR_HEAD);
    moments_release(&m);
    s.n = 2 * N_FEATURES - 1;
    assert_false(is_flagged(&s, DTYPE_F64));
    sample_release(&s);
}

static void correlations_are_the_reference(void **state)
{
    static const size_t shapes[][3] = {{120, 12, 4}, {120, 4, 12}, {200, 20, 20}, {90, 7, 1}};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const size_t *shape = shapes[i / 2];
        struct reference_rows rows;
        struct random r;
        struct sample s;
        struct point point;
        double off;

        random_seed(&r, i);
        sample_init(&s, shape[0], shape[1], shape[2]);
        fill_features(&s, &r, 3, i % 2 ? 1 : 0);
        fill_logits(&s, &r, 1);
        for (size_t k = 0; k < s.n * s.c; k++)
            s.y[k] += 0.2 * random_gaussian(&r) * (double)(k % s.c);
        sample_encode(&s, DTYPE_F64, DTYPE_F64);
        point = sample_point(&s, 50);
        rows = (struct reference_rows){.n = s.n, .p = s.p, .c = s.c, .x = s.x, .y = s.y};
        off = fabs(point.value[METRIC_CCA_MEAN] - (double)reference_cca_mean(&rows));
        printf("cca_mean %.6f off by %.1e\n", point.value[METRIC_CCA_MEAN], off);
        assert_true(off <= TOLERANCE);
        sample_release(&s);
    }
}

/* A linear head is 1 whatever its format; unrelated views are at sqrt of what chance explains. */
static void correlations_of_known_views(void **state)
{
    struct random r;
    struct sample s;
    struct point point;

    (void)state;
    random_seed(&r, 5);
    sample_init(&s, N_ROWS, N_FEATURES, N_OUTPUTS);
    fill_features(&s, &r, 0, 0);
    fill_logits(&s, &r, 0);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    point = sample_point(&s, 512);
    assert_true(fabs(point.value[METRIC_CCA_MEAN] - 1) <= 1e-5);
    random_fill_gaussian(&r, s.n * s.c, s.y);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    point = sample_point(&s, 512);
    assert_true(point.value[METRIC_CCA_MEAN] < 1.1 * sqrt((double)N_FEATURES / N_ROWS));
    assert_true(point.value[METRIC_CCA_MEAN] > 0.8 * sqrt((double)N_FEATURES / N_ROWS));
    s.n = 2 * (N_FEATURES + N_OUTPUTS) - 1;
    point = sample_point(&s, 512);
    assert_true(isnan(point.value[METRIC_CCA_MEAN]));
    sample_release(&s);
}

/* Two views about means of their own, in windows of both forms. */
static void the_gap_is_the_reference(void **state)
{
    static const size_t shapes[][3] = {{300, 12, 12}, {20, 30, 30}, {300, 12, 11}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct reference_rows rows;
        struct random r;
        struct sample s;
        double got;

        random_seed(&r, i);
        sample_init(&s, shapes[i][0], shapes[i][1], shapes[i][2]);
        fill_features(&s, &r, 0.5, 0);
        for (size_t k = 0; k < s.n * s.c; k++)
            s.y[k] = 3 * random_gaussian(&r) - (double)(k % 2);
        sample_encode(&s, DTYPE_F64, DTYPE_F64);
        got = sample_point(&s, 50).value[METRIC_MODALITY_GAP];
        rows = (struct reference_rows){.n = s.n, .p = s.p, .c = s.c, .x = s.x, .y = s.y};
        assert_int_equal(isnan(got), s.c != s.p);
        assert_true(s.c != s.p || fabs(got - (double)reference_modality_gap(&rows)) <= 1e-12);
        sample_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_that_are_not_linear_are_flagged),
        cmocka_unit_test(linear_heads_are_not_flagged),
        cmocka_unit_test(inner_layers_and_few_rows_are_not_flagged),
        cmocka_unit_test(correlations_are_the_reference),
        cmocka_unit_test(correlations_of_known_views),
        cmocka_unit_test(the_gap_is_the_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
