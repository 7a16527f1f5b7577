/* Standard errors of D_LR and of the de-biased forms (estimate.h) by a delete-a-group jackknife: it
 * computes them without one group of neighbouring rows, for up to 32 groups. Pure: reads the
 * moments and their reservoir; any thread, one at a time per moments. reservoir.h decides which
 * rows there are.
 *
 * The other rows are not read again. Z are the rows of a group about the mean m of all, scaled by
 * sqrt(w), W_g is their weight and z their weighted sum. Leaving them out subtracts from every
 * moment the square of one matrix of few rows,
 *
 *     A = [ Z ; z' / sqrt(W - W_g) ]                     X'X without = M - A'A,  M = xx
 *
 * (its last row is there because the mean moves). V is the same matrix for the outputs, in the
 * basis Q of their space; F = V Q'X, H = VV', N = AA':
 *
 *     t without = t - tr N
 *     f without = f - 2 tr(A M A') + ||N||_F^2
 *     q without = q - tr N + tr( (I - H)^-1 E ),  E = (F - A)(F - A)'
 *
 * In the last line t - q loses (I - H)^-1 E, as a sum of squared residuals does without some of its
 * rows (Cook and Weisberg 1982, A.2); by Woodbury's identity for (I - V'V)^-1 it is the same as
 * q - 2 tr(F A') + <H, N> + tr( (I - H)^-1 (F - H A)(F - H A)' ). The fourth moments need N and
 * A sum(w s x). A is B Z with B = ( I ; c' ), c = sqrt(w) / sqrt(W - W_g), so the matrices of Z
 * give those of A, and E comes of V and ZX'Q, which kept.h has already. M is symmetric: with M = U
 * + U', U upper triangular, a'Ma = 2 a'Ua. So every row that is left out costs one product with
 * half of M in single precision: p^2 / 2 multiplications, as many as its fold did. At most 512 rows
 * are left out. For n >> 512 rows all errors together therefore cost 512 / n of the update. Without
 * X'X, ZZ' and Za are a block and rows of XX' (kernel.h).
 *
 * The influence of a group is psi_g = (theta_without - theta)(W - W_g)/W_g. Its variance over
 * groups gives the variance of one row, and that gives the variance of theta. This holds also when
 * the groups are only a sample of the rows:
 *
 *     sigma^2 = sum_g (psi_g - mean)^2 W_g^2 / sum_g(w^2) / (G - 1),  var = sigma^2 sum w^2 / W^2
 *
 * For G equal groups of all rows this is the usual (G-1)/G sum (theta_g - mean)^2. It counts twice
 * what two rows do together (||X'X||^2 is made of pairs: with p about n the error comes out 30 %
 * too large). Efron and Stein (1981, section 5) correct that: they leave out pairs of groups as
 * well. 16 disjoint pairs of neighbours are enough:
 *
 *     Q = 2 psi_gh - psi_g - psi_h,     var = var - variance of Q / 2
 *
 * What a row does to t, q and f grows with s = |x|^2, so its variance follows the mean of s^2. That
 * is known of the window, and groups that are a sample may miss the few long rows that make it up.
 * So the variance is a ratio estimate (Cochran 1977, chapter 6):
 *
 *     var = var (sum w s^2 / sum w over the window) / (the same over the groups)
 *
 * which is var itself where the groups are all rows. With one row in 200 of 30 times the length, n
 * = 4096, +- 2 errors held the truth in .82 of the draws without it, and in .93 with it; with a t
 * distribution of 3 degrees of freedom in .78 and .96.
 *
 * Groups of unequal weight count by their weight (pair_variance in jackknife.c). At least half of
 * the first value remains. There are G - 1 = 31 degrees of freedom; for few rows, or a sample of
 * them, at least 15. */
#pragma once

#include "daemon/core/estimate/estimate.h"
#include "daemon/core/estimate/kept.h"
#include "daemon/core/estimate/kernel.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/moments/moments.h"

/* With fewer groups there is no error. */
#define JACKKNIFE_MIN_GROUPS 16
/* The jackknife leaves out at most this many rows of a group: its first ones. 512 rows in all give
 * the variance of a row to 6 %; 32 groups alone are uncertain by 25 %. */
#define JACKKNIFE_GROUP_ROWS 16

/* Rows that depend on each other over more than a few of their neighbours make the groups of a pair
 * alike, beyond chance in at most one window of 100 whose rows are independent
 * (jackknife_neighbours.c). Then `*dependent` is true and var is that of a series of groups each of
 * which has the correlation r with the next one, to first order (Andrews and Monahan 1992):
 *
 *     var (1 + r) / (1 - r),  r <= .8
 *
 * Too small still where pieces are longer (tokens of long sequences), too large where rows are only
 * sorted within batches, which this cannot tell apart. */

/* `kernel` is that of moments by_rows, else NULL. `kept` has the leverages and the overfit of
 * single rows (kept_overfit). `whole` holds the sums of the moments, `outputs` the span in which q
 * was measured. An error is NaN when there are fewer than 32 rows, when rows came reduced, and when
 * without one group the outputs lose rank or (de-biased) too few rows remain; `*dependent` is false
 * then. Returns 0 or -ENOMEM. */
int jackknife_measure(const struct moments *, struct kernel *kernel, const struct kept *kept,
                      const struct span *outputs, const struct sums *whole, struct estimate *errors,
                      bool *dependent);
