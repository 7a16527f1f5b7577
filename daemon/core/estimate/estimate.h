/* D_LR, and the de-biased forms of it, of u and of PR, from the few sums that they need. The whole
 * window and the window without some of its rows (jackknife.h) use the same formula. Pure; any
 * thread. measure.h makes the sums. Tested by test_estimate.c.
 *
 * This room turns the moments of a window into what D_LR is read from. projector.h says which
 * directions of the outputs count and with which weight; span.h finds them as eigenvectors of Y'Y
 * and projects X'Y onto them, or, where there are fewer rows than features, kernel.h does the same
 * with the rows' n x n products. estimate.h has the formula, and jackknife.h its standard error,
 * from the same moments without one group of rows at a time. What is not defined is NaN; memory
 * that is missing is -ENOMEM, and an iteration that fails -EDOM. */
#pragma once

#include <math.h>

/* Sums over rows about their mean, with weights w_i. */
struct sums {
    double weight;    /* sum w */
    double weight_sq; /* sum w^2 */
    double t;         /* ||X||_F^2 */
    double q;         /* ||Q'X||_F^2 */
    double f;         /* ||X'X||_F^2 */
    double fourth;    /* sum w |x|^4 */
    double weighting; /* of kept.h: what makes sum w^2 |x|^4 of it; 1 when it is not known */
    double overfit;   /* of kept.h; NaN: not known, all rows count as equally long */
};

/* 1 - debiased = u sqrt(pr / r), as 1 - plain = u sqrt(PR / r) for the plain values. */
struct estimate {
    double plain;    /* D_LR, in [0, 1]; NaN when the sums contradict each other */
    double debiased; /* NaN unless u and pr are there */
    double u;        /* de-biased; NaN unless n > r + 1 */
    double pr;       /* de-biased; NaN unless n > 3 and tr S^2 comes out above 0 */
};

/* No estimate, or no error of one. */
#define ESTIMATE_NONE ((struct estimate){(double)NAN, (double)NAN, (double)NAN, (double)NAN})

/* Rows of unequal weight count as this many equal rows: (sum w)^2 / sum w^2. Not finite where the
 * squares of a trainer's weights leave the range of double. */
double estimate_n_rows(const struct sums *);

/* How unequal the rows' norms are: n sum s^2 / (sum s)^2 with s = |x - m|^2. 1 for equal norms, 1 +
 * 2/PR for Gaussian rows; n over it is the number of equal rows that the rows count as. */
double estimate_spread(const struct sums *);

/* A value that Cauchy and Schwarz keep in [0, 1], without the rounding that leads out of it; NaN
 * for one further out, which sums give that contradict each other. */
double estimate_share(double value);

/* The de-biased PR alone, for t above 0: the features' own. */
double estimate_pr(const struct sums *);

/* For outputs of rank r > 0, with t and f above 0. */
struct estimate estimate_richness(const struct sums *, double r);

/* Against a projector that is not the space of all outputs, with the squared norm ||P||_F^2 (its
 * rank, unless it shrinks): q is tr(T P). Of the de-biased forms there is PR alone: the others are
 * derived for directions that do not depend on the rows, and principal directions do (measured:
 * 0.20 in place of 0.44 for 20 of 64 equal directions and 128 rows). Not finite where a ridge of a
 * trainer's choice shrinks the norm to 0. */
struct estimate estimate_projected(const struct sums *, double norm_sq);
