/* D_LR and its de-biased form from the few sums that they need, so that the whole window and the
 * window without some of its rows (jackknife.h) go through the same formula. Pure; any thread.
 * Where the sums come from is measure.h's business. */
#pragma once

/* Sums over rows about their mean, with weights w_i. */
struct sums {
    double weight;    /* sum w */
    double weight_sq; /* sum w^2 */
    double t;         /* ||X||_F^2 */
    double q;         /* ||Q'X||_F^2 */
    double f;         /* ||X'X||_F^2 */
    double fourth;    /* sum w |x|^4 */
};

struct estimate {
    double plain;    /* D_LR */
    double debiased; /* NaN unless n > 3, n > r + 1 and Z > 0 */
};

/* Rows of unequal weight count as so many equal ones: (sum w)^2 / sum w^2. */
double estimate_n_rows(const struct sums *);

/* For outputs of rank r, with t and f above 0. */
struct estimate estimate_richness(const struct sums *, double r);

/* Against a projector that is not the space of all outputs, of squared norm ||P||_F^2 (its rank,
 * unless it shrinks): q is tr(T P). The correction is derived for directions that do not depend on
 * the rows; principal ones do (measured: 0.20 in place of 0.44 for 20 of 64 equal directions and
 * 128 rows), so there is none. */
struct estimate estimate_projected(const struct sums *, double norm_sq);
