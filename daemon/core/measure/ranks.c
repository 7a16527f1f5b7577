#include <math.h>

#include "daemon/core/measure/measures.h"

/* What RankMe adds to each share, so that log 0 is never taken. */
#define RANKME_EPSILON 1e-7
/* What srank and dims_99 keep. */
#define SHARE 0.99
/* The eigenvalues that alpha_req is fitted to, and how many it needs. */
#define ALPHA_FIRST  3
#define ALPHA_LAST   100
#define ALPHA_VALUES 8

/* tr S / rho_1 (Rudelson and Vershynin 2007), of centred features at every point (leading.h). */
double measure_stable_rank(const struct evidence *evidence)
{
    return evidence->sums.t / evidence->largest;
}

/* How many directions the features have, from the eigenvalues rho of the spectrum (centred or not,
 * as the run asked). */

/* Whether all eigenvalues but zeros are there: an entropy needs them all. n rows have n directions,
 * n - 1 about their mean. */
static bool is_complete(const struct evidence *evidence)
{
    const struct spectrum *spectrum = evidence->spectrum;
    uint64_t n_directions = evidence->moments->n_rows - (spectrum->uncentred ? 0 : 1);

    if (n_directions > spectrum->p)
        n_directions = spectrum->p;
    return spectrum->n_values >= n_directions;
}

/* exp(-sum s log s) with s_k = rho_k / sum rho, the effective rank of the covariance (Roy and
 * Vetterli 2007). */
double measure_effective_rank(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    double entropy = 0;

    if (!is_complete(evidence))
        return (double)NAN;
    for (size_t k = 0; k < s->n_values; k++) {
        double share = s->rho[k] / s->total;

        entropy -= share > 0 ? share * log(share) : 0;
    }
    return exp(entropy);
}

/* RankMe (Garrido et al. 2023): singular values sigma_k = sqrt(n rho_k) in place of eigenvalues,
 * s_k = sigma_k / sum sigma + 1e-7, exp(-sum s log s), over the directions above the floor. Theirs
 * are of uncentred features. */
double measure_rankme(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    size_t n = spectrum_resolved(s);
    double entropy = 0, sum = 0;

    if (!is_complete(evidence))
        return (double)NAN;
    for (size_t k = 0; k < n; k++)
        sum += sqrt(s->rho[k]);
    for (size_t k = 0; k < n; k++) {
        double share = sqrt(s->rho[k]) / sum + RANKME_EPSILON;

        entropy -= share * log(share);
    }
    return exp(entropy);
}

/* The fewest leading directions whose singular values make up 99 % of all (srank, delta = .01;
 * Kumar et al. 2021, 2010.14498). Theirs are of uncentred features. */
double measure_srank(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    double all = 0, sum = 0;
    size_t k = 0;

    if (!is_complete(evidence))
        return (double)NAN;
    for (size_t i = 0; i < s->n_values; i++)
        all += sqrt(s->rho[i]);
    while (k < s->n_values && sum < SHARE * all)
        sum += sqrt(s->rho[k++]);
    return (double)k;
}

/* The fewest leading directions that hold 99 % of the variance, as many as a principal component
 * analysis would keep. The leading eigenvalues suffice, if they hold as much. */
double measure_dims_99(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    double sum = 0;
    size_t k = 0;

    while (k < s->n_values && sum < SHARE * s->total)
        sum += s->rho[k++];
    return sum < SHARE * s->total ? (double)NAN : (double)k;
}

/* The exponent a of rho_k ~ k^-a (alpha-ReQ, Agrawal et al. 2022): the slope of log rho_k over
 * log k, by least squares with weights 1/k (Stringer et al. 2019), for k = 3 to 100. An eigenvalue
 * of n rows is inflated when k is near n, so k stays below n / 5. */
double measure_alpha_req(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    size_t last = (size_t)fmin(fmin((double)spectrum_resolved(s), evidence->n / 5), ALPHA_LAST);
    double w = 0, x = 0, y = 0, xx = 0, xy = 0;

    if (last < ALPHA_FIRST + ALPHA_VALUES - 1)
        return (double)NAN;
    for (size_t k = ALPHA_FIRST; k <= last; k++) {
        double weight = 1 / (double)k, lx = log((double)k), ly = log(s->rho[k - 1]);

        w += weight;
        x += weight * lx;
        y += weight * ly;
        xx += weight * lx * lx;
        xy += weight * lx * ly;
    }
    return -(w * xy - x * y) / (w * xx - x * x);
}
