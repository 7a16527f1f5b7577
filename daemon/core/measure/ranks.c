#include <math.h>

#include "daemon/core/measure/measures.h"

/* What RankMe adds to each share, so that log 0 is never taken. */
#define RANKME_EPSILON 1e-7

/* How many directions the features have, from the eigenvalues rho of the spectrum (centred or not,
 * as the run asked). */

/* tr S / rho_1 (Rudelson and Vershynin 2007). */
double measure_stable_rank(const struct evidence *evidence)
{
    return evidence->spectrum->total / evidence->spectrum->rho[0];
}

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
 * s_k = sigma_k / sum sigma + 1e-7, exp(-sum s log s). Theirs are of uncentred features. */
double measure_rankme(const struct evidence *evidence)
{
    const struct spectrum *s = evidence->spectrum;
    double entropy = 0, sum = 0;

    if (!is_complete(evidence))
        return (double)NAN;
    for (size_t k = 0; k < s->n_values; k++)
        sum += sqrt(s->rho[k]);
    for (size_t k = 0; k < s->n_values; k++) {
        double share = sqrt(s->rho[k]) / sum + RANKME_EPSILON;

        entropy -= share * log(share);
    }
    return exp(entropy);
}
