/* D_LR and its de-biased form from the few sums that they need. The whole window and the window
 * without some of its rows (jackknife.h) use the same formula. Pure; any thread. measure.h makes
 * the sums. Tested by test_estimate.c.
 *
 * This room turns the moments of a window into what D_LR is read from. projector.h says which
 * directions of the outputs count and with which weight; span.h finds them as eigenvectors of Y'Y
 * and projects X'Y onto them, or, where there are fewer rows than features, kernel.h does the same
 * with the rows' n x n products. estimate.h has the formula, and jackknife.h its standard error,
 * from the same moments without one group of rows at a time. What is not defined is NaN; memory
 * that is missing is -ENOMEM, and an iteration that fails -EDOM. */
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

/* Rows of unequal weight count as this many equal rows: (sum w)^2 / sum w^2. Not finite where the
 * squares of a trainer's weights leave the range of double. */
double estimate_n_rows(const struct sums *);

/* For outputs of rank r > 0, with t and f above 0. */
struct estimate estimate_richness(const struct sums *, double r);

/* Against a projector that is not the space of all outputs, with the squared norm ||P||_F^2 (its
 * rank, unless it shrinks): q is tr(T P). There is no de-biased form: the correction is derived for
 * directions that do not depend on the rows, and principal directions do (measured: 0.20 in place
 * of 0.44 for 20 of 64 equal directions and 128 rows). Not finite where a ridge of a trainer's
 * choice shrinks the norm to 0. */
struct estimate estimate_projected(const struct sums *, double norm_sq);
