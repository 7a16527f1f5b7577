/* Standard errors of D_LR and its de-biased form by a delete-a-group jackknife: what they would be
 * without one group of neighbouring rows, for up to 32 groups. Pure: reads the moments and the rows
 * kept beside them; any thread, one at a time per moments. Which rows are kept is reservoir.h's
 * business.
 *
 * Nothing is computed from rows anew. With Z the rows of a group about the mean m of all, scaled by
 * sqrt(w), W_g their weight and z their weighted sum, leaving them out takes from every moment the
 * square of one matrix of few rows,
 *
 *     A = [ Z ; z' / sqrt(W - W_g) ]                     X'X without = M - A'A,  M = xx
 *
 * (the last row is what moving the mean costs), and V = the same for the outputs in the basis Q of
 * their space, F = V Q'X, H = VV', N = AA':
 *
 *     t without = t - tr N
 *     f without = f - 2 tr(A M A') + ||N||_F^2
 *     q without = q - 2 tr(F A') + <H, N> + tr( (I - H)^-1 (F - H A)(F - H A)' )
 *
 * the last by Woodbury's identity for (I - V'V)^-1; the fourth moments need N and A sum(w s x). So
 * every row that is left out costs one product with M in single precision: p^2 multiplications, as
 * many as it cost to fold it. At most 512 rows are, so that for n >> 512 rows all error bars
 * together cost 512 / n of the update.
 *
 * Influence of a group: psi_g = (theta_without - theta)(W - W_g)/W_g. Its variance over groups
 * gives that of one row, hence that of theta, also when the groups are only a sample of the rows:
 *
 *     sigma^2 = sum_g (psi_g - mean)^2 W_g^2 / sum_g(w^2) / (G - 1),  var = sigma^2 sum w^2 / W^2
 *
 * which for G equal groups of all rows is the usual (G-1)/G sum (theta_g - mean)^2. It counts what
 * two rows do together twice (||X'X||^2 is made of pairs: with p about n the error comes out 30 %
 * too large). Efron and Stein (1981, section 5) take it back by leaving out pairs of groups, too;
 * 16 disjoint pairs of neighbours tell enough:
 *
 *     Q = 2 psi_gh - psi_g - psi_h,     var = var - variance of Q / 2
 *
 * in which groups of unequal weight count by it (pair_variance in jackknife.c). At least half of
 * the first value remains. There are G - 1 = 31 degrees of freedom, or 15 and more for few rows or
 * a sample. */
#pragma once

#include "daemon/core/measure/estimate.h"
#include "daemon/core/measure/kernel.h"
#include "daemon/core/measure/span.h"
#include "daemon/core/moments/moments.h"

/* Fewer groups tell nothing. */
#define JACKKNIFE_MIN_GROUPS 16
/* Of a larger group only the first rows are left out: 512 in all give the variance of a row to 6 %,
 * where 32 groups leave 25 % open. */
#define JACKKNIFE_GROUP_ROWS 16

/* `kernel` is that of moments by_rows, else NULL; `whole` holds the sums of the moments, `outputs`
 * the span that q was measured in. Errors that cannot be told are NaN: fewer than 32 rows, rows
 * that came reduced, a group without which the outputs lose rank or (de-biased) too few rows
 * remain. Returns 0 or -ENOMEM. */
int jackknife_measure(const struct moments *, struct kernel *kernel, const struct span *outputs,
                      const struct sums *whole, struct estimate *errors);
