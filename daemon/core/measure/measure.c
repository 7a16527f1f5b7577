#include "daemon/core/measure/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/span.h"

/* Beyond this ratio of mean to spread, bf16 (8 bits) and f16 (11 bits) hold no digit of the spread.
 */
#define LOW_PRECISION_RATIO 256
/* Residual rows below which the de-biased estimate is mostly noise. */
#define SMALL_RESIDUAL 8

static measure_fn *const functions[METRIC_COUNT] = {
#define X(ENUM, name, unit, needs, sentence) [METRIC_##ENUM] = measure_##name,
    METRICS_MEASURED(X)
#undef X
};

static bool is_low_precision(const struct moments *m, enum dtype features, double t)
{
    double mean_sq = linalg_sum_squares(m->p, m->mean_x) * m->weight;

    return (features == DTYPE_F16 || features == DTYPE_BF16) &&
           mean_sq > LOW_PRECISION_RATIO * LOW_PRECISION_RATIO * t;
}

static uint32_t sample_flags(double n, double p, double r)
{
    uint32_t flags = 0;

    if (r >= p || r >= n - 1)
        flags |= FLAG_DEGENERATE;
    if (n < 4 * r || n - 1 - r < SMALL_RESIDUAL)
        flags |= FLAG_SMALL_SAMPLE;
    return flags;
}

/* A matrix that LAPACK cannot decompose costs the measures that need it, and a flag. */
static int flag_instead(int rc, enum flag flag, struct point *out)
{
    if (rc != -EDOM)
        return rc;
    out->flags |= flag;
    return 0;
}

/* What the span of the outputs says of the features. Error bars are for the whole of it: how the
 * principal directions move with the rows, they would not see. */
static int measure_span(struct evidence *e, const struct span *outputs, struct point *out)
{
    int rc = span_variation(outputs, e->moments, &e->sums.q);

    if (rc == 0 && outputs->is_whole)
        rc = jackknife_measure(e->moments, e->kernel, outputs, &e->sums, &e->errors);
    if (rc < 0)
        return rc;
    e->estimate = outputs->is_whole ? estimate_richness(&e->sums, outputs->trace)
                                    : estimate_projected(&e->sums, outputs->norm_sq);
    out->flags |= sample_flags(e->n, out->p, outputs->trace);
    return 0;
}

static uint32_t projector_flags(const struct projector *q)
{
    return q->kind == PROJECTOR_TOP     ? FLAG_TOP_OUTPUTS
           : q->kind == PROJECTOR_RIDGE ? FLAG_RIDGE
                                        : 0;
}

static int gather_outputs(struct evidence *e, const struct measure_plan *plan, struct point *out)
{
    const struct moments *m = e->moments;
    struct span outputs;
    int rc = span_init_projected(&outputs, m, 0, m->c, plan->precision.outputs, &plan->projector);

    out->rank = (uint32_t)lround(outputs.trace);
    out->flags |= projector_flags(&plan->projector);
    if (rc == 0 && outputs.rank > 0)
        rc = measure_span(e, &outputs, out);
    else if (rc == 0)
        out->flags |= FLAG_CONSTANT;
    span_release(&outputs);
    return flag_instead(rc, FLAG_NOT_CONVERGED, out);
}

static bool has_labels(const struct moments *m, const struct measure_plan *plan)
{
    return plan->targets_are_labels && m->k > 0;
}

static int gather_collapse(struct evidence *e, const struct measure_plan *plan,
                           struct collapse *collapse, struct point *out)
{
    int rc;

    if (!has_labels(e->moments, plan))
        return 0;
    rc = collapse_measure(e->moments, plan->spectrum.wanted, collapse);
    if (rc < 0)
        return flag_instead(rc, FLAG_NOT_CONVERGED, out);
    if (collapse->n_missing > 0)
        out->flags |= FLAG_CLASSES_MISSING;
    e->collapse = collapse;
    return 0;
}

/* A point goes without its spectrum rather than waiting for memory that may never come. */
static void gather_spectrum(struct evidence *e, const struct measure_plan *plan,
                            struct spectrum **spectrum, struct point *out)
{
    if (!plan->spectrum.wanted)
        return;
    if (e->moments->c == 0 ||
        spectrum_new(e->moments, plan->precision, &plan->projector, plan->spectrum, spectrum) < 0)
        out->flags |= FLAG_NO_SPECTRUM;
    e->spectrum = *spectrum;
}

/* Rows that are missing are not known to be the same ones. */
static enum probe_problem find_problem(const struct measure_plan *plan,
                                       const struct reservoir *reservoir)
{
    if (plan->probe_is_partial)
        return PROBE_MISSING;
    return reservoir ? probe_check(plan->probe, reservoir) : PROBE_REDUCED;
}

/* The first window is like itself. One whose features do not vary has nothing to be compared with,
 * and the next one is the first. */
static int gather_probe(struct evidence *e, const struct measure_plan *plan, struct point *out)
{
    const struct reservoir *reservoir = e->moments->reservoir;
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
    if (rc < 0)
        return rc;
    e->has_likeness = true;
    if (plan->probe->n == 0) {
        *plan->probe = now;
        e->likeness = probe_compare(plan->probe, plan->probe);
        return 0;
    }
    e->likeness = probe_compare(plan->probe, &now);
    probe_release(&now);
    return 0;
}

static bool is_available(const struct evidence *e, enum metric_needs needs)
{
    return needs == NEEDS_NOTHING || (needs == NEEDS_LABELS && e->collapse) ||
           (needs == NEEDS_SPECTRUM && e->spectrum) || (needs == NEEDS_PROBE && e->has_likeness);
}

static void clear(const struct evidence *e, struct point *out)
{
    out->n = e->n;
    out->p = (uint32_t)e->moments->p;
    out->c = (uint32_t)e->moments->c;
    out->rank = 0;
    out->flags = e->moments->by_rows ? FLAG_ROW_FORM : 0;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = (double)NAN;
}

/* The sums that need no outputs, from X'X or from XX'. */
static int sum_features(struct evidence *e)
{
    const struct moments *m = e->moments;
    double *scratch;

    if (e->kernel) {
        e->sums.t = kernel_trace(e->kernel);
        e->sums.f = kernel_sum_squares(e->kernel);
        e->sums.fourth = kernel_fourth(e->kernel);
        return 0;
    }
    scratch = malloc(2 * m->p * sizeof *scratch);
    if (!scratch)
        return -ENOMEM;
    e->sums.t = tiles_trace(&m->xx);
    e->sums.f = tiles_sum_squares(&m->xx);
    e->sums.fourth = moments_fourth(m, scratch);
    free(scratch);
    return 0;
}

/* Whether anything can be measured; a flag says why not. */
static bool check_features(const struct evidence *e, const struct measure_plan *plan,
                           struct point *out)
{
    if (e->sums.t == 0) {
        out->flags |= FLAG_CONSTANT;
        return false;
    }
    if (!isnormal(e->sums.f)) { /* fourth powers of f64 features beyond 1e+-77 */
        out->flags |= FLAG_NOT_CONVERGED;
        return false;
    }
    if (is_low_precision(e->moments, plan->precision.features, e->sums.t))
        out->flags |= FLAG_LOW_PRECISION;
    return true;
}

static int measure(struct evidence *e, const struct measure_plan *plan, struct collapse *collapse,
                   struct point *out, struct spectrum **spectrum)
{
    int rc = sum_features(e);

    if (rc < 0 || !check_features(e, plan, out))
        return rc;
    if (e->moments->c > 0)
        rc = gather_outputs(e, plan, out);
    if (rc == 0)
        rc = gather_collapse(e, plan, collapse, out);
    if (rc == 0)
        rc = gather_probe(e, plan, out);
    if (rc < 0)
        return rc;
    gather_spectrum(e, plan, spectrum, out);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (is_available(e, metric_table[i].needs))
            out->value[i] = functions[i](e);
    }
    return 0;
}

bool measure_needs_xx(const struct moments *m, const struct measure_plan *plan)
{
    return has_labels(m, plan) || plan->spectrum.wanted || plan->head;
}

static int measure_moments(const struct moments *m, const struct measure_plan *plan,
                           struct point *out, struct spectrum **spectrum)
{
    const double none = (double)NAN;
    struct evidence e = {.moments = m,
                         .sums = {.weight = m->weight, .weight_sq = m->weight_sq, .q = none},
                         .estimate = {none, none},
                         .errors = {none, none}};
    struct collapse collapse;
    struct kernel kernel;
    int rc;

    assert(m->weight > 0 && !(m->by_rows && measure_needs_xx(m, plan)));
    e.n = estimate_n_rows(&e.sums);
    *spectrum = NULL;
    clear(&e, out);
    if (!m->by_rows)
        return measure(&e, plan, &collapse, out, spectrum);
    rc = kernel_init(&kernel, m);
    if (rc < 0)
        return rc;
    e.kernel = &kernel;
    rc = measure(&e, plan, &collapse, out, spectrum);
    kernel_release(&kernel);
    return rc;
}

/* Without its head a layer has features alone. */
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
