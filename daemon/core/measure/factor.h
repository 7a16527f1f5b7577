/* The Cholesky factor of X'X with a ridge, from which readout.h and views.h take their least
 * squares. Pure; reads the moments; any thread, one at a time per moments. Tested by
 * test_readout.c and test_views.c. */
#pragma once

#include "daemon/core/moments/moments.h"

/* matrix (p x p, upper triangle) = D X'X D; `scale` holds the diagonal of D, NULL: 1. Needs X'X. */
void factor_read(const struct moments *, const double *scale, double *matrix);

/* factor (p x p, upper triangle) = R with R'R = D X'X D + ridge I. Returns 0, or -EDOM when that is
 * not positive definite. */
int factor_features(const struct moments *, const double *scale, double ridge, double *factor);

/* Multiplications of one factor and its solutions for so many right sides. */
double factor_cost(size_t p, size_t n_sides);
