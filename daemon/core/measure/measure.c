#include "daemon/core/measure/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/estimate/jackknife.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/floor.h"
#include "daemon/core/measure/leading.h"
#include "daemon/core/measure/measures.h"

/* Rows a direction of the features below which pr is off by more than a sixth: 1 / pr is 1 / PR + 1
 * / n. */
#define PR_ROWS 5
/* Norms that are so much more unequal than those of Gaussian rows, 1 + 2/PR, are a few long rows.
 * Measured: 1.0 to 1.2 in networks, 3 for an elliptical t with 5 degrees of freedom. */
#define OUTLIER_SPREAD 2
/* Long rows that count as no more equal ones than this leave no de-biased D or PR: they would be of
 * single rows. Measured with one row in 200 of 30 standard deviations, n = 256: above 3, d_debiased
 * strays by .091 and d_lr by .077; above 4, by .046 and .069. */
#define OUTLIER_ROWS 4
/* Residual rows below which the de-biased estimate is mostly noise. */
#define SMALL_RESIDUAL 8
/* What eigenvalues below the floor may add to RankMe without a word. */
#define MISSED_SHARE 0.01

static measure_fn *const functions[METRIC_COUNT] = {
#define X(ENUM, name, ...) [METRIC_##ENUM] = measure_##name,
    METRICS_MEASURED(X)
#undef X
};

/* Beyond this ratio of mean to spread a format holds too few digits of the spread. bf16 (8 bits)
 * and f16 (11) hold none or three. In f32 (24 bits) the last digit is an eighth of the spread, and
 * moves d_lr by 1e-3 at most, by .05 at 2^24 (test_richness.c); f64 (53 bits) is held to as many
 * digits. */
static double ratio_limit(enum dtype features)
{
    return features == DTYPE_F64 ? 0x1p49 : features == DTYPE_F32 ? 0x1p20 : 0x1p8;
}

static bool is_low_precision(const struct moments *m, enum dtype features, double t)
{
    double limit = ratio_limit(features);

    return linalg_sum_squares(m->p, m->mean_x) * m->weight > limit * limit * t;
}

/* `p` counts the features that vary. */
static uint32_t sample_flags(double n, double p, double r)
{
    uint32_t flags = 0;

    if (r >= p || r >= n - 1)
        flags |= FLAG_DEGENERATE;
    if (n < 4 * r || n - 1 - r < SMALL_RESIDUAL)
        flags |= FLAG_SMALL_SAMPLE;
    if (r > p / 2)
        flags |= FLAG_WIDE_OUTPUTS;
    return flags;
}

/* The estimate of the features' PR that there is. */
static double known_pr(const struct evidence *evidence)
{
    double pr = evidence->estimate.pr;

    return pr > 0 ? pr : evidence->sums.t * evidence->sums.t / evidence->sums.f;
}

/* Plain values that are off because the rows are few. */
static uint32_t bias_flags(const struct evidence *evidence)
{
    const struct estimate *estimate = &evidence->estimate;
    double bias = fabs(estimate->plain - estimate->debiased);

    return bias > 2 * evidence->errors.plain || known_pr(evidence) > evidence->n / PR_ROWS
               ? FLAG_BIASED
               : 0;
}

/* A few long rows, and whether too few. */
static uint32_t outlier_flags(struct evidence *evidence)
{
    double spread = estimate_spread(&evidence->sums);

    if (!(spread > OUTLIER_SPREAD * (1 + 2 / known_pr(evidence))))
        return 0;
    if (evidence->n / spread <= OUTLIER_ROWS)
        evidence->estimate.pr = evidence->estimate.debiased = (double)NAN;
    return FLAG_OUTLIERS;
}

/* LAPACK may fail to decompose a matrix. The measures that need it are then NaN, and the point has
 * a flag. Other errors stay errors. */
static int flag_not_converged(int rc, struct point *out)
{
    if (rc != -EDOM)
        return rc;
    out->flags |= FLAG_NOT_CONVERGED;
    return 0;
}

/* What the span of the outputs says of the features. Errors are given for the whole span alone: the
 * jackknife does not see how principal directions move with the rows. */
static int measure_span(struct evidence *evidence, const struct span *outputs, struct point *out)
{
    bool dependent = false;
    int rc = span_variation(outputs, evidence->moments, &evidence->sums.q);

    if (rc == 0 && outputs->is_whole)
        rc = kept_overfit(&evidence->kept, evidence->moments, outputs, &evidence->sums.overfit);
    if (rc == 0 && outputs->is_whole)
        rc = jackknife_measure(evidence->moments, evidence->kernel, &evidence->kept, outputs,
                               &evidence->sums, &evidence->errors, &dependent);
    if (rc < 0)
        return rc;
    evidence->estimate = outputs->is_whole ? estimate_richness(&evidence->sums, outputs->trace)
                                           : estimate_projected(&evidence->sums, outputs->norm_sq);
    evidence->trace = outputs->trace;
    evidence->norm_sq = outputs->norm_sq;
    out->flags |= sample_flags(evidence->n, evidence->n_varying, outputs->trace) |
                  (dependent ? FLAG_DEPENDENT_ROWS : 0);
    if (isnan(evidence->estimate.plain))
        out->flags |= FLAG_NOT_CONVERGED;
    return 0;
}

static uint32_t projector_flags(const struct projector *q)
{
    return q->kind == PROJECTOR_TOP     ? FLAG_TOP_OUTPUTS
           : q->kind == PROJECTOR_RIDGE ? FLAG_RIDGE
                                        : 0;
}

/* Decides what AUTO is for this window (projector.h). Returns 0, -ENOMEM or -EDOM. */
static int decide_projector(struct evidence *evidence, const struct measure_plan *plan)
{
    const struct moments *m = evidence->moments;
    struct projector_signs signs = {.n = evidence->n,
                                    .p = evidence->n_varying,
                                    .c = (double)(plan->head ? plan->head->c : m->c),
                                    .outputs = plan->precision.outputs};
    struct span outputs;
    double q = 0;
    int rc = span_init(&outputs, m, 0, m->c, plan->precision.outputs);

    if (rc == 0)
        rc = span_variation(&outputs, m, &q);
    signs.r = (double)outputs.rank;
    signs.u = q / evidence->sums.t;
    evidence->projector.kind =
        rc == 0 && projector_takes_top(&signs) ? PROJECTOR_TOP : PROJECTOR_SPAN;
    span_release(&outputs);
    return rc;
}

static int gather_outputs(struct evidence *evidence, const struct measure_plan *plan,
                          struct point *out)
{
    const struct moments *m = evidence->moments;
    struct span outputs = {0};
    int rc = evidence->projector.kind == PROJECTOR_AUTO ? decide_projector(evidence, plan) : 0;

    if (rc == 0)
        rc = span_init_projected(&outputs, m, 0, m->c, plan->precision.outputs,
                                 &evidence->projector);
    out->rank = (uint32_t)lround(outputs.trace);
    out->flags |= projector_flags(&evidence->projector);
    if (rc == 0 && outputs.rank > 0)
        rc = measure_span(evidence, &outputs, out);
    else if (rc == 0)
        out->flags |= FLAG_CONSTANT;
    span_release(&outputs);
    return flag_not_converged(rc, out);
}

/* What needs the features alone. */
static int gather_features(struct evidence *evidence, struct point *out)
{
    int rc = leading_eigenvalue(evidence->moments, evidence->kernel, &evidence->largest);

    if (rc < 0)
        evidence->largest = (double)NAN;
    rc = flag_not_converged(rc, out);
    if (rc == 0)
        rc = units_count(evidence->moments, evidence->kernel, &evidence->units);
    evidence->n_varying = (double)evidence->moments->p - evidence->units.dead;
    return rc;
}

static int gather_collapse(struct evidence *evidence, const struct measure_plan *plan,
                           struct collapse *collapse, struct point *out)
{
    int rc;

    if (!evidence->moments->classes)
        return 0;
    if (evidence->moments->classes->is_lost) {
        out->flags |= FLAG_CLASSES_LOST;
        return 0;
    }
    rc = collapse_measure(evidence->moments, plan->spectrum.wanted, collapse);
    if (rc < 0)
        return flag_not_converged(rc, out);
    out->classes_seen = collapse->n_classes;
    out->class_rows_min = collapse->rows_min;
    if (collapse->n_missing > 0)
        out->flags |= FLAG_CLASSES_MISSING;
    evidence->collapse = collapse;
    return 0;
}

/* Whether the eigenvalues below the floor, other than those of features that do not vary, could
 * move RankMe by more than 1 %. No other measure sees them as well. */
static bool misses_values(const struct evidence *evidence)
{
    const struct spectrum *spectrum = evidence->spectrum;
    double trace = evidence->sums.t / evidence->sums.weight, sum = 0;
    double n = (double)(spectrum->n_values - spectrum_resolved(spectrum)) - evidence->units.dead;
    double floor = floor_eigenvalue(evidence->precision.features, spectrum->p, trace);

    for (size_t k = 0; k < spectrum->n_values; k++)
        sum += sqrt(spectrum->rho[k]);
    return n * sqrt(floor) > MISSED_SHARE * sum;
}

static int gather_targets(struct evidence *evidence, const struct measure_plan *plan,
                          struct point *out)
{
    int rc;

    if (!targets_exist(evidence->moments))
        return 0;
    rc = targets_measure(evidence->moments, plan->precision.targets, evidence->sums.f,
                         plan->head != NULL, plan->spectrum.wanted, &evidence->targets);
    if (rc == 0 && !evidence->moments->by_rows)
        rc = readout_measure(evidence->moments, &evidence->targets, plan->precision.features,
                             evidence->n, plan->head != NULL, plan->spectrum.wanted,
                             &evidence->readout);
    evidence->has_targets = rc == 0;
    return flag_not_converged(rc, out);
}

/* Without memory for the spectrum the point is made all the same. */
static void gather_spectrum(struct evidence *evidence, const struct measure_plan *plan,
                            struct spectrum **spectrum, struct point *out)
{
    if (!plan->spectrum.wanted)
        return;
    if (evidence->moments->c == 0 ||
        spectrum_new(evidence->moments, plan->precision, &evidence->projector, plan->spectrum,
                     spectrum) < 0)
        out->flags |= FLAG_NO_SPECTRUM;
    evidence->spectrum = *spectrum;
    if (*spectrum && misses_values(evidence))
        out->flags |= FLAG_BELOW_FLOOR;
}

/* Why the rows cannot be compared with the first window. When rows are missing, nobody knows which.
 */
static enum probe_problem find_problem(const struct measure_plan *plan,
                                       const struct reservoir *reservoir)
{
    if (plan->probe_is_partial)
        return PROBE_MISSING;
    return reservoir ? probe_check(plan->probe, reservoir) : PROBE_REDUCED;
}

/* The first window is compared with itself. A window whose features do not vary never comes here,
 * so the next one is the first. */
static int gather_probe(struct evidence *evidence, const struct measure_plan *plan,
                        struct point *out)
{
    const struct reservoir *reservoir = evidence->moments->reservoir;
    struct probe now;
    int rc;

    if (!plan->probe)
        return 0;
    *plan->problem = find_problem(plan, reservoir);
    if (*plan->problem != PROBE_NONE) {
        out->flags |= FLAG_PROBE_DIFFERS;
        return 0;
    }
    rc = probe_init(&now, reservoir);
    if (rc == 0 && plan->representation)
        rc = representation_init(plan->representation, &now);
    if (rc < 0) {
        probe_release(&now);
        return rc;
    }
    evidence->has_likeness = true;
    if (plan->probe->n == 0) {
        *plan->probe = now;
        evidence->likeness = probe_compare(plan->probe, plan->probe);
        return 0;
    }
    evidence->likeness = probe_compare(plan->probe, &now);
    probe_release(&now);
    return 0;
}

static bool is_available(const struct evidence *evidence, enum metric_needs needs)
{
    return needs == NEEDS_NOTHING || (needs == NEEDS_LABELS && evidence->collapse) ||
           (needs == NEEDS_TARGETS && evidence->has_targets) ||
           (needs == NEEDS_SPECTRUM && evidence->spectrum) ||
           (needs == NEEDS_PROBE && evidence->has_likeness);
}

static void clear_point(const struct evidence *evidence, struct point *out)
{
    out->n = evidence->n;
    out->p = (uint32_t)evidence->moments->p;
    out->c = (uint32_t)evidence->moments->c;
    out->rank = 0;
    out->classes_seen = 0;
    out->class_rows_min = 0;
    out->flags = evidence->moments->by_rows ? FLAG_ROW_FORM : 0;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = (double)NAN;
}

/* The sums that need no outputs, from X'X or from XX'. */
static int sum_products(struct evidence *evidence)
{
    const struct moments *m = evidence->moments;
    double *scratch;

    if (evidence->kernel) {
        evidence->sums.t = kernel_trace(evidence->kernel);
        evidence->sums.f = kernel_sum_squares(evidence->kernel);
        evidence->sums.fourth = kernel_fourth(evidence->kernel);
        return 0;
    }
    scratch = malloc(2 * m->p * sizeof *scratch);
    if (!scratch)
        return -ENOMEM;
    evidence->sums.t = tiles_trace(&m->xx);
    evidence->sums.f = tiles_sum_squares(&m->xx);
    evidence->sums.fourth = moments_fourth(m, scratch);
    free(scratch);
    return 0;
}

static int sum_features(struct evidence *evidence)
{
    struct sums *sums = &evidence->sums;
    int rc = sum_products(evidence);

    if (rc < 0)
        return rc;
    evidence->kept_sums = kept_sum(&evidence->kept, evidence->moments, sums->fourth);
    sums->weighting = isnan(evidence->kept_sums.weighting) ? 1 : evidence->kept_sums.weighting;
    return 0;
}

/* Whether anything can be measured; a flag says why not. */
static bool check_features(const struct evidence *evidence, const struct measure_plan *plan,
                           struct point *out)
{
    if (evidence->sums.t == 0) {
        out->flags |= FLAG_CONSTANT;
        return false;
    }
    if (!isnormal(evidence->sums.f)) { /* fourth powers of f64 features beyond 1e+-77 */
        out->flags |= FLAG_NOT_CONVERGED;
        return false;
    }
    if (is_low_precision(evidence->moments, plan->precision.features, evidence->sums.t))
        out->flags |= FLAG_LOW_PRECISION;
    return true;
}

static int fill_point(struct evidence *evidence, const struct measure_plan *plan,
                      struct collapse *collapse, struct point *out, struct spectrum **spectrum)
{
    int rc = sum_features(evidence);

    if (rc < 0 || !check_features(evidence, plan, out))
        return rc;
    evidence->estimate.pr = estimate_pr(&evidence->sums);
    rc = gather_features(evidence, out);
    if (rc == 0 && evidence->moments->c > 0)
        rc = gather_outputs(evidence, plan, out);
    out->flags |= bias_flags(evidence) | outlier_flags(evidence);
    if (rc == 0)
        rc = gather_collapse(evidence, plan, collapse, out);
    if (rc == 0)
        rc = gather_targets(evidence, plan, out);
    if (rc == 0)
        rc = gather_probe(evidence, plan, out);
    if (rc < 0)
        return rc;
    gather_spectrum(evidence, plan, spectrum, out);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (is_available(evidence, metric_table[i].needs))
            out->value[i] = functions[i](evidence);
    }
    return 0;
}

bool measure_needs_xx(const struct moments *m, const struct measure_plan *plan)
{
    return m->classes || plan->spectrum.wanted || plan->head;
}

/* By rows or by features. */
static int measure_form(struct evidence *evidence, const struct measure_plan *plan,
                        struct point *out, struct spectrum **spectrum)
{
    struct collapse collapse;
    struct kernel kernel;
    int rc;

    if (!evidence->moments->by_rows)
        return fill_point(evidence, plan, &collapse, out, spectrum);
    rc = kernel_init(&kernel, evidence->moments);
    if (rc < 0)
        return rc;
    evidence->kernel = &kernel;
    rc = fill_point(evidence, plan, &collapse, out, spectrum);
    kernel_release(&kernel);
    return rc;
}

static int measure_moments(const struct moments *m, const struct measure_plan *plan,
                           struct point *out, struct spectrum **spectrum)
{
    const double none = (double)NAN;
    struct evidence evidence = {
        .moments = m,
        .precision = plan->precision,
        .projector = plan->projector,
        .sums = {.weight = m->weight, .weight_sq = m->weight_sq, .q = none, .overfit = none},
        .estimate = ESTIMATE_NONE,
        .errors = ESTIMATE_NONE,
        .trace = none,
        .norm_sq = none,
        .readout = {none, none, none, none, none}};
    int rc;

    assert(m->weight > 0 && !(m->by_rows && measure_needs_xx(m, plan)));
    evidence.n = estimate_n_rows(&evidence.sums);
    *spectrum = NULL;
    clear_point(&evidence, out);
    rc = kept_init(&evidence.kept, m);
    if (rc == 0)
        rc = measure_form(&evidence, plan, out, spectrum);
    kept_release(&evidence.kept);
    return rc;
}

/* As long as the head is not complete the layer has features alone. */
static int measure_with_head(const struct moments *m, const struct measure_plan *plan,
                             struct point *out, struct spectrum **spectrum)
{
    struct moments with;
    int rc;

    if (!head_is_complete(plan->head)) {
        rc = measure_moments(m, plan, out, spectrum);
        out->flags |= FLAG_NO_HEAD;
        return rc;
    }
    rc = head_outputs(plan->head, m, &with);
    if (rc < 0)
        return rc;
    rc = measure_moments(&with, plan, out, spectrum);
    head_release_outputs(&with);
    return rc;
}

int measure_point(const struct moments *m, const struct measure_plan *plan, struct point *out,
                  struct spectrum **spectrum)
{
    int rc;

    assert(!plan->probe || plan->problem);
    if (!plan->head)
        return measure_moments(m, plan, out, spectrum);
    *spectrum = NULL;
    rc = measure_with_head(m, plan, out, spectrum);
    if (rc < 0)
        return rc;
    out->c = (uint32_t)plan->head->c;
    out->flags |= FLAG_FROM_HEAD;
    return 0;
}
