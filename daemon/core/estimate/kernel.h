/* The n x n form of a window: K = XX' from the rows in the reservoir, for windows with fewer rows
 * than features, where X'X (p x p) is never made. Owns the matrix; reads the moments and their
 * rows, which must all be there (moments.h: by_rows); any thread, one at a time. Its users are
 * measure.h and jackknife.h.
 *
 *     X = sqrt(w) (x - m), n x p       tr(XX') = tr(X'X)      ||XX'||_F = ||X'X||_F
 */
#pragma once

#include "daemon/core/moments/moments.h"

struct kernel {
    size_t n;
    double *root;  /* n: sqrt(w) */
    double *k;     /* n x n, upper triangle */
    double *slice; /* TILE_ORDER x n: some columns of X, as rows */
};

/* Returns 0 or -ENOMEM; release is harmless then. */
int kernel_init(struct kernel *, const struct moments *);
void kernel_release(struct kernel *);

/* slice (n_cols x n) = columns first..first+n_cols-1 of X, transposed; n_cols <= TILE_ORDER. */
void kernel_slice(struct kernel *, const struct moments *, size_t first, size_t n_cols);

double kernel_trace(const struct kernel *);
double kernel_sum_squares(const struct kernel *);
/* sum w |x - m|^4. */
double kernel_fourth(const struct kernel *);
/* out (n) = sqrt(w) |x - m|^2: X' times it is sum w |x - m|^2 (x - m). */
void kernel_rooted_squares(const struct kernel *, double *out);
