/* Sums that need single rows: how much of what the outputs explain each row explains of itself, and
 * squares of weights. Owns two numbers a row; reads the moments and their reservoir (reservoir.h),
 * no thread of its own. measure.h asks, estimate.h and cka.c use the sums. Tested by test_kept.c.
 *
 * While a window keeps all of its rows every sum is exact. Later it is made of the longest rows,
 * which count for themselves, and of a sample of the others, which stand for the rest in proportion
 * to sum w^2 (for equal weights: to their number). How far a sample is off: test_kept.c for
 * d_debiased, test_cka.c for the products with v.
 *
 * Symbols as in moments.h and span.h, x_i and y_i about their means, s_i = |x_i|^2, v_i = |y_i|^2:
 *
 *     h_i = w_i |Q_i|^2 + w_i / W      leverage: the row's share of its own fitted value
 *     e_i = x_i - (what the outputs explain of it)
 *
 * e_i / (1 - h_i) is what is left of x_i when the outputs' map is fitted without row i (Allen
 * 1974). So sum w x_i'e_i / (1 - h_i) has the expectation of the unexplained variance, whatever the
 * variance of each row is (Kline, Saggio and Solvsten 2020), and exceeds t - q by the
 *
 *     overfit = sum_i w_i x_i'e_i h_i / (1 - h_i)
 *
 * Equal leverages give (t - q)(r + 1)/(n - 1 - r), the textbook's degrees of freedom. */
#pragma once

#include "daemon/core/estimate/span.h"
#include "daemon/core/moments/moments.h"

struct kept {
    size_t n;         /* rows; 0: the window has rows that were never here, or none */
    size_t n_longest; /* the first ones */
    double scale;     /* what a row behind them counts for */
    size_t *place;    /* n: in the reservoir */
    double *weight;   /* n: as the moments count it now */
    size_t *number;   /* by place: which of the n the row is; a place without a row holds 0 */
    double *leverage; /* by place: w |Q_i|^2, 0 where no row is */
    double *overfit;  /* by place: the row's own part */
    /* For outputs of rank r, after kept_overfit; NULL before, and where no rows are kept. */
    double *inside; /* n x r: sqrt(w) Q_i */
    double *along;  /* n x r: sqrt(w) x_i'X'Q */
    double *gram;   /* r x r: (X'Q)'X'Q, upper triangle */
};

/* About the final means; w^2 throughout, since a row enters a product with itself squared. NaN
 * where no rows are kept. */
struct kept_sums {
    double weighting; /* sum w^2 s^2 / (sum w s^2 sum w^2 / W): 1 for equal weights */
    double cross;     /* sum w^2 s v */
    double outputs;   /* sum w^2 v^2 */
};

/* Returns 0 or -ENOMEM; release is harmless then. */
int kept_init(struct kept *, const struct moments *);
void kept_release(struct kept *);

/* `trace` and `fourth` are the window's sum w s and sum w s^2, by which the sample's are known to
 * be off. */
struct kept_sums kept_sum(const struct kept *, const struct moments *, double trace, double fourth);
/* Fills `leverage` and the parts, and gives their sum; NaN where no rows are kept. Once for a
 * `kept`. Features that came in f64 are multiplied in double precision; for others, whose X'Q is
 * right to single, single is enough. `trace`: tr X'X. Returns 0 or -ENOMEM. */
int kept_overfit(struct kept *, const struct moments *, const struct span *outputs,
                 enum dtype features, double trace, double *sum);
