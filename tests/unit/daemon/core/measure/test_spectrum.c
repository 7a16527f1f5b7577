/* The decomposition, neural collapse, CKA and the ranks, against references that see the rows and
 * not the moments (tests/lib/core/reference_spectrum.h), and against what can be known beforehand.
 */
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

/* f64 rows: the moments are good to 2^-53 sqrt(n) (1 + |mean|/std) ~ 1e-14 of the largest entry,
 * eigenvalues to p 2^-53 rho_1, so that a share u_k = |Q'Xv_k|^2 / l_k is good to 1e-14 rho_1/rho_k
 * times what mixing with neighbours adds, rho_1 / gap: both are below 1e2 here. */
#define TOLERANCE 1e-10
/* What the issue promises of the identity 1 - D_LR = sum rho u / (sqrt(r) sqrt(sum rho^2)). */
#define IDENTITY 1e-8
/* f32 rows: entries of X'X are good to 1e-7 (test_richness.c), and rho_1/rho_k <= 1e2. */
#define TOLERANCE_F32 3e-5

struct world {
    struct reference_rows rows;
    double *x, *y, *targets, *weights;
    int32_t *labels;
    bool as_values; /* the targets are sent as columns */
    struct moments m;
    struct measure_plan plan;
    struct point point;
    struct spectrum *spectrum;
};

/* Classes of unequal size whose features lean towards a direction of their own, with spreads from 1
 * down to 0.3; outputs linear in them plus noise. Class 0 is left out when `hole`. */
static void draw(struct world *w, uint64_t seed, size_t n, size_t p, size_t c, size_t k,
                 double mean, bool hole)
{
    struct random r;

    memset(w, 0, sizeof *w);
    random_seed(&r, seed);
    w->x = must_alloc(n * p * sizeof(double));
    w->y = must_alloc(n * c * sizeof(double));
    w->targets = must_alloc(n * k * sizeof(double));
    w->weights = must_alloc(n * sizeof(double));
    w->labels = must_alloc(n * sizeof(int32_t));
    for (size_t i = 0; i < n; i++) {
        size_t label = (random_below(&r, k) * (1 + random_below(&r, 2))) % k;

        label = hole && label == 0 ? 1 : label;
        w->labels[i] = (int32_t)label;
        w->targets[i * k + label] = 1;
        w->weights[i] = 0.2 + random_uniform(&r);
        for (size_t j = 0; j < p; j++)
            w->x[i * p + j] = mean + (1 - 0.7 * (double)j / (double)p) * random_gaussian(&r) +
                              2 * (j == label) + 0.3 * (double)((j * label) % 5);
        for (size_t j = 0; j < c; j++)
            w->y[i * c + j] =
                w->x[i * p + j] - 0.5 * w->x[i * p + (j + 1) % p] + 0.3 * random_gaussian(&r);
    }
    w->rows = (struct reference_rows){.n = n,
                                      .p = p,
                                      .c = c,
                                      .k = k,
                                      .x = w->x,
                                      .y = w->y,
                                      .targets = w->targets,
                                      .labels = w->labels};
    w->plan = (struct measure_plan){.precision = {DTYPE_F64, DTYPE_F64, DTYPE_I32},
                                    .projector.kind = PROJECTOR_SPAN,
                                    .spectrum = {.wanted = true}};
}

static void fold(struct world *w, size_t batch, enum dtype d)
{
    const struct reference_rows *r = &w->rows;
    size_t k = w->as_values ? r->k : 0;
    struct fold *f = fold_new(r->p, r->c + k, 1);
    float *narrow = must_alloc(r->n * r->p * sizeof *narrow);
    struct rows rows = {.n = r->n,
                        .features = r->x,
                        .outputs = r->y,
                        .targets = w->as_values ? (const void *)r->targets : r->labels,
                        .weights = r->weights,
                        .features_dtype = d,
                        .outputs_dtype = DTYPE_F64,
                        .targets_dtype = w->as_values ? DTYPE_F64 : DTYPE_I32,
                        .weights_dtype = r->weights ? DTYPE_F64 : DTYPE_NONE};

    for (size_t i = 0; i < r->n * r->p && d == DTYPE_F32; i++) {
        narrow[i] = (float)w->x[i];
        w->x[i] = narrow[i];
    }
    if (d == DTYPE_F32)
        rows.features = narrow;
    assert_int_equal(moments_init(&w->m, r->p, r->c, k), 0);
    if (!w->as_values)
        w->m.classes = classes_new(r->p, r->k, r->k, 0);
    assert_true(w->as_values || w->m.classes);
    for (size_t at = 0; at < r->n; at += batch) {
        fold_begin(f, &w->m, 0);
        fold_add(f, &rows, at, r->n - at < batch ? r->n - at : batch);
        fold_run(f);
        assert_false(rows.refused);
    }
    fold_free(f);
    free(narrow);
}

static void measure_it(struct world *w)
{
    assert_int_equal(measure_point(&w->m, &w->plan, &w->point, &w->spectrum), 0);
}

static void release(struct world *w)
{
    classes_free(w->m.classes);
    moments_release(&w->m);
    spectrum_free(w->spectrum);
    free(w->x);
    free(w->y);
    free(w->targets);
    free(w->weights);
    free(w->labels);
}

static double value(const struct world *w, enum metric m)
{
    return w->point.value[m];
}

static void note(double *largest, long double expected, double got)
{
    double d = (double)fabsl(expected - got);

    *largest = d > *largest || isnan(d) ? d : *largest;
}

static void settle(const char *what, double largest, double tolerance)
{
    printf("%s: largest deviation %.1e, tolerance %.0e\n", what, largest, tolerance);
    assert_true(largest <= tolerance);
}

/* ---- the decomposition --------------------------------------------------------------------- */

static void compare_spectrum(const struct world *w, const char *what, double tolerance)
{
    size_t p = w->rows.p, rank = 0, rank_targets = 0;
    long double *rho = must_alloc(3 * p * sizeof *rho), *u = rho + p, *q = u + p;
    const struct spectrum *s = w->spectrum;
    double d_rho = 0, d_u = 0, d_q = 0;
    char text[96];

    reference_spectrum(&w->rows, s->uncentred, rho, u, q, &rank, &rank_targets);
    assert_int_equal(s->rank, rank);
    assert_int_equal(s->rank_targets, rank_targets);
    for (size_t k = 0; k < s->n_values; k++) {
        note(&d_rho, rho[k] / rho[0], s->rho[k] / (double)rho[0]);
        note(&d_u, u[k], s->u[k]);
        note(&d_q, q[k], s->q[k]);
    }
    snprintf(text, sizeof text, "%s: rho/rho_1", what);
    settle(text, d_rho, tolerance);
    snprintf(text, sizeof text, "%s: u", what);
    settle(text, d_u, tolerance);
    snprintf(text, sizeof text, "%s: q", what);
    settle(text, d_q, tolerance);
    free(rho);
}

/* 1 - D_LR = sum rho u / (sqrt(r) sqrt(sum rho^2)). */
static double identity(const struct world *w)
{
    const struct spectrum *s = w->spectrum;
    double top = 0, squares = 0;

    for (size_t k = 0; k < s->n_values; k++) {
        top += s->rho[k] * s->u[k];
        squares += s->rho[k] * s->rho[k];
    }
    return top / (sqrt((double)s->rank) * sqrt(squares));
}

static void eigenpairs_and_shares_are_the_reference(void **state)
{
    static const double means[] = {0, 1, 30};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        char what[48];

        draw(&w, 1 + i, 400, 20, 4, 6, means[i], false);
        fold(&w, 37, DTYPE_F64);
        measure_it(&w);
        assert_int_equal(w.spectrum->n_values, 20);
        snprintf(what, sizeof what, "f64, mean/std %g", means[i]);
        compare_spectrum(&w, what, TOLERANCE);
        release(&w);
    }
}

static void single_precision_rows_are_the_reference(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 4, 600, 20, 4, 6, 10, false);
    fold(&w, 256, DTYPE_F32);
    measure_it(&w);
    compare_spectrum(&w, "f32, mean/std 10", TOLERANCE_F32);
    release(&w);
}

static void weighted_rows_are_the_reference(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 5, 400, 16, 3, 5, 2, false);
    w.rows.weights = w.weights;
    fold(&w, 64, DTYPE_F64);
    measure_it(&w);
    compare_spectrum(&w, "weighted", TOLERANCE);
    release(&w);
}

/* The constant takes the largest eigenvalue; the smaller ones are good to 2^-53 times it. */
static void uncentred_keeps_the_constant(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 6, 400, 16, 3, 5, 3, false);
    w.plan.spectrum.uncentred = true;
    fold(&w, 64, DTYPE_F64);
    measure_it(&w);
    compare_spectrum(&w, "uncentred", TOLERANCE);
    assert_int_equal(w.spectrum->rank_targets, 5); /* centred: 4 */
    assert_true(w.spectrum->rho[0] > 10 * w.spectrum->rho[1]);
    release(&w);
}

static void the_identity_with_d_lr_holds(void **state)
{
    double largest = 0;

    (void)state;
    for (uint64_t seed = 10; seed < 30; seed++) {
        struct world w;

        draw(&w, seed, 150 + 20 * seed, 10 + 2 * seed, 2 + seed % 5, 3 + seed % 7,
             (double)(seed % 4) * 10, seed % 2);
        fold(&w, 50, seed % 3 ? DTYPE_F64 : DTYPE_F32);
        measure_it(&w);
        note(&largest, 1 - value(&w, METRIC_D_LR), identity(&w));
        release(&w);
    }
    settle("1 - D_LR = sum rho u / (sqrt(r) sqrt(sum rho^2))", largest, IDENTITY);
}

/* Several tiles a side, the last one narrow. */
static void a_wide_layer_keeps_the_identity(void **state)
{
    struct world w;
    double largest = 0, sum = 0;

    (void)state;
    draw(&w, 31, 1400, 600, 5, 10, 1, false);
    fold(&w, 700, DTYPE_F32);
    measure_it(&w);
    assert_int_equal(w.spectrum->n_values, 600);
    note(&largest, 1 - value(&w, METRIC_D_LR), identity(&w));
    for (size_t k = 0; k < 600; k++)
        sum += w.spectrum->rho[k];
    note(&largest, sum / w.spectrum->total, 1);
    settle("600 features: identity and trace", largest, IDENTITY);
    release(&w);
}

static void the_leading_are_the_first_of_all(void **state)
{
    struct world w;
    struct spectrum *leading;
    struct spectrum_wish wish = {.wanted = true, .leading = 7};
    double largest = 0;

    (void)state;
    draw(&w, 32, 900, 530, 4, 6, 1, false);
    fold(&w, 300, DTYPE_F64);
    measure_it(&w);
    assert_int_equal(spectrum_new(&w.m, w.plan.precision, &w.plan.projector, wish, &leading), 0);
    assert_int_equal(leading->n_values, 7);
    assert_true(leading->total == w.spectrum->total);
    for (size_t k = 0; k < 7; k++) {
        note(&largest, w.spectrum->rho[k] / w.spectrum->rho[0],
             leading->rho[k] / w.spectrum->rho[0]);
        note(&largest, w.spectrum->u[k], leading->u[k]);
        note(&largest, w.spectrum->q[k], leading->q[k]);
    }
    settle("leading 7 of 530", largest, TOLERANCE);
    spectrum_free(leading);
    w.plan.spectrum.leading = 7;
    spectrum_free(w.spectrum);
    measure_it(&w);
    assert_true(isnan(value(&w, METRIC_EFFECTIVE_RANK)) && isnan(value(&w, METRIC_RANKME)));
    assert_false(isnan(value(&w, METRIC_STABLE_RANK)));
    release(&w);
}

static void cumulated_shares_reach_one_when_the_features_span_the_outputs(void **state)
{
    struct world w;
    double pi[24];

    (void)state;
    draw(&w, 33, 300, 24, 3, 4, 0, false);
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < 3; j++)
            w.y[i * 3 + j] = 2 * w.x[i * 24 + j] - w.x[i * 24 + j + 5];
    }
    fold(&w, 100, DTYPE_F64);
    measure_it(&w);
    spectrum_cumulate(24, w.spectrum->u, w.spectrum->rank, pi);
    assert_true(fabs(pi[23] - 1) <= TOLERANCE);
    for (size_t k = 1; k < 24; k++)
        assert_true(pi[k] >= pi[k - 1]);
    release(&w);
}

static void few_rows_give_eigenvalues_and_no_eigenfunctions(void **state)
{
    struct world w;
    double largest = 0;

    (void)state;
    draw(&w, 34, 15, 40, 3, 4, 1, false);
    fold(&w, 15, DTYPE_F64);
    measure_it(&w);
    assert_true(w.spectrum->few_rows);
    assert_int_equal(w.spectrum->n_values, 14);
    assert_null(w.spectrum->u);
    assert_null(w.spectrum->q);
    for (size_t k = 0; k < 14; k++)
        largest += w.spectrum->rho[k];
    assert_true(fabs(largest / w.spectrum->total - 1) <= 1e-12); /* they are all there is */
    assert_false(isnan(value(&w, METRIC_EFFECTIVE_RANK)));
    release(&w);
}

/* 60 rows that are forgotten with a half-life of 5 count as 14, fewer than the 24 features. */
static void rows_that_are_nearly_forgotten_are_few(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 36, 60, 24, 3, 4, 1, false);
    for (size_t i = 0; i < 60; i++)
        w.weights[i] = exp2(-(double)(59 - i) / 5);
    w.rows.weights = w.weights;
    fold(&w, 60, DTYPE_F64);
    measure_it(&w);
    assert_true(w.point.n > 13 && w.point.n < 16);
    assert_true(w.spectrum->few_rows);
    assert_null(w.spectrum->u);
    release(&w);
}

/* The entropy of 5 of 14 eigenvalues is no rank of anything, few rows or not. */
static void a_part_of_the_eigenvalues_of_few_rows_gives_no_entropy(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 34, 15, 40, 3, 4, 1, false);
    fold(&w, 15, DTYPE_F64);
    w.plan.spectrum.leading = 5;
    measure_it(&w);
    assert_int_equal(w.spectrum->n_values, 5);
    assert_false(isnan(value(&w, METRIC_STABLE_RANK)));
    assert_true(isnan(value(&w, METRIC_EFFECTIVE_RANK)) && isnan(value(&w, METRIC_RANKME)));
    release(&w);
}

/* A feature that is another's copy adds no direction: its eigenfunction does not exist. */
static void a_direction_without_variance_has_no_eigenfunction(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 35, 200, 10, 3, 4, 1, false);
    for (size_t i = 0; i < 200; i++)
        w.x[i * 10 + 9] = w.x[i * 10 + 8];
    fold(&w, 200, DTYPE_F64);
    measure_it(&w);
    assert_true(w.spectrum->rho[9] <= 1e-13 * w.spectrum->rho[0]);
    assert_true(isnan(w.spectrum->u[9]) && isnan(w.spectrum->q[9]));
    assert_false(isnan(w.spectrum->u[8]) || isnan(w.spectrum->q[8]));
    release(&w);
}

static void a_spectrum_that_cannot_be_made_is_flagged(void **state)
{
    struct world w;
    struct spectrum *s;
    struct moments wide = {.p = SPECTRUM_P_MAX + 1, .n_rows = 10, .weight = 10};

    (void)state;
    assert_int_equal(spectrum_new(&wide, (struct precision){0},
                                  &(struct projector){.kind = PROJECTOR_SPAN},
                                  (struct spectrum_wish){0}, &s),
                     -E2BIG);
    assert_null(s);
    draw(&w, 36, 100, 8, 3, 4, 1, false);
    fold(&w, 100, DTYPE_F64);
    for (long n = 1;; n++) { /* its own allocations come last */
        int rc;

        fault_arm(n);
        rc = measure_point(&w.m, &w.plan, &w.point, &w.spectrum);
        if (!fault_disarm())
            break;
        if (rc == 0) {
            assert_null(w.spectrum);
            assert_true(w.point.flags & FLAG_NO_SPECTRUM);
            assert_false(isnan(value(&w, METRIC_D_LR)));
        } else {
            assert_int_equal(rc, -ENOMEM);
        }
    }
    assert_false(w.point.flags & FLAG_NO_SPECTRUM);
    release(&w);
}

static void none_is_made_unless_wanted(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 37, 100, 8, 3, 4, 1, false);
    w.plan.spectrum.wanted = false;
    fold(&w, 100, DTYPE_F64);
    measure_it(&w);
    assert_null(w.spectrum);
    assert_true(isnan(value(&w, METRIC_EFFECTIVE_RANK)));
    assert_false(isnan(value(&w, METRIC_NC1)) || isnan(value(&w, METRIC_CKA_LINEAR)));
    release(&w);
}

/* ---- companions ---------------------------------------------------------------------------- */

/* tr S / rho_1 and the entropies, of the reference's eigenvalues. */
static void compare_ranks(const struct world *w, double *largest)
{
    size_t p = w->rows.p, rank, rank_targets;
    long double *rho = must_alloc(3 * p * sizeof *rho), sum = 0, roots = 0, h = 0, g = 0;

    reference_spectrum(&w->rows, false, rho, rho + p, rho + 2 * p, &rank, &rank_targets);
    for (size_t k = 0; k < p; k++) {
        sum += rho[k];
        roots += sqrtl(rho[k]);
    }
    for (size_t k = 0; k < p; k++) {
        long double s = sqrtl(rho[k]) / roots + 1e-7L;

        h -= rho[k] / sum * logl(rho[k] / sum);
        g -= s * logl(s);
    }
    note(&largest[0], sum / rho[0], value(w, METRIC_STABLE_RANK));
    note(&largest[1], expl(h), value(w, METRIC_EFFECTIVE_RANK));
    note(&largest[2], expl(g), value(w, METRIC_RANKME));
    free(rho);
}

static void ranks_are_the_reference(void **state)
{
    double largest[3] = {0};

    (void)state;
    for (uint64_t seed = 40; seed < 45; seed++) {
        struct world w;

        draw(&w, seed, 200, 18, 3, 5, 1, false);
        fold(&w, 64, DTYPE_F64);
        measure_it(&w);
        compare_ranks(&w, largest);
        release(&w);
    }
    settle("stable_rank", largest[0], TOLERANCE);
    settle("effective_rank", largest[1], TOLERANCE);
    settle("rankme", largest[2], TOLERANCE);
}

static void compare_collapse(const struct world *w, double *largest)
{
    struct reference_collapse ref;

    reference_collapse(&w->rows, &ref);
    note(&largest[0], 1, value(w, METRIC_NC1) / (double)ref.nc1);
    note(&largest[1], 1, value(w, METRIC_NC1_QUOTIENT) / (double)ref.nc1_quotient);
    note(&largest[2], ref.nc2_norm_cv, value(w, METRIC_NC2_NORM_CV));
    note(&largest[3], ref.nc2_angle, value(w, METRIC_NC2_ANGLE));
    note(&largest[4], reference_cka(&w->rows), value(w, METRIC_CKA_LINEAR));
}

static void settle_collapse(const char *what, const double *largest, double tolerance)
{
    static const char *const names[] = {"nc1 (relative)", "nc1_quotient (relative)", "nc2_norm_cv",
                                        "nc2_angle", "cka_linear"};

    for (int i = 0; i < 5; i++) {
        char text[96];

        snprintf(text, sizeof text, "%s: %s", what, names[i]);
        settle(text, largest[i], tolerance);
    }
}

static void collapse_and_cka_are_the_reference(void **state)
{
    double exact[5] = {0}, single[5] = {0};

    (void)state;
    for (uint64_t seed = 50; seed < 60; seed++) {
        struct world w;

        draw(&w, seed, 250, 12, 3, 4 + seed % 4, (double)(seed % 3) * 5, false);
        w.rows.weights = seed % 4 == 0 ? w.weights : NULL;
        fold(&w, 60, seed % 2 ? DTYPE_F32 : DTYPE_F64);
        measure_it(&w);
        assert_false(w.point.flags & FLAG_CLASSES_MISSING);
        compare_collapse(&w, seed % 2 ? single : exact);
        release(&w);
    }
    settle_collapse("f64", exact, TOLERANCE);
    settle_collapse("f32", single, TOLERANCE_F32);
}

/* More classes than features: S_B has rank p, and nothing is cut. */
static void more_classes_than_features_are_the_reference(void **state)
{
    double largest[5] = {0};
    struct world w;

    (void)state;
    draw(&w, 61, 600, 4, 3, 9, 1, false);
    fold(&w, 600, DTYPE_F64);
    measure_it(&w);
    compare_collapse(&w, largest);
    settle_collapse("9 classes in 4 dimensions", largest, TOLERANCE);
    release(&w);
}

static void a_class_that_did_not_occur_is_left_out_and_said(void **state)
{
    double largest[5] = {0};
    struct world w;

    (void)state;
    draw(&w, 62, 300, 12, 3, 6, 1, true);
    fold(&w, 77, DTYPE_F64);
    measure_it(&w);
    assert_true(w.point.flags & FLAG_CLASSES_MISSING);
    compare_collapse(&w, largest);
    settle_collapse("a class is missing", largest, TOLERANCE);
    release(&w);
}

/* Rows that are their class's mean, a simplex with equal angles and norms: all is 0, of nc1 as far
 * as the sums of doubles can tell. */
static void a_collapsed_simplex_is_below_the_floor(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 63, 300, 12, 3, 5, 0, false);
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < 12; j++)
            w.x[i * 12 + j] = 7 + (j == (size_t)w.labels[i]) * 3;
    }
    fold(&w, 60, DTYPE_F64);
    measure_it(&w);
    assert_true(isnan(value(&w, METRIC_NC1)) && isnan(value(&w, METRIC_NC1_QUOTIENT)));
    assert_true(w.point.flags & FLAG_BELOW_FLOOR);
    assert_true(value(&w, METRIC_NC2_NORM_CV) <= 1e-13 && value(&w, METRIC_NC2_ANGLE) <= 1e-13);
    release(&w);
}

/* The weight of each class's rows may be anything: S_B counts classes alike. */
static void one_class_alone_has_no_collapse(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 64, 100, 8, 3, 4, 1, false);
    for (size_t i = 0; i < 100; i++)
        w.labels[i] = 2;
    fold(&w, 100, DTYPE_F64);
    measure_it(&w);
    for (int i = METRIC_NC1; i <= METRIC_NC2_ANGLE; i++)
        assert_true(isnan(value(&w, (enum metric)i)));
    assert_true(w.point.flags & FLAG_CLASSES_MISSING);
    release(&w);
}

static void targets_that_are_no_labels_give_q_and_no_collapse(void **state)
{
    struct world w;

    (void)state;
    draw(&w, 65, 100, 8, 3, 4, 1, false);
    w.as_values = true;
    fold(&w, 100, DTYPE_F64);
    measure_it(&w);
    assert_true(isnan(value(&w, METRIC_NC1)));
    assert_non_null(w.spectrum->q);
    release(&w);
}

static void only_what_needs_the_spectrum_changes_with_it(void **state)
{
    struct world w;
    struct point without;
    struct spectrum *none;

    (void)state;
    draw(&w, 66, 100, 16, 3, 4, 1, false);
    fold(&w, 100, DTYPE_F64);
    measure_it(&w);
    w.plan.spectrum.wanted = false;
    assert_int_equal(measure_point(&w.m, &w.plan, &without, &none), 0);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].needs == NEEDS_SPECTRUM)
            assert_true(isnan(without.value[i]) && !isnan(w.point.value[i]));
        else
            assert_true(without.value[i] == w.point.value[i] ||
                        (isnan(without.value[i]) && isnan(w.point.value[i])));
    }
    release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenpairs_and_shares_are_the_reference),
        cmocka_unit_test(single_precision_rows_are_the_reference),
        cmocka_unit_test(weighted_rows_are_the_reference),
        cmocka_unit_test(uncentred_keeps_the_constant),
        cmocka_unit_test(the_identity_with_d_lr_holds),
        cmocka_unit_test(a_wide_layer_keeps_the_identity),
        cmocka_unit_test(the_leading_are_the_first_of_all),
        cmocka_unit_test(cumulated_shares_reach_one_when_the_features_span_the_outputs),
        cmocka_unit_test(few_rows_give_eigenvalues_and_no_eigenfunctions),
        cmocka_unit_test(rows_that_are_nearly_forgotten_are_few),
        cmocka_unit_test(a_part_of_the_eigenvalues_of_few_rows_gives_no_entropy),
        cmocka_unit_test(a_direction_without_variance_has_no_eigenfunction),
        cmocka_unit_test(a_spectrum_that_cannot_be_made_is_flagged),
        cmocka_unit_test(none_is_made_unless_wanted),
        cmocka_unit_test(ranks_are_the_reference),
        cmocka_unit_test(collapse_and_cka_are_the_reference),
        cmocka_unit_test(more_classes_than_features_are_the_reference),
        cmocka_unit_test(a_class_that_did_not_occur_is_left_out_and_said),
        cmocka_unit_test(a_collapsed_simplex_is_below_the_floor),
        cmocka_unit_test(one_class_alone_has_no_collapse),
        cmocka_unit_test(targets_that_are_no_labels_give_q_and_no_collapse),
        cmocka_unit_test(only_what_needs_the_spectrum_changes_with_it),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
