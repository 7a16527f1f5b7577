#include "daemon/core/measure/flags.h"

#include <errno.h>
#include <math.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/floor.h"

/* Rows a direction of the features below which pr is off by more than a sixth: 1 / pr is 1 / PR + 1
 * / n. */
#define PR_ROWS 5
/* Norms that are so much more unequal than those of Gaussian rows, 1 + 2/PR, are a few long rows.
 * Measured: 1.0 to 1.2 in networks, 3 for an elliptical t with 5 degrees of freedom. */
#define OUTLIER_SPREAD 2
/* Long rows that count as no more equal ones than this leave no de-biased D or PR: they would be of
 * single rows. Measured with one row in 200 of 30 standard deviations, n = 256, 300 draws: above 4,
 * d_debiased strays by .046 and d_lr by .054, no more in any other population (bench_estimate.c);
 * above 3, by .091 and .077. */
#define OUTLIER_ROWS 4
/* Residual rows below which the de-biased estimate is mostly noise. */
#define SMALL_RESIDUAL 8
/* Share of the outputs' variance that no linear head makes, beyond rounding, from which on the head
 * is not linear. */
#define NONLINEAR_SHARE 0.01
/* What eigenvalues below the floor may add to RankMe without a word. */
#define MISSED_SHARE 0.01

/* Beyond this ratio of mean to spread a format holds too few digits of the spread. bf16 (8 bits)
 * and f16 (11) hold none or three. In f32 (24 bits) the last digit is an eighth of the spread, and
 * moves d_lr by 1e-3 at most, by .05 at 2^24 (test_richness.c); f64 (53 bits) is held to as many
 * digits. */
static double ratio_limit(enum dtype features)
{
    return features == DTYPE_F64 ? 0x1p49 : features == DTYPE_F32 ? 0x1p20 : 0x1p8;
}

uint32_t flags_of_precision(const struct evidence *evidence)
{
    const struct moments *m = evidence->moments;
    double limit = ratio_limit(evidence->precision.features);
    double mean_sq = linalg_sum_squares(m->p, m->mean_x) * m->weight;

    return mean_sq > limit * limit * evidence->sums.t ? FLAG_LOW_PRECISION : 0;
}

uint32_t flags_of_sample(const struct evidence *evidence, double r)
{
    double n = evidence->n, p = evidence->n_varying;
    uint32_t flags = 0;

    if (r >= p || r >= n - 1)
        flags |= FLAG_DEGENERATE;
    if (n < 4 * r || n - 1 - r < SMALL_RESIDUAL)
        flags |= FLAG_SMALL_SAMPLE;
    if (r > p / 2)
        flags |= FLAG_WIDE_OUTPUTS;
    return flags;
}

uint32_t flags_of_projector(const struct projector *projector)
{
    return projector->kind == PROJECTOR_TOP     ? FLAG_TOP_OUTPUTS
           : projector->kind == PROJECTOR_RIDGE ? FLAG_RIDGE
                                                : 0;
}

/* The estimate of the features' PR that there is. */
static double known_pr(const struct evidence *evidence)
{
    double pr = evidence->estimate.pr;

    return pr > 0 ? pr : evidence->sums.t * evidence->sums.t / evidence->sums.f;
}

uint32_t flags_of_bias(const struct evidence *evidence)
{
    const struct estimate *estimate = &evidence->estimate;
    double bias = fabs(estimate->plain - estimate->debiased);
    bool is_off = bias > 2 * evidence->errors.plain;

    return is_off || known_pr(evidence) > evidence->n / PR_ROWS ? FLAG_BIASED : 0;
}

uint32_t flags_of_head(const struct evidence *evidence)
{
    return evidence->views.nonlinear > NONLINEAR_SHARE ? FLAG_NONLINEAR_HEAD : 0;
}

uint32_t flags_of_outliers(const struct evidence *evidence)
{
    double limit = OUTLIER_SPREAD * (1 + 2 / known_pr(evidence));

    return estimate_spread(&evidence->sums) > limit ? FLAG_OUTLIERS : 0;
}

bool flags_too_few_long_rows(const struct evidence *evidence)
{
    return flags_of_outliers(evidence) != 0 &&
           evidence->n / estimate_spread(&evidence->sums) <= OUTLIER_ROWS;
}

/* Eigenvalues of features that do not vary are not missed. */
uint32_t flags_of_floor(const struct evidence *evidence)
{
    const struct spectrum *spectrum = evidence->spectrum;
    double trace = evidence->sums.t / evidence->sums.weight, sum = 0;
    double n = (double)(spectrum->n_values - spectrum_resolved(spectrum)) - evidence->units.dead;
    double floor = floor_eigenvalue(evidence->precision.features, spectrum->p, trace);

    for (size_t k = 0; k < spectrum->n_values; k++)
        sum += sqrt(spectrum->rho[k]);
    return n * sqrt(floor) > MISSED_SHARE * sum ? FLAG_BELOW_FLOOR : 0;
}

int flags_catch_not_converged(int rc, uint32_t *flags)
{
    if (rc != -EDOM)
        return rc;
    *flags |= FLAG_NOT_CONVERGED;
    return 0;
}
