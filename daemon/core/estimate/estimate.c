#include "daemon/core/estimate/estimate.h"

#include <assert.h>
#include <math.h>

/* Products of single precision are right to 1e-7 of ||X'X||, so a share may leave [0, 1] by that. A
 * larger excess is none of ours: reduced sums that do not belong together. */
#define ROUNDING 1e-5

double estimate_share(double value)
{
    double share = value < 0 ? 0 : value > 1 ? 1 : value;

    return fabs(value - share) < ROUNDING ? share : (double)NAN;
}

double estimate_n_rows(const struct sums *s)
{
    return s->weight * s->weight / s->weight_sq;
}

/* Weighted sums are scaled to those of n equal rows. A row's product with itself weighs w^2. */
struct scaled {
    double n, t, q, f, fourth, overfit;
};

static struct scaled scale_sums(const struct sums *s)
{
    double n = estimate_n_rows(s), scale = n / s->weight;

    return (struct scaled){.n = n,
                           .t = s->t * scale,
                           .q = s->q * scale,
                           .f = s->f * scale * scale,
                           .fourth = s->fourth * s->weighting * scale,
                           .overfit = s->overfit * scale};
}

double estimate_spread(const struct sums *sums)
{
    struct scaled s = scale_sums(sums);

    return s.n * s.fourth / (s.t * s.t);
}

/* The participation ratio (tr S)^2 / tr S^2 (D). Both are estimated without bias, by averages over
 * rows i, j, k, l that all differ (U-statistics, Hoeffding 1948):
 *
 *     (tr S)^2 = E |x_i - x_j|^2/2 |x_k - x_l|^2/2
 *              ~ ( (n^2 - 3n + 1) t^2 - n(n-1) fourth + 2f ) / ( n(n-1)(n-2)(n-3) )
 *     tr S^2   = E ((x_i - x_j)'(x_k - x_l))^2 / 4
 *              ~ ( f - n/(n-2) fourth + t^2/((n-1)(n-2)) ) / ( n(n-3) )
 *
 * with t = ||X||_F^2, f = ||X'X||_F^2 and fourth = sum |x_i|^4. The square (t/(n-1))^2 for the
 * first would hold the rows' own squares, which the second does not: one row 30 times as long as
 * the others among 256 made 0 of 1 - D = .42. */
static double pr_of(const struct scaled *s)
{
    double n = s->n, tt, ss;

    if (n <= 3)
        return (double)NAN;
    tt = ((n * n - 3 * n + 1) * s->t * s->t - n * (n - 1) * s->fourth + 2 * s->f) /
         (n * (n - 1) * (n - 2) * (n - 3));
    ss = (s->f - n / (n - 2) * s->fourth + s->t * s->t / ((n - 1) * (n - 2))) / (n * (n - 3));
    return ss > 0 ? tt / ss : (double)NAN;
}

/* The share of the variance that the outputs explain (D): the residuals are those of a map that was
 * fitted without their own row (kept.h).
 *
 *     u = 1 - (t - q + overfit)/n / (t/(n-1))
 *
 * Where no rows are kept they count as equally long: 1 - (t - q)/(n-1-r) / (t/(n-1)). Nothing is
 * estimated from sums that no rows have. */
static double u_of(const struct scaled *s, double r)
{
    double n = s->n, left = s->t - s->q;

    if (n <= r + 1 || isnan(estimate_share(s->q / s->t)))
        return (double)NAN;
    left += isnan(s->overfit) ? left * (r + 1) / (n - 1 - r) : s->overfit;
    return 1 - left / n * (n - 1) / s->t;
}

double estimate_pr(const struct sums *sums)
{
    struct scaled s = scale_sums(sums);

    return pr_of(&s);
}

/* 1 - q / sqrt(norm_sq f), which Cauchy and Schwarz keep in [0, 1]. */
static double plain_of(const struct sums *s, double norm_sq)
{
    return estimate_share(1 - s->q / sqrt(norm_sq * s->f));
}

struct estimate estimate_richness(const struct sums *sums, double r)
{
    struct scaled s = scale_sums(sums);
    struct estimate out = {
        .plain = plain_of(sums, r), .debiased = (double)NAN, .u = u_of(&s, r), .pr = pr_of(&s)};

    assert(r > 0);
    if (!isnan(out.plain))
        out.debiased = 1 - out.u * sqrt(out.pr / r);
    return out;
}

struct estimate estimate_projected(const struct sums *sums, double norm_sq)
{
    struct estimate out = ESTIMATE_NONE;

    out.plain = plain_of(sums, norm_sq);
    out.pr = estimate_pr(sums);
    return out;
}
