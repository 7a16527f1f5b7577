#include "daemon/core/measure.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/linalg.h"
#include "daemon/core/span.h"

/* Beyond this ratio of mean to spread, bf16 (8 bits) and f16 (11 bits) hold no digit of the spread.
 */
#define LOW_PRECISION_RATIO 256
/* Residual rows below which the de-biased estimate is mostly noise. */
#define SMALL_RESIDUAL 8

static measure_fn *const functions[METRIC_COUNT] = {
#define X(ENUM, name, unit, needs, sentence) [METRIC_##ENUM] = measure_##name,
    METRICS(X)
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
static int excuse(int rc, enum flag flag, struct point *out)
{
    if (rc != -EDOM)
        return rc;
    out->flags |= flag;
    return 0;
}

/* The rank of the outputs, and the features' variation inside their span: q = ||Q'X||_F^2. */
static int project(const struct moments *m, double cutoff, uint32_t *rank, double *q)
{
    struct span outputs;
    int rc = span_init(&outputs, m, 0, m->c, cutoff);

    if (rc == 0)
        rc = span_variation(&outputs, m, q);
    *rank = (uint32_t)outputs.rank;
    span_release(&outputs);
    return rc;
}

static int gather_outputs(struct evidence *e, const struct measure_plan *plan, struct point *out)
{
    const struct moments *m = e->moments;
    double scale = e->n / m->weight, q = 0, *scratch;
    int rc;

    rc = project(m, span_cutoff(plan->precision.outputs), &out->rank, &q);
    if (rc < 0)
        return excuse(rc, FLAG_NOT_CONVERGED, out);
    if (out->rank == 0) {
        out->flags |= FLAG_CONSTANT;
        return 0;
    }
    scratch = malloc(2 * m->p * sizeof *scratch);
    if (!scratch)
        return -ENOMEM;
    e->r = out->rank;
    e->q = q * scale;
    e->fourth = moments_fourth(m, scratch) * scale;
    out->flags |= sample_flags(e->n, out->p, e->r);
    free(scratch);
    return 0;
}

static int gather_collapse(struct evidence *e, const struct measure_plan *plan,
                           struct collapse *collapse, struct point *out)
{
    int rc;

    if (!plan->targets_are_labels || e->moments->k == 0)
        return 0;
    rc = collapse_measure(e->moments, plan->spectrum.wanted, collapse);
    if (rc < 0)
        return excuse(rc, FLAG_NOT_CONVERGED, out);
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
    if (spectrum_new(e->moments, plan->precision, plan->spectrum, spectrum) < 0)
        out->flags |= FLAG_NO_SPECTRUM;
    e->spectrum = *spectrum;
}

static bool is_available(const struct evidence *e, enum metric_needs needs)
{
    return needs == NEEDS_NOTHING || (needs == NEEDS_LABELS && e->collapse) ||
           (needs == NEEDS_SPECTRUM && e->spectrum);
}

static void clear(const struct evidence *e, struct point *out)
{
    out->n = e->n;
    out->p = (uint32_t)e->moments->p;
    out->c = (uint32_t)e->moments->c;
    out->rank = 0;
    out->flags = 0;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = (double)NAN;
}

/* The sums that need no more than the moments; false when they say that nothing can be measured. */
static bool gather_features(struct evidence *e, const struct measure_plan *plan, struct point *out)
{
    const struct moments *m = e->moments;
    double scale = e->n / m->weight, trace = tiles_trace(&m->xx);

    e->t = trace * scale;
    e->f = tiles_sum_squares(&m->xx) * scale * scale;
    if (e->t == 0) {
        out->flags = FLAG_CONSTANT;
        return false;
    }
    if (!isnormal(e->f)) { /* fourth powers of f64 features beyond 1e+-77 */
        out->flags = FLAG_NOT_CONVERGED;
        return false;
    }
    if (is_low_precision(m, plan->precision.features, trace))
        out->flags |= FLAG_LOW_PRECISION;
    return true;
}

int measure_point(const struct moments *m, const struct measure_plan *plan, struct point *out,
                  struct spectrum **spectrum)
{
    struct evidence e = {.moments = m, .q = (double)NAN, .fourth = (double)NAN};
    struct collapse collapse;
    int rc;

    assert(m->weight > 0);
    e.n = m->weight * m->weight / m->weight_sq;
    *spectrum = NULL;
    clear(&e, out);
    if (!gather_features(&e, plan, out))
        return 0;
    rc = gather_outputs(&e, plan, out);
    if (rc == 0)
        rc = gather_collapse(&e, plan, &collapse, out);
    if (rc < 0)
        return rc;
    gather_spectrum(&e, plan, spectrum, out);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (is_available(&e, metric_table[i].needs))
            out->value[i] = functions[i](&e);
    }
    return 0;
}
