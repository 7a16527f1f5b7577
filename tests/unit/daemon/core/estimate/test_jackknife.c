/* Error bars: against the naive reference on the rows that stay, and against the spread of the
 * estimates over draws from a population. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/jackknife.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "tests/lib/core/reduced.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* A sample, its moments with the rows that are kept beside them, and row weights or NULL. */
struct trial {
    struct sample s;
    struct moments m;
    double *weights;
    double half_life_rows;
    bool by_features; /* whatever the shape */
    struct kept kept;
    double weighting, overfit;
};

static void start(struct trial *t, size_t n, size_t p, size_t c, double half_life_rows)
{
    memset(t, 0, sizeof *t);
    sample_init(&t->s, n, p, c);
    assert_int_equal(moments_init(&t->m, p, c, 0), 0);
    t->half_life_rows = half_life_rows;
    t->m.reservoir = reservoir_new(p, c, half_life_rows);
    assert_non_null(t->m.reservoir);
}

static void end(struct trial *t)
{
    reservoir_free(t->m.reservoir);
    moments_release(&t->m);
    sample_release(&t->s);
    free(t->weights);
}

static struct point measure(struct trial *t, size_t batch)
{
    struct fold *f = fold_new(t->s.p, t->s.c, 1);

    assert_non_null(f);
    moments_reset(&t->m);
    t->m.may_wait = !t->by_features;
    for (size_t at = 0, n; at < t->s.n; at += n) {
        struct rows rows;

        n = t->s.n - at < batch ? t->s.n - at : batch;
        rows = sample_rows(&t->s, at, n);
        rows.weights = t->weights ? t->weights + at : NULL;
        rows.weights_dtype = DTYPE_F64;
        fold_begin(f, &t->m, t->half_life_rows);
        fold_add(f, &rows, 0, n);
        fold_run(f);
        assert_false(rows.refused);
    }
    fold_free(f);
    return sample_measure(&t->s, &t->m);
}

/* ---- against leaving rows out -------------------------------------------------------------- */

static double weight_of(const struct trial *t, size_t i)
{
    double age = (double)(t->s.n - 1 - i), w = t->weights ? t->weights[i] : 1;

    return t->half_life_rows > 0 ? w * exp2(-age / t->half_life_rows) : w;
}

/* The reference on the rows that are not left out. */
static struct reference without(const struct trial *t, const bool *out, double overfit)
{
    const struct sample *s = &t->s;
    double *x = must_alloc(s->n * s->p * sizeof *x), *y = must_alloc(s->n * s->c * sizeof *y);
    double *w = must_alloc(s->n * sizeof *w);
    struct reference result;
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (out[i])
            continue;
        memcpy(x + n * s->p, s->x + i * s->p, s->p * sizeof *x);
        memcpy(y + n * s->c, s->y + i * s->c, s->c * sizeof *y);
        w[n++] = weight_of(t, i);
    }
    reference_measure(n, s->p, x, s->c, y, w, span_cutoff(s->outputs_dtype), &result);
    reference_debias(&result, t->weighting, overfit);
    free(x);
    free(y);
    free(w);
    return result;
}

struct left_out {
    double weight, squares;
    double psi[4]; /* of d_lr, and of the de-biased D, u and PR */
};

/* The influence of the groups whose bits are set in `which`, of a pair. */
static struct left_out leave_out(const struct trial *t, const struct reservoir_group *pair,
                                 int which)
{
    bool *out = calloc(t->s.n, sizeof *out);
    struct reference all = without(t, out, t->overfit), rest;
    struct left_out part = {0};
    double total = 0, parts = 0, leverage = 0;

    for (size_t g = 0; g < 2; g++) {
        size_t first = t->s.n - 1 - pair[g].age;

        for (size_t i = first; which & 1 << g && i < first + pair[g].n; i++)
            out[i] = true;
        for (size_t i = 0; which & 1 << g && i < pair[g].n; i++) {
            parts += t->kept.overfit[pair[g].at + i];
            leverage += t->kept.leverage[pair[g].at + i];
        }
    }
    for (size_t i = 0; i < t->s.n; i++) {
        total += weight_of(t, i);
        part.weight += out[i] ? weight_of(t, i) : 0;
        part.squares += out[i] ? weight_of(t, i) * weight_of(t, i) : 0;
    }
    rest = without(t, out, t->overfit * (1 + leverage / (double)all.rank) - parts);
    part.psi[0] = (double)(rest.d_lr - all.d_lr) * (total - part.weight) / part.weight;
    part.psi[1] = (double)(rest.d_debiased - all.d_debiased) * (total - part.weight) / part.weight;
    part.psi[2] = (double)(rest.u_debiased - all.u_debiased) * (total - part.weight) / part.weight;
    part.psi[3] =
        (double)(rest.pr_debiased - all.pr_debiased) * (total - part.weight) / part.weight;
    free(out);
    return part;
}

/* The header's formulas, for groups 2k and 2k + 1 in `parts[k][0..1]`, both in `parts[k][2]`. */
static double expected_error(struct left_out (*parts)[3], size_t n_pairs, size_t which, double n,
                             double total)
{
    double mean = 0, weight = 0, var = 0, q[RESERVOIR_GROUPS], q_mean = 0, q_var = 0;

    for (size_t i = 0; i < 2 * n_pairs; i++) {
        mean += parts[i / 2][i % 2].weight * parts[i / 2][i % 2].psi[which];
        weight += parts[i / 2][i % 2].weight;
    }
    for (size_t i = 0; i < 2 * n_pairs; i++) {
        const struct left_out *g = &parts[i / 2][i % 2];

        var += pow((g->psi[which] - mean / weight) * g->weight, 2) / g->squares;
    }
    for (size_t i = 0; i < n_pairs; i++) {
        const struct left_out *g = parts[i];

        q[i] = g[0].weight * (g[2].psi[which] - g[0].psi[which]);
        q[i] += g[1].weight * (g[2].psi[which] - g[1].psi[which]);
        q[i] *= 4 * total / pow(g[2].weight, 2) * g[0].weight / sqrt(g[0].squares) * g[1].weight /
                sqrt(g[1].squares);
        q_mean += q[i] / (double)n_pairs;
    }
    for (size_t i = 0; i < n_pairs; i++)
        q_var += (q[i] - q_mean) * (q[i] - q_mean) / (double)(n_pairs - 1);
    var /= (double)(2 * n_pairs - 1) * n;
    return sqrt(fmax(var - q_var / (2 * n * n), var / 2));
}

/* sum w |x|^4 / sum w about the window's mean, over rows from..to-1, by their number. */
struct fourth {
    double sum, weight;
};

static void add_fourths(const struct trial *t, const long double *mean, size_t from, size_t to,
                        struct fourth *fourth)
{
    for (size_t i = from; i < to; i++) {
        double square = 0, w = weight_of(t, i);

        for (size_t j = 0; j < t->s.p; j++)
            square += pow(t->s.x[i * t->s.p + j] - (double)mean[j], 2);
        fourth->sum += w * square * square;
        fourth->weight += w;
    }
}

/* The window's mean w s^2 over that of the rows in the groups. */
static double expected_ratio(const struct trial *t, const struct reservoir_group *groups, size_t n)
{
    double *w = must_alloc(t->s.n * sizeof *w);
    long double *mean = must_alloc(t->s.p * sizeof *mean);
    struct fourth all = {0}, some = {0};

    for (size_t i = 0; i < t->s.n; i++)
        w[i] = weight_of(t, i);
    reference_means(t->s.n, t->s.p, t->s.x, w, mean);
    add_fourths(t, mean, 0, t->s.n, &all);
    for (size_t g = 0; g < n; g++) {
        size_t first = t->s.n - 1 - groups[g].age;

        add_fourths(t, mean, first, first + groups[g].n, &some);
    }
    free(mean);
    free(w);
    return all.sum / all.weight * some.weight / some.sum;
}

/* What single rows add, which test_kept.c has the reference of. */
static void keep(struct trial *t)
{
    struct span outputs;

    assert_int_equal(span_init(&outputs, &t->m, 0, t->s.c, t->s.outputs_dtype), 0);
    assert_int_equal(kept_init(&t->kept, &t->m), 0);
    assert_int_equal(kept_overfit(&t->kept, &t->m, &outputs, DTYPE_F64, 0, &t->overfit), 0);
    t->weighting = kept_sum(&t->kept, &t->m, 1, 1).weighting;
    span_release(&outputs);
}

static struct estimate expected_errors(const struct trial *t)
{
    struct reservoir_group groups[RESERVOIR_GROUPS];
    struct left_out parts[RESERVOIR_GROUPS / 2][3];
    size_t n_pairs = reservoir_groups(t->m.reservoir, JACKKNIFE_GROUP_ROWS, groups) / 2;
    double total = 0, squares = 0, root = sqrt(expected_ratio(t, groups, 2 * n_pairs));

    for (size_t i = 0; i < t->s.n; i++) {
        total += weight_of(t, i);
        squares += weight_of(t, i) * weight_of(t, i);
    }
    for (size_t k = 0; k < n_pairs; k++) {
        for (int which = 1; which <= 3; which++)
            parts[k][which - 1] = leave_out(t, groups + 2 * k, which);
    }
    return (struct estimate){
        .plain = root * expected_error(parts, n_pairs, 0, total * total / squares, total),
        .debiased = root * expected_error(parts, n_pairs, 1, total * total / squares, total),
        .u = root * expected_error(parts, n_pairs, 2, total * total / squares, total),
        .pr = root * expected_error(parts, n_pairs, 3, total * total / squares, total),
    };
}

/* Relative. Leaving out a group changes ||X'X||^2 by a share 2/G, of which single precision loses
 * 2^-24 sqrt(p) at worst, while the groups differ by no less than 1/sqrt(p n/G) of that share:
 * 2^-24 sqrt(p) sqrt(p n/G) is 3e-5 for the largest trial here. The rows' own moments add 1e-6 of
 * single precision in the same proportion for f32: 1e-3 for all is far below the 13 % that 32
 * groups leave open. */
#define TOLERANCE 1e-3

static void check(const char *what, struct trial *t)
{
    struct point got = measure(t, 37);
    struct estimate expected;
    double plain, debiased, u, pr;

    keep(t);
    expected = expected_errors(t);
    plain = fabs(got.value[METRIC_D_LR_SE] / expected.plain - 1);
    debiased = fabs(got.value[METRIC_D_DEBIASED_SE] / expected.debiased - 1);
    u = fabs(got.value[METRIC_U_DEBIASED_SE] / expected.u - 1);
    /* With one feature pr is 1 whatever the rows. */
    pr = fabs(got.value[METRIC_PR_DEBIASED_SE] - expected.pr) / (expected.pr + 1e-3);

    printf("%-36s d_lr %.5f +- %.5f, relative deviation of the errors %.1e, de-biased %.1e, u "
           "%.1e, pr %.1e\n",
           what, got.value[METRIC_D_LR], expected.plain, plain, debiased, u, pr);
    assert_true(plain <= TOLERANCE);
    assert_true(debiased <= TOLERANCE);
    kept_release(&t->kept);
    assert_true(u <= TOLERANCE);
    assert_true(pr <= TOLERANCE);
}

/* Features of a skewed distribution, as after a rectifier: third moments do not vanish. */
static void skew(struct sample *s)
{
    for (size_t i = 0; i < s->n * s->p; i++)
        s->x[i] = exp(s->x[i] / 2);
}

static void check_shape(const char *what, size_t n, size_t p, size_t c, enum dtype d, double mean)
{
    struct trial t;
    struct random r;

    random_seed(&r, n + p);
    start(&t, n, p, c, 0);
    sample_fill(&t.s, &r, 0, 3);
    skew(&t.s);
    for (size_t i = 0; i < n * p; i++)
        t.s.x[i] += mean;
    sample_encode(&t.s, d, d);
    check(what, &t);
    if (n < p) {
        t.by_features = true;
        check("   the same by features", &t);
    }
    end(&t);
}

static void errors_are_those_of_leaving_groups_out(void **state)
{
    (void)state;
    check_shape("f64, n 256, p 24", 256, 24, 5, DTYPE_F64, 0);
    check_shape("f32, n 256, p 24", 256, 24, 5, DTYPE_F32, 0);
    check_shape("f32, mean/std 1000", 256, 24, 5, DTYPE_F32, 1000);
    check_shape("f64, fewer rows than features", 64, 90, 3, DTYPE_F64, 1);
    check_shape("f64, one feature, one output", 200, 1, 1, DTYPE_F64, 0);
    check_shape("f32, groups of unequal size", 333, 12, 4, DTYPE_F32, 2);
    check_shape("f32, several tiles", 70, 600, 3, DTYPE_F32, 1);
    check_shape("f32, a sample of the rows", 2500, 10, 3, DTYPE_F32, 1);
}

static void rows_that_weigh_differently_count_so(void **state)
{
    struct trial t;
    struct random r;

    (void)state;
    random_seed(&r, 5);
    start(&t, 300, 14, 3, 0);
    sample_fill(&t.s, &r, 1, 3);
    skew(&t.s);
    sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
    t.weights = must_alloc(300 * sizeof(double));
    for (size_t i = 0; i < 300; i++)
        t.weights[i] = i % 11 == 0 ? 0 : 0.2 + random_uniform(&r);
    check("f64, weighted rows", &t);
    end(&t);
}

static void rows_that_are_forgotten_count_less(void **state)
{
    static const double half_lives[] = {15, 40, 500};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct trial t;
        struct random r;

        random_seed(&r, 6);
        start(&t, 2100, 9, 2, half_lives[i]);
        sample_fill(&t.s, &r, 1, 3);
        sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
        check("f64, half-life", &t);
        end(&t);
    }
}

static void magnitude_does_not_matter(void **state)
{
    static const double scales[] = {1e-30, 1e30};
    double error[2];

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct trial t;
        struct random r;

        random_seed(&r, 7);
        start(&t, 300, 8, 2, 0);
        sample_fill(&t.s, &r, 1, 3);
        for (size_t i = 0; i < t.s.n * t.s.p; i++)
            t.s.x[i] *= scales[k];
        sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
        error[k] = measure(&t, 300).value[METRIC_D_LR_SE];
        end(&t);
    }
    assert_true(fabs(error[0] / error[1] - 1) <= 1e-6);
}

/* Only ratios of weights count. They may be 1e+-100 (fold_parts.h), whose roots no float holds. */
static void magnitude_of_weights_does_not_matter(void **state)
{
    static const double scales[] = {1, 1e-99, 1e99};
    static const enum metric errors[] = {METRIC_D_LR_SE, METRIC_D_DEBIASED_SE, METRIC_U_DEBIASED_SE,
                                         METRIC_PR_DEBIASED_SE};
    struct point first = {0};

    (void)state;
    for (size_t k = 0; k < 6; k++) {
        struct trial t;
        struct random r;
        struct point got;

        random_seed(&r, 9);
        start(&t, 100, 120, 3, 0);
        sample_fill(&t.s, &r, 1, 3);
        for (size_t i = 0; i < t.s.n * t.s.p; i++)
            t.s.x[i] *= 1e6;
        sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
        t.by_features = k >= 3;
        t.weights = must_alloc(t.s.n * sizeof(double));
        for (size_t i = 0; i < t.s.n; i++)
            t.weights[i] = (0.2 + random_uniform(&r)) * scales[k % 3];
        got = measure(&t, 40);
        first = k == 0 ? got : first;
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
            assert_true(fabs(got.value[errors[e]] / first.value[errors[e]] - 1) <= 1e-5);
        end(&t);
    }
}

static void errors_do_not_depend_on_how_rows_were_split(void **state)
{
    static const size_t batches[] = {1, 64, 777, 4000};
    double first[2] = {0}, largest = 0;
    struct trial t;
    struct random r;

    (void)state;
    random_seed(&r, 8);
    start(&t, 3000, 20, 4, 0);
    sample_fill(&t.s, &r, 1, 3);
    sample_encode(&t.s, DTYPE_F32, DTYPE_F32);
    for (size_t k = 0; k < 4; k++) {
        struct point got = measure(&t, batches[k] > 1000 ? 1000 : batches[k]);

        if (k == 0) {
            first[0] = got.value[METRIC_D_LR_SE];
            first[1] = got.value[METRIC_D_DEBIASED_SE];
        }
        largest = fmax(largest, fabs(got.value[METRIC_D_LR_SE] / first[0] - 1));
        largest = fmax(largest, fabs(got.value[METRIC_D_DEBIASED_SE] / first[1] - 1));
    }
    printf("any split: largest relative difference of the errors %.1e\n", largest);
    assert_true(largest > 0 || first[0] > 0);
    assert_true(largest <= TOLERANCE);
    end(&t);
}

/* ---- against a population ------------------------------------------------------------------ */

/* 1 - (sum of the first c variances) / sqrt(c sum of squares). */
static double population(size_t p, size_t c, size_t n_large, double rest)
{
    double q = 0, squares = 0;

    for (size_t j = 0; j < p; j++) {
        double variance = j < n_large ? 1 : rest;

        q += j < c ? variance : 0;
        squares += variance * variance;
    }
    return 1 - q / sqrt((double)c * squares);
}

struct population {
    size_t n, p, c, n_large;
    double rest;
};

#define N_DRAWS 200

/* How often value +- 2 errors holds the truth. */
static double coverage(const double *value, const double *error, double truth)
{
    size_t inside = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        inside += fabs(value[i] - truth) <= 2 * error[i];
    return (double)inside / N_DRAWS;
}

static double mean_of(const double *values)
{
    double sum = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        sum += values[i] / N_DRAWS;
    return sum;
}

static double deviation_of(const double *values)
{
    double mean = mean_of(values), sum = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        sum += (values[i] - mean) * (values[i] - mean);
    return sqrt(sum / (N_DRAWS - 1));
}

/* The de-biased estimate aims at the population, the plain one at its own mean at this n. Chance
 * moves a coverage of .95 over 200 draws by .015 (one sigma): .90 to .98 leaves room for the normal
 * quantile with 31 degrees of freedom (.941 expected) and for nothing that is wrong. */
static void check_coverage(const struct population *q, struct random *r)
{
    double plain[N_DRAWS], plain_se[N_DRAWS], debiased[N_DRAWS], debiased_se[N_DRAWS];
    double truth = population(q->p, q->c, q->n_large, q->rest), covered[2];

    for (size_t i = 0; i < N_DRAWS; i++) {
        struct trial t;
        struct point got;

        start(&t, q->n, q->p, q->c, 0);
        sample_fill_population(&t.s, r, q->n_large, q->rest);
        sample_encode(&t.s, DTYPE_F32, DTYPE_F32);
        got = measure(&t, 512);
        plain[i] = got.value[METRIC_D_LR];
        plain_se[i] = got.value[METRIC_D_LR_SE];
        debiased[i] = got.value[METRIC_D_DEBIASED];
        debiased_se[i] = got.value[METRIC_D_DEBIASED_SE];
        end(&t);
    }
    covered[0] = coverage(plain, plain_se, mean_of(plain));
    covered[1] = coverage(debiased, debiased_se, truth);
    printf("n %4zu p %3zu C %2zu true %.4f: d_lr sd %.5f, error %.5f, covers %.3f; "
           "de-biased sd %.5f, error %.5f, covers %.3f\n",
           q->n, q->p, q->c, truth, deviation_of(plain), mean_of(plain_se), covered[0],
           deviation_of(debiased), mean_of(debiased_se), covered[1]);
    for (size_t k = 0; k < 2; k++)
        assert_true(covered[k] >= .90 && covered[k] <= .98);
}

static void intervals_cover_the_population_value(void **state)
{
    static const struct population populations[] = {
        {32, 32, 4, 32, 1},     {64, 16, 3, 16, 1},    {64, 64, 10, 9, .05},
        {64, 256, 10, 256, 1},  {256, 32, 4, 32, 1},   {256, 64, 10, 9, .05},
        {256, 256, 10, 256, 1}, {512, 48, 10, 20, .2}, {2048, 24, 3, 10, .1},
    };
    struct random r;

    (void)state;
    random_seed(&r, 9);
    for (size_t i = 0; i < sizeof populations / sizeof populations[0]; i++)
        check_coverage(&populations[i], &r);
}

/* ---- rows that depend on each other ---------------------------------------------------------- */

#define ORDER_ROWS  2048
#define ORDER_P     24
#define ORDER_C     3
#define ORDER_DRAWS 100

static void join(double *row, const double *first, size_t n, double shared)
{
    for (size_t j = 0; j < n; j++)
        row[j] = sqrt(shared) * first[j] + sqrt(1 - shared) * row[j];
}

/* Rows of a piece of `length` have a share of their variance in common: that of its first row. */
static void join_rows(struct sample *s, size_t length, double shared)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t first = i / length * length;

        if (i == first)
            continue;
        join(s->x + i * s->p, s->x + first * s->p, s->p, shared);
        join(s->y + i * s->c, s->y + first * s->c, s->c, shared);
    }
}

static void swap_with_previous(double *row, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        double value = row[j], *previous = row - n + j;

        row[j] = *previous;
        *previous = value;
    }
}

/* Sorts batches by the size of the first feature: as a set, the rows stay independent. */
static void sort_rows(struct sample *s, size_t batch)
{
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = i; k % batch > 0 && fabs(s->x[(k - 1) * s->p]) > fabs(s->x[k * s->p]);
             k--) {
            swap_with_previous(s->x + k * s->p, s->p);
            swap_with_previous(s->y + k * s->c, s->c);
        }
    }
}

struct order {
    const char *what;
    size_t joined, sorted; /* rows of a piece and of a sorted batch; 1: none */
    double shared;
};

/* How many of the draws have the flag. */
static size_t count_dependent(const struct order *order)
{
    size_t n = 0;
    struct random r;

    random_seed(&r, 15);
    for (size_t i = 0; i < ORDER_DRAWS; i++) {
        struct trial t;

        start(&t, ORDER_ROWS, ORDER_P, ORDER_C, 0);
        sample_fill_population(&t.s, &r, 10, .1);
        join_rows(&t.s, order->joined, order->shared);
        sort_rows(&t.s, order->sorted);
        sample_encode(&t.s, DTYPE_F32, DTYPE_F32);
        n += (measure(&t, 512).flags & FLAG_DEPENDENT_ROWS) != 0;
        end(&t);
    }
    printf("%-36s dependent_rows in %zu of %d\n", order->what, n, ORDER_DRAWS);
    return n;
}

/* A flag in 1 of 100 windows is promised at most, and .4 expected: more than 3 have a chance of
 * 1e-3. */
static void independent_rows_are_rarely_called_dependent(void **state)
{
    (void)state;
    assert_in_range(count_dependent(&(struct order){"independent", 1, 1, 0}), 0, 3);
}

static void pieces_longer_than_a_group_and_sorted_batches_are_called_dependent(void **state)
{
    static const struct order orders[] = {
        {"sequences of 128, .9 in common", 128, 1, .9},
        {"sequences of 128, .5 in common", 128, 1, .5},
        {"sorted in batches of 1024", 1, 1024, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        assert_in_range(count_dependent(&orders[i]), 90, ORDER_DRAWS);
}

/* ---- when there is none -------------------------------------------------------------------- */

static bool has_errors(size_t n, size_t c)
{
    struct trial t;
    struct random r;
    struct point got;

    random_seed(&r, 10);
    start(&t, n, 6, c, 0);
    sample_fill(&t.s, &r, 0, 1);
    sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
    got = measure(&t, n);
    end(&t);
    assert_false(isnan(got.value[METRIC_D_LR]));
    return !isnan(got.value[METRIC_D_LR_SE]);
}

static void fewer_than_32_rows_have_no_errors(void **state)
{
    (void)state;
    assert_false(has_errors(31, 1));
    assert_true(has_errors(32, 1));
    assert_false(has_errors(32, 31)); /* without any group the outputs lose rank */
}

/* One output is a class that only rows of one group have. */
static void outputs_that_lose_rank_with_a_group_have_no_errors(void **state)
{
    struct trial t;
    struct random r;
    struct point got;

    (void)state;
    random_seed(&r, 11);
    start(&t, 320, 5, 2, 0);
    sample_fill(&t.s, &r, 0, 1);
    for (size_t i = 0; i < 320; i++)
        t.s.y[2 * i + 1] = i == 17;
    sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
    got = measure(&t, 320);
    assert_int_equal(got.rank, 2);
    assert_true(isnan(got.value[METRIC_D_LR_SE]));
    assert_true(isnan(got.value[METRIC_D_DEBIASED_SE]));
    end(&t);
}

static void rows_that_came_reduced_have_no_errors(void **state)
{
    struct trial t;
    struct random r;
    struct reduced other;

    (void)state;
    random_seed(&r, 12);
    start(&t, 200, 5, 2, 0);
    sample_fill(&t.s, &r, 0, 1);
    sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
    assert_false(isnan(measure(&t, 200).value[METRIC_D_LR_SE]));
    reduced_init(&other, &t.s, 0, 50, DTYPE_F64);
    assert_int_equal(moments_absorb(&t.m, &other.view, 0), 0);
    assert_true(isnan(sample_measure(&t.s, &t.m).value[METRIC_D_LR_SE]));
    assert_false(isnan(measure(&t, 200).value[METRIC_D_LR_SE])); /* the next window has them */
    reduced_release(&other);
    end(&t);
}

/* Errors of 576 windows about the least size, with outputs of any rank up to n - 1, rows without
 * weight and rows that are nearly forgotten: null or a number, whatever comes. */
static void small_and_ragged_windows_have_an_error_or_none(void **state)
{
    static const double half_lives[] = {0, 0.5, 7, 40};
    size_t n_errors = 0, n_none = 0;

    (void)state;
    for (size_t i = 0; i < 4 * 9 * 4 * 4; i++) {
        size_t n = 32 + i / 4 % 9, spared = (const size_t[]){1, 3, 12, 31}[i / 36 % 4];
        size_t zeros = i / 144;
        struct trial t;
        struct random r;
        struct point got;

        random_seed(&r, i);
        start(&t, n, i % 2 ? 5 : 60, n - spared, half_lives[i % 4]);
        sample_fill(&t.s, &r, 1, 1);
        sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
        t.weights = must_alloc(n * sizeof(double));
        for (size_t k = 0; k < n; k++)
            t.weights[k] = (const double[]){1, (double)(k % 3), k < 2, k % 2 ? 1 : 1e-300}[zeros];
        got = measure(&t, 5);
        for (int k = METRIC_D_LR_SE; k <= METRIC_PR_DEBIASED_SE; k++) {
            assert_true(isnan(got.value[k]) || (got.value[k] >= 0 && isfinite(got.value[k])));
            n_none += isnan(got.value[k]);
            n_errors += !isnan(got.value[k]);
        }
        end(&t);
    }
    assert_true(n_errors > 100 && n_none > 100);
}

static void no_memory_is_said_and_leaks_nothing(void **state)
{
    struct measure_plan plan = {.precision = {DTYPE_F64, DTYPE_F64},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct trial t;
    struct random r;
    struct point got;
    size_t n_failed = 0;

    (void)state;
    random_seed(&r, 13);
    start(&t, 100, 5, 2, 0);
    sample_fill(&t.s, &r, 0, 1);
    sample_encode(&t.s, DTYPE_F64, DTYPE_F64);
    measure(&t, 100);
    for (long i = 1;; i++) {
        int rc;

        fault_arm(i);
        rc = measure_point(&t.m, &plan, &got, &none);
        if (!fault_disarm())
            break;
        assert_int_equal(rc, -ENOMEM);
        n_failed++;
    }
    assert_true(n_failed > 10);
    assert_false(isnan(got.value[METRIC_D_LR_SE]));
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_those_of_leaving_groups_out),
        cmocka_unit_test(rows_that_weigh_differently_count_so),
        cmocka_unit_test(rows_that_are_forgotten_count_less),
        cmocka_unit_test(magnitude_does_not_matter),
        cmocka_unit_test(magnitude_of_weights_does_not_matter),
        cmocka_unit_test(errors_do_not_depend_on_how_rows_were_split),
        cmocka_unit_test(intervals_cover_the_population_value),
        cmocka_unit_test(independent_rows_are_rarely_called_dependent),
        cmocka_unit_test(pieces_longer_than_a_group_and_sorted_batches_are_called_dependent),
        cmocka_unit_test(fewer_than_32_rows_have_no_errors),
        cmocka_unit_test(outputs_that_lose_rank_with_a_group_have_no_errors),
        cmocka_unit_test(rows_that_came_reduced_have_no_errors),
        cmocka_unit_test(small_and_ragged_windows_have_an_error_or_none),
        cmocka_unit_test(no_memory_is_said_and_leaks_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
