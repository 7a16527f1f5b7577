/* Linear CKA without the bias of few rows: against HSIC_1 of n x n kernels, against populations
 * whose value is known, and what a sample of the rows makes of it. */
#include "tests/lib/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "tests/lib/core/population.h"
#include "tests/lib/core/reference_cka.h"
#include "tests/lib/core/sample.h"

/* Sums of up to 2 10^5 products in double, of which unbiased forms leave a tenth or more. */
#define TOLERANCE 1e-9

/* ---- a window ---- */

static void fold_rows(const struct sample *s, struct moments *m, const double *weights)
{
    struct fold *fold = fold_new(s->p, m->c, 1);

    assert_non_null(fold);
    for (size_t at = 0, n; at < s->n; at += n) {
        struct rows rows;

        n = s->n - at < 200 ? s->n - at : 200;
        rows = sample_rows(s, at, n);
        if (m->c == 0)
            rows.outputs_dtype = DTYPE_NONE;
        if (weights) {
            rows.weights = weights + at;
            rows.weights_dtype = DTYPE_F64;
        }
        fold_begin(fold, m, 0);
        fold_add(fold, &rows, 0, n);
        fold_run(fold);
    }
    fold_free(fold);
}

struct way {
    bool by_features;        /* from p x p products, however few the rows are */
    const double *weights;   /* NULL: all 1 */
    const struct head *head; /* makes the outputs; NULL: they came as rows */
};

static double measure(struct sample *s, const struct way *way)
{
    struct measure_plan plan = {
        .precision = {DTYPE_F64, DTYPE_F64}, .projector.kind = PROJECTOR_SPAN, .head = way->head};
    struct spectrum *none;
    struct moments m;
    struct point point;
    size_t c = way->head ? 0 : s->c;

    memset(&point, 0, sizeof point);
    sample_encode(s, DTYPE_F64, DTYPE_F64);
    assert_int_equal(moments_init(&m, s->p, c, 0), 0);
    m.may_wait = !way->by_features;
    m.reservoir = reservoir_new(s->p, c, 0);
    assert_non_null(m.reservoir);
    fold_rows(s, &m, way->weights);
    if (measure_needs_xx(&m, &plan))
        assert_int_equal(moments_make_xx(&m), 0);
    assert_int_equal(measure_point(&m, &plan, &point, &none), 0);
    reservoir_free(m.reservoir);
    moments_release(&m);
    return point.value[METRIC_CKA_DEBIASED];
}

static double plain_measure(struct sample *s)
{
    return measure(s, &(struct way){0});
}

/* ---- against HSIC_1 ---- */

static double reference(const struct sample *s)
{
    return reference_cka_debiased(s->n, s->p, s->x, s->c, s->y);
}

static void fill(struct sample *s, size_t n, size_t p, size_t c)
{
    struct random r;

    random_seed(&r, n + p);
    sample_init(s, n, p, c);
    sample_fill(s, &r, 1, 2);
}

static void check_kept(size_t n, size_t p, size_t c)
{
    struct sample s;
    double want, by_rows, by_features, *weights = must_alloc(n * sizeof *weights), weighted;

    fill(&s, n, p, c);
    want = reference(&s);
    for (size_t i = 0; i < n; i++)
        weights[i] = 0.3;
    by_rows = plain_measure(&s);
    by_features = measure(&s, &(struct way){.by_features = true});
    weighted = measure(&s, &(struct way){.weights = weights});
    printf("n %zu, p %zu, C %zu: %.4f, off by %.1e by rows, %.1e by features, %.1e weighted\n", n,
           p, c, want, by_rows - want, by_features - want, weighted - want);
    assert_true(fabs(by_rows - want) <= TOLERANCE);
    assert_true(fabs(by_features - want) <= TOLERANCE);
    assert_true(fabs(weighted - want) <= TOLERANCE);
    free(weights);
    sample_release(&s);
}

static void kept_rows_are_the_reference(void **state)
{
    (void)state;
    check_kept(60, 9, 3);
    check_kept(40, 60, 5);
    check_kept(300, 40, 300);
}

/* ---- the same from sums ---- */

/* sum |x|^2 |y|^2, ||X'Y||^2 and the traces, about the means. */
struct products {
    double own, product, trace_x, trace_y;
};

static double *centred(size_t n, size_t p, const double *x)
{
    double *z = must_alloc(n * p * sizeof *z);
    long double *mean = must_alloc(p * sizeof *mean);

    reference_means(n, p, x, NULL, mean);
    for (size_t i = 0; i < n * p; i++)
        z[i] = x[i] - (double)mean[i % p];
    free(mean);
    return z;
}

static struct products products_of(size_t n, size_t p, const double *x, size_t q, const double *y)
{
    struct products out = {0};
    double *xy = must_alloc(p * q * sizeof *xy);

    linalg_cross_f64(n, p, q, x, p, y, q, 0, xy, q);
    for (size_t i = 0; i < n; i++) {
        double s = linalg_sum_squares(p, x + i * p), v = linalg_sum_squares(q, y + i * q);

        out.own += s * v;
        out.trace_x += s;
        out.trace_y += v;
    }
    out.product = linalg_sum_squares(p * q, xy);
    free(xy);
    return out;
}

/* n (n - 3) HSIC_1 of kernels of centred rows. */
static double hsic(double n, const struct products *x)
{
    return x->product - n / (n - 2) * x->own + x->trace_x * x->trace_y / ((n - 1) * (n - 2));
}

/* The reference of all rows, in n p^2 steps for its n^2 p. */
static double exact(const struct sample *s)
{
    double *x = centred(s->n, s->p, s->x), *y = centred(s->n, s->c, s->y), n = (double)s->n;
    struct products xx = products_of(s->n, s->p, x, s->p, x);
    struct products xy = products_of(s->n, s->p, x, s->c, y);
    struct products yy = products_of(s->n, s->c, y, s->c, y);

    free(x);
    free(y);
    return hsic(n, &xy) / sqrt(hsic(n, &xx) * hsic(n, &yy));
}

static void the_short_way_is_the_reference(void **state)
{
    struct sample s;

    (void)state;
    fill(&s, 60, 9, 3);
    assert_true(fabs(exact(&s) - reference(&s)) <= TOLERANCE);
    sample_release(&s);
}

/* ---- a head: the outputs are R x, which never come ---- */

#define P 20

/* R, packed by rows, and y = R x. */
static void fill_outputs(struct sample *s, double values[P * (P + 1) / 2])
{
    struct random r;

    random_seed(&r, 8);
    memset(s->y, 0, s->n * P * sizeof *s->y);
    for (size_t k = 0; k < P; k++) {
        for (size_t j = k; j < P; j++, values++) {
            *values = random_gaussian(&r);
            for (size_t i = 0; i < s->n; i++)
                s->y[i * P + k] += *values * s->x[i * P + j];
        }
    }
}

static void check_head(size_t n, double tolerance)
{
    struct sample s;
    struct head *head = head_new(P, P);
    double values[P * (P + 1) / 2], want, got;
    struct err why;

    fill(&s, n, P, P);
    fill_outputs(&s, values);
    assert_int_equal(
        head_take(head, &(struct head_slice){0, P, DTYPE_F64, DTYPE_F64, values}, &why), 0);
    want = exact(&s);
    got = measure(&s, &(struct way){.head = head});
    printf("head, n %zu: %.4f, off by %.1e\n", n, want, got - want);
    assert_true(fabs(got - want) <= tolerance);
    head_free(head);
    sample_release(&s);
}

/* Beyond the rows that are kept as near as other outputs: see below. */
static void a_head_s_outputs_are_the_reference(void **state)
{
    (void)state;
    check_head(90, TOLERANCE);
    check_head(3000, 1e-4);
}

/* ---- against populations ---- */

struct spread {
    double sum, squares;
    int n;
};

static void add(struct spread *spread, double value)
{
    spread->sum += value;
    spread->squares += value * value;
    spread->n++;
}

static double mean_of(const struct spread *spread)
{
    return spread->sum / spread->n;
}

static double deviation_of(const struct spread *spread)
{
    double mean = mean_of(spread);

    return sqrt((spread->squares / spread->n - mean * mean) * spread->n / (spread->n - 1));
}

#define N_DRAWS 8

struct regime {
    const struct population *rows;
    const struct population *others; /* NULL; or the outputs are those of other rows */
};

static void draw(const struct regime *regime, struct random *r, struct sample *s, size_t n)
{
    sample_init(s, n, regime->rows->p, regime->rows->c);
    population_draw(regime->rows, r, n, s->x, s->y);
    if (regime->others) {
        double *x = must_alloc(n * s->p * sizeof *x);

        population_draw(regime->others, r, n, x, s->y);
        free(x);
    }
}

/* How far the sampled form is from that of all rows, and how far that is from its mean. A tenth
 * adds half a percent to the whole error. Where the outputs know nothing of the features the value
 * is 0, and where they have a heavy tail of their own that the sample misses, a thousandth is lost.
 */
static void check_sampled(const struct regime *regime, size_t n)
{
    struct spread all = {0}, off = {0};
    struct random r;
    double root;

    random_seed(&r, n);
    for (int i = 0; i < N_DRAWS; i++) {
        struct sample s;
        double value;

        draw(regime, &r, &s, n);
        value = exact(&s);
        add(&all, value);
        add(&off, plain_measure(&s) - value);
        sample_release(&s);
    }
    root = sqrt(off.squares / N_DRAWS);
    printf("%-15s %s%s, n %zu: %.4f, sd %.5f, sampled rows off by %.5f\n",
           population_names[regime->rows->kind], regime->rows->rich ? "rich" : "lazy",
           regime->others ? ", other outputs" : "", n, mean_of(&all), deviation_of(&all), root);
    assert_true(root <= (regime->others ? 0.0015 : 0.1 * deviation_of(&all)));
}

static void check_population(enum population_kind kind, bool rich)
{
    struct population q, others;

    population_init(&q, kind, rich, 64, 10);
    population_init(&others, POPULATION_T3, rich, 64, 10);
    check_sampled(&(struct regime){&q, NULL}, 4096);
    check_sampled(&(struct regime){&q, &others}, 1300);
    population_release(&q);
    population_release(&others);
}

static void a_sample_of_the_rows_adds_little_to_the_sampling_error(void **state)
{
    (void)state;
    for (enum population_kind kind = 0; kind < POPULATION_COUNT; kind++) {
        for (int rich = 0; rich < 2; rich++)
            check_population(kind, rich);
    }
}

/* Outputs that know nothing of the features. */
static void check_unrelated(size_t n, size_t p, bool weighted)
{
    struct spread spread = {0};
    struct random r;
    double *weights = must_alloc(n * sizeof *weights);

    random_seed(&r, n);
    for (int i = 0; i < 3 * N_DRAWS; i++) {
        struct sample s;

        sample_init(&s, n, p, 10);
        random_fill_gaussian(&r, n * p, s.x);
        random_fill_gaussian(&r, n * 10, s.y);
        for (size_t k = 0; k < n; k++)
            weights[k] = 0.2 + random_uniform(&r);
        add(&spread, measure(&s, &(struct way){.weights = weighted ? weights : NULL}));
        sample_release(&s);
    }
    printf("unrelated, n %zu, p %zu%s: %.4f +- %.4f\n", n, p, weighted ? ", weighted" : "",
           mean_of(&spread), deviation_of(&spread) / sqrt(spread.n));
    assert_true(fabs(mean_of(&spread)) <= 3 * deviation_of(&spread) / sqrt(spread.n));
    assert_true(deviation_of(&spread) <= 0.05);
    free(weights);
}

static void unrelated_outputs_read_0(void **state)
{
    (void)state;
    check_unrelated(64, 256, false);
    check_unrelated(128, 1024, false);
    check_unrelated(512, 512, false);
    check_unrelated(128, 64, true);
    check_unrelated(2000, 64, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_rows_are_the_reference),
        cmocka_unit_test(the_short_way_is_the_reference),
        cmocka_unit_test(a_head_s_outputs_are_the_reference),
        cmocka_unit_test(a_sample_of_the_rows_adds_little_to_the_sampling_error),
        cmocka_unit_test(unrelated_outputs_read_0),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
