#include "daemon/core/measure/gather.h"

#include <math.h>

#include "daemon/core/estimate/jackknife.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/measure/flags.h"

/* What only the whole span has: principal directions move with the rows, and neither the rows' own
 * share in them nor the jackknife sees that. */
static int measure_whole_span(struct evidence *evidence, const struct span *outputs,
                              uint32_t *flags)
{
    const struct moments *m = evidence->moments;
    bool dependent = false;
    int rc = kept_overfit(&evidence->kept, m, outputs, &evidence->sums.overfit);

    if (rc == 0)
        rc = jackknife_measure(m, evidence->kernel, &evidence->kept, outputs, &evidence->sums,
                               &evidence->errors, &dependent);
    if (rc < 0)
        return rc;
    evidence->estimate = estimate_richness(&evidence->sums, outputs->trace);
    *flags |= dependent ? FLAG_DEPENDENT_ROWS : 0;
    return 0;
}

static int measure_span(struct evidence *evidence, const struct span *outputs, uint32_t *flags)
{
    int rc = span_variation(outputs, evidence->moments, &evidence->sums.q);

    if (rc == 0 && outputs->is_whole)
        rc = measure_whole_span(evidence, outputs, flags);
    else if (rc == 0)
        evidence->estimate = estimate_projected(&evidence->sums, outputs->norm_sq);
    if (rc < 0)
        return rc;
    evidence->trace = outputs->trace;
    evidence->norm_sq = outputs->norm_sq;
    *flags |= flags_of_sample(evidence, outputs->trace);
    if (isnan(evidence->estimate.plain))
        *flags |= FLAG_NOT_CONVERGED;
    return 0;
}

/* Outputs that a head makes are a linear view of the features by construction, and those of a layer
 * within the network need not be one. */
static int measure_views(struct evidence *evidence, const struct measure_plan *plan,
                         uint32_t *flags)
{
    int rc;

    if (plan->head || evidence->moments->by_rows)
        return 0;
    rc = views_measure(evidence->moments, plan->precision, evidence->n, evidence->n_varying,
                       plan->spectrum.wanted, &evidence->views);
    *flags |= plan->is_inner ? 0 : flags_of_head(evidence);
    return rc;
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

int gather_outputs(struct evidence *evidence, const struct measure_plan *plan, uint32_t *rank,
                   uint32_t *flags)
{
    const struct moments *m = evidence->moments;
    struct span outputs = {0};
    int rc = evidence->projector.kind == PROJECTOR_AUTO ? decide_projector(evidence, plan) : 0;

    if (rc == 0)
        rc = span_init_projected(&outputs, m, 0, m->c, plan->precision.outputs,
                                 &evidence->projector);
    *rank = (uint32_t)lround(outputs.trace);
    *flags |= flags_of_projector(&evidence->projector);
    if (rc == 0 && outputs.rank > 0)
        rc = measure_span(evidence, &outputs, flags);
    else if (rc == 0)
        *flags |= FLAG_CONSTANT;
    if (rc == 0 && outputs.rank > 0)
        rc = measure_views(evidence, plan, flags);
    span_release(&outputs);
    return flags_catch_not_converged(rc, flags);
}
