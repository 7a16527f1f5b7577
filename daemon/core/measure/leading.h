/* The largest eigenvalue of X'X at every checkpoint, where a spectrum is not wanted, or that of XX'
 * where X'X is not made (they have the same non-zero eigenvalues). A small matrix is decomposed; of
 * a large one Lanczos' method needs a few products. Pure; any thread, one at a time per moments.
 * Tested by test_units.c.
 *
 * After k steps the tridiagonal T_k has the largest eigenvalue t with the unit vector s, and some
 * eigenvalue of X'X lies within |b_k s_k| of t (Parlett 1980, ch. 13), b_k the next element beside
 * the diagonal. In practice the distance is about its square. It is not orthogonalised again: what
 * is lost shows as copies of eigenvalues, and never as larger ones.
 *
 * Measured (p = 1024): spectra that fall like k^-1/4 or faster need 4 to 12 steps, white noise 32,
 * and there the error is 1e-5. */
#pragma once

#include "daemon/core/estimate/kernel.h"
#include "daemon/core/moments/moments.h"

/* Up to this order all eigenvalues cost some 4 ms. */
#define LEADING_SMALL 256
/* It ends when |b_k s_k| is below this share of t, or after so many steps. */
#define LEADING_TOLERANCE 1e-3
#define LEADING_STEPS     32

/* `kernel`: of moments by_rows, else NULL. The features vary. Returns 0, -ENOMEM, or -EDOM when
 * LAPACK fails. */
int leading_eigenvalue(const struct moments *, const struct kernel *, double *out);
