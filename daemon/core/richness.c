#include "daemon/core/richness.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/linalg.h"
#include "daemon/core/span.h"

/* Beyond this ratio of mean to spread, bf16 (8 bits) and f16 (11 bits) hold no digit of the spread.
 */
#define LOW_PRECISION_RATIO 256
/* Residual rows below which the de-biased estimate is mostly noise. */
#define SMALL_RESIDUAL 8

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

/* The estimate corrected for finitely many rows (D). With t = ||X||_F^2, f = ||X'X||_F^2 and
 * sum_s2 = sum |x_i|^4:
 *
 *     N = t/(n-1) - (t - q)/(n-1-r)
 *     Z = ( f - n/(n-2) sum_s2 + t^2/((n-1)(n-2)) ) / (n(n-3))
 *     D = 1 - N / sqrt(r Z)
 *
 * NaN unless n > 3, n > r + 1 and Z > 0. */
static double debias(double n, double r, double t, double q, double f, double sum_s2)
{
    double numerator, z;

    if (n <= 3 || n <= r + 1)
        return (double)NAN;
    numerator = t / (n - 1) - (t - q) / (n - 1 - r);
    z = (f - n / (n - 2) * sum_s2 + t * t / ((n - 1) * (n - 2))) / (n * (n - 3));
    return z > 0 ? 1 - numerator / sqrt(r * z) : (double)NAN;
}

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

/* Rows of unequal weight count as (sum w)^2 / sum w^2 equal ones, and the sums are scaled to that.
 */
int richness_measure(const struct moments *m, struct precision precision, struct point *out)
{
    double n = m->weight * m->weight / m->weight_sq, scale = n / m->weight;
    double t = tiles_trace(&m->xx) * scale, f, r, q, *scratch;
    int rc;

    assert(m->weight > 0);
    out->n = n;
    out->p = (uint32_t)m->p;
    out->c = (uint32_t)m->c;
    out->rank = 0;
    out->flags = 0;
    for (int i = 0; i < METRIC_COUNT; i++)
        out->value[i] = (double)NAN;
    if (t == 0) {
        out->flags = FLAG_CONSTANT;
        return 0;
    }
    f = tiles_sum_squares(&m->xx) * scale * scale;
    if (!isnormal(f)) { /* fourth powers of f64 features beyond 1e+-77 */
        out->flags = FLAG_NOT_CONVERGED;
        return 0;
    }
    out->value[METRIC_PR] = t * t / f;
    if (is_low_precision(m, precision.features, t / scale))
        out->flags |= FLAG_LOW_PRECISION;

    rc = project(m, span_cutoff(precision.outputs), &out->rank, &q);
    if (rc == -EDOM) {
        out->flags |= FLAG_NOT_CONVERGED;
        return 0;
    }
    if (rc < 0)
        return rc;
    if (out->rank == 0) {
        out->flags |= FLAG_CONSTANT;
        return 0;
    }
    scratch = malloc(2 * m->p * sizeof(double));
    if (!scratch)
        return -ENOMEM;
    r = out->rank;
    q *= scale;
    out->value[METRIC_D_LR] = 1 - q / sqrt(r * f);
    out->value[METRIC_U] = q / t;
    out->value[METRIC_D_DEBIASED] = debias(n, r, t, q, f, moments_fourth(m, scratch) * scale);
    out->flags |= sample_flags(n, out->p, r);
    free(scratch);
    return 0;
}
