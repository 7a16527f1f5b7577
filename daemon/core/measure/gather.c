#include "daemon/core/measure/gather.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/measure/flags.h"
#include "daemon/core/measure/leading.h"

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

int gather_sums(struct evidence *evidence)
{
    struct sums *sums = &evidence->sums;
    int rc = sum_products(evidence);

    if (rc < 0)
        return rc;
    evidence->kept_sums = kept_sum(&evidence->kept, evidence->moments, sums->t, sums->fourth);
    sums->weighting = isnan(evidence->kept_sums.weighting) ? 1 : evidence->kept_sums.weighting;
    return 0;
}

int gather_features(struct evidence *evidence)
{
    int rc;

    evidence->estimate.pr = estimate_pr(&evidence->sums);
    rc = units_count(evidence->moments, evidence->kernel, &evidence->units);
    evidence->n_varying = (double)evidence->moments->p - evidence->units.dead;
    return rc;
}

static int find_leading(struct evidence *evidence, const struct measure_plan *plan)
{
    const struct moments *m = evidence->moments;
    int rc;

    if (!measure_has_second_part(m, plan))
        return leading_eigenvalue(m, evidence->kernel, &evidence->largest);
    rc = shared_parts_take(plan->shared, SHARED_LEADING, m, plan->precision);
    evidence->largest = plan->shared->leading;
    return rc;
}

int gather_leading(struct evidence *evidence, const struct measure_plan *plan, uint32_t *flags)
{
    int rc = find_leading(evidence, plan);

    if (rc < 0)
        evidence->largest = (double)NAN;
    return flags_catch_not_converged(rc, flags);
}

int gather_collapse(struct evidence *evidence, const struct measure_plan *plan,
                    struct collapse *collapse, uint32_t *flags)
{
    int rc;

    if (!evidence->moments->classes)
        return 0;
    if (evidence->moments->classes->is_lost) {
        *flags |= FLAG_CLASSES_LOST;
        return 0;
    }
    rc = collapse_measure(evidence->moments, plan->precision.features, plan->spectrum.wanted,
                          collapse);
    if (rc < 0)
        return flags_catch_not_converged(rc, flags);
    if (collapse->n_missing > 0)
        *flags |= FLAG_CLASSES_MISSING;
    if (collapse->is_below_floor)
        *flags |= FLAG_BELOW_FLOOR;
    evidence->collapse = collapse;
    return 0;
}

int gather_targets(struct evidence *evidence, const struct measure_plan *plan, uint32_t *flags)
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
    return flags_catch_not_converged(rc, flags);
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
int gather_probe(struct evidence *evidence, const struct measure_plan *plan, uint32_t *flags)
{
    const struct reservoir *reservoir = evidence->moments->reservoir;
    struct probe now;
    int rc;

    if (!plan->probe)
        return 0;
    *plan->problem = find_problem(plan, reservoir);
    if (*plan->problem != PROBE_NONE) {
        *flags |= FLAG_PROBE_DIFFERS;
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

void gather_spectrum(struct evidence *evidence, const struct measure_plan *plan,
                     struct spectrum **spectrum, uint32_t *flags)
{
    if (!plan->spectrum.wanted)
        return;
    if (evidence->moments->c == 0 ||
        spectrum_new(evidence->moments, plan->precision, &evidence->projector, plan->spectrum,
                     spectrum) < 0)
        *flags |= FLAG_NO_SPECTRUM;
    evidence->spectrum = *spectrum;
    if (*spectrum)
        *flags |= flags_of_floor(evidence);
}
