#include "daemon/core/measure/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "daemon/core/measure/flags.h"
#include "daemon/core/measure/gather.h"
#include "daemon/core/measure/measures.h"

/* From here on a second worker saves more than the .1 ms that it costs. */
#define SECOND_PART_P 192

static measure_fn *const functions[METRIC_COUNT] = {
#define X(ENUM, name, ...) [METRIC_##ENUM] = measure_##name,
    METRICS_MEASURED(X)
#undef X
};

static bool is_available(const struct evidence *evidence, enum metric_needs needs)
{
    return needs == NEEDS_NOTHING || (needs == NEEDS_LABELS && evidence->collapse) ||
           (needs == NEEDS_TARGETS && evidence->has_targets) ||
           (needs == NEEDS_SPECTRUM && evidence->spectrum) ||
           (needs == NEEDS_PROBE && evidence->has_likeness);
}

static void fill_values(const struct evidence *evidence, struct point *out)
{
    if (evidence->collapse) {
        out->classes_seen = evidence->collapse->n_classes;
        out->class_rows_min = evidence->collapse->rows_min;
    }
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (is_available(evidence, metric_table[i].needs))
            out->value[i] = functions[i](evidence);
    }
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

/* Whether anything can be measured; a flag says why not. */
static bool check_sums(const struct sums *sums, uint32_t *flags)
{
    if (sums->t == 0)
        *flags |= FLAG_CONSTANT;
    else if (!isnormal(sums->f)) /* fourth powers of f64 features beyond 1e+-77 */
        *flags |= FLAG_NOT_CONVERGED;
    return sums->t != 0 && isnormal(sums->f);
}

/* What the rows' number and lengths do to the estimates; in this order, because the bias is judged
 * by the estimates that long rows take away. */
static void judge_estimates(struct evidence *evidence, uint32_t *flags)
{
    *flags |= flags_of_bias(evidence) | flags_of_outliers(evidence);
    if (flags_too_few_long_rows(evidence))
        evidence->estimate.pr = evidence->estimate.debiased = (double)NAN;
}

static int gather_estimates(struct evidence *evidence, const struct measure_plan *plan,
                            struct point *out)
{
    int rc = gather_features(evidence);

    if (rc == 0 && evidence->moments->c > 0)
        rc = gather_outputs(evidence, plan, &out->rank, &out->flags);
    judge_estimates(evidence, &out->flags);
    return rc;
}

static int fill_point(struct evidence *evidence, const struct measure_plan *plan,
                      struct collapse *collapse, struct point *out, struct spectrum **spectrum)
{
    int rc = gather_sums(evidence);

    if (rc < 0 || !check_sums(&evidence->sums, &out->flags))
        return rc;
    out->flags |= flags_of_precision(evidence);
    rc = gather_estimates(evidence, plan, out);
    if (rc == 0)
        rc = gather_collapse(evidence, plan, collapse, &out->flags);
    if (rc == 0)
        rc = gather_targets(evidence, plan, &out->flags);
    if (rc == 0)
        rc = gather_probe(evidence, plan, &out->flags);
    if (rc == 0)
        rc = gather_leading(evidence, plan, &out->flags);
    if (rc == 0)
        rc = gather_views(evidence, plan, &out->flags);
    if (rc < 0)
        return rc;
    gather_spectrum(evidence, plan, spectrum, &out->flags);
    fill_values(evidence, out);
    return 0;
}

bool measure_has_second_part(const struct moments *m, const struct measure_plan *plan)
{
    return plan->shared && !plan->head && !plan->spectrum.wanted && !m->by_rows &&
           m->p >= SECOND_PART_P;
}

void measure_second_part(const struct moments *m, const struct measure_plan *plan)
{
    assert(measure_has_second_part(m, plan));
    if (m->c > 0)
        shared_parts_make(plan->shared, SHARED_VIEWS, m, plan->precision);
    shared_parts_make(plan->shared, SHARED_LEADING, m, plan->precision);
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
    evidence->kernel = NULL;
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
        .readout = {none, none, none, none, none},
        .views = {none, none}};
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
