#include "daemon/core/estimate/estimate.h"

#include <assert.h>
#include <math.h>

double estimate_n_rows(const struct sums *s)
{
    return s->weight * s->weight / s->weight_sq;
}

/* The estimate corrected for finitely many rows (D). With t = ||X||_F^2, f = ||X'X||_F^2 and
 * fourth = sum |x_i|^4:
 *
 *     N = t/(n-1) - (t - q)/(n-1-r)
 *     Z = ( f - n/(n-2) fourth + t^2/((n-1)(n-2)) ) / (n(n-3))
 *     D = 1 - N / sqrt(r Z)
 */
static double debias(double n, double r, double t, double q, double f, double fourth)
{
    double numerator, z;

    if (n <= 3 || n <= r + 1)
        return (double)NAN;
    numerator = t / (n - 1) - (t - q) / (n - 1 - r);
    z = (f - n / (n - 2) * fourth + t * t / ((n - 1) * (n - 2))) / (n * (n - 3));
    return z > 0 ? 1 - numerator / sqrt(r * z) : (double)NAN;
}

/* Weighted sums are scaled to those of n equal rows. */
struct estimate estimate_richness(const struct sums *s, double r)
{
    double n = estimate_n_rows(s), scale = n / s->weight;

    assert(r > 0);
    return (struct estimate){
        .plain = 1 - s->q / sqrt(r * s->f),
        .debiased =
            debias(n, r, s->t * scale, s->q * scale, s->f * scale * scale, s->fourth * scale),
    };
}

struct estimate estimate_projected(const struct sums *s, double norm_sq)
{
    return (struct estimate){.plain = 1 - s->q / sqrt(norm_sq * s->f), .debiased = (double)NAN};
}
