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
    int rc = kept_overfit(&evidence->kept, m, outputs, evidence->precision.features,
                          evidence->sums.t, &evidence->sums.overfit);

    if (rc == 0)
        rc = jackknife_measure(m, evidence->kernel, &evidence->kept, outputs, &evidence->sums,
                               &evidence->errors, &dependent);
    if (rc < 0)
        return rc;
    evidence->estimate = estimate_richness(&evidence->sums, outputs->trace);
    *flags |= dependent ? FLAG_DEPENDENT_ROWS : 0;
    return 0;
}

/* The sums have q already. */
static int measure_span(struct evidence *evidence, const struct span *outputs, uint32_t *flags)
{
    int rc = 0;

    if (outputs->is_whole)
        rc = measure_whole_span(evidence, outputs, flags);
    else
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

/* The span that the evidence's projector keeps, and q; q stays NaN where nothing varies. Returns 0,
 * -ENOMEM or -EDOM. */
static int find_span(struct evidence *evidence, const struct measure_plan *plan,
                     struct span *outputs)
{
    const struct moments *m = evidence->moments;
    int rc =
        span_init_projected(outputs, m, 0, m->c, plan->precision.outputs, &evidence->projector);

    if (rc < 0 || outputs->rank == 0)
        return rc;
    return span_variation(outputs, m, &evidence->sums.q);
}

/* What AUTO is for this window, from the whole span (projector.h). */
static enum projector_kind decide_projector(const struct evidence *evidence,
                                            const struct measure_plan *plan,
                                            const struct span *whole)
{
    struct projector_signs signs = {
        .n = evidence->n,
        .p = evidence->n_varying,
        .c = (double)(plan->head ? plan->head->c : evidence->moments->c),
        .r = (double)whole->rank,
        .u = whole->rank > 0 ? evidence->sums.q / evidence->sums.t : 0,
        .outputs = plan->precision.outputs,
    };

    return projector_takes_top(&signs) ? PROJECTOR_TOP : PROJECTOR_SPAN;
}

/* AUTO becomes SPAN, whose span is there then, or TOP. */
static int find_automatic(struct evidence *evidence, const struct measure_plan *plan,
                          struct span *outputs)
{
    int rc;

    evidence->projector.kind = PROJECTOR_SPAN;
    rc = find_span(evidence, plan, outputs);
    if (rc < 0)
        return rc;
    evidence->projector.kind = decide_projector(evidence, plan, outputs);
    if (evidence->projector.kind == PROJECTOR_SPAN)
        return 0;
    span_release(outputs);
    evidence->sums.q = (double)NAN;
    return find_span(evidence, plan, outputs);
}

int gather_outputs(struct evidence *evidence, const struct measure_plan *plan, uint32_t *rank,
                   uint32_t *flags)
{
    struct span outputs = {0};
    bool is_automatic = evidence->projector.kind == PROJECTOR_AUTO;
    int rc = is_automatic ? find_automatic(evidence, plan, &outputs)
                          : find_span(evidence, plan, &outputs);

    *rank = (uint32_t)lround(outputs.trace);
    *flags |= flags_of_projector(&evidence->projector);
    if (rc == 0 && outputs.rank > 0)
        rc = measure_span(evidence, &outputs, flags);
    else if (rc == 0)
        *flags |= FLAG_CONSTANT;
    span_release(&outputs);
    return flags_catch_not_converged(rc, flags);
}

static int find_views(struct evidence *evidence, const struct measure_plan *plan)
{
    const struct moments *m = evidence->moments;
    int rc;

    if (!measure_has_second_part(m, plan))
        return views_measure(m, plan->precision, plan->spectrum.wanted, &evidence->views);
    rc = shared_parts_take(plan->shared, SHARED_VIEWS, m, plan->precision);
    evidence->views = plan->shared->views;
    return rc;
}

/* Outputs that a head makes are a linear view of the features by construction, and those of a layer
 * within the network need not be one. */
int gather_views(struct evidence *evidence, const struct measure_plan *plan, uint32_t *flags)
{
    int rc;

    if (isnan(evidence->trace) || plan->head || evidence->moments->by_rows)
        return 0;
    rc = find_views(evidence, plan);
    *flags |= plan->is_inner ? 0 : flags_of_head(evidence);
    return flags_catch_not_converged(rc, flags);
}
