/* Neural collapse (Papyan, Han and Donoho 2020) of one window, from its moments alone: the labels
 * stand there as one-hot columns, whose products with the features are the class sums. Pure; any
 * thread, one at a time per moments. Which columns are labels is the caller's to say.
 *
 * Classes c = 1..C that occurred, pi_c their share of the rows, mu_c their means, m the mean of all
 * rows:
 *
 *     mu_c - m = sum w (x - m)(t_c - mean t_c) / (W pi_c)       a column of xy
 *     mu  = sum_c mu_c / C                                      the mean of the class means
 *     S_B = sum_c (mu_c - mu)(mu_c - mu)' / C                   each class counts alike
 *     S_W = S - sum_c pi_c (mu_c - m)(mu_c - m)'                each row counts alike
 *
 *     nc1          tr(S_W S_B^+) / C, S_B^+ cut at rank C - 1
 *     nc1_quotient tr S_W / tr S_B
 *     nc2_norm_cv  standard deviation over mean of |mu_c - mu|
 *     nc2_angle    mean over pairs of |cos(mu_c - mu, mu_c' - mu) + 1/(C - 1)|
 *
 * S_W is a difference: where classes have collapsed, nc1 is rounding of the moments, about 1e-8 for
 * f32 rows and 1e-15 for f64 times tr(S S_B^+)/C; what comes out below 0 is given as 0. */
#pragma once

#include <stdbool.h>

#include "daemon/core/moments/moments.h"

/* nc1 costs p^2 C multiplications beyond what every point costs; up to here, a quarter of a second
 * of one core (p = 4096 with 256 classes), it is computed at every checkpoint. */
#define COLLAPSE_CHEAP 4.3e9

struct collapse {
    uint32_t n_classes; /* C: that occurred; below 2 nothing is defined */
    uint32_t n_missing; /* declared and left out, for want of a row */
    double nc1, nc1_quotient, nc2_norm_cv, nc2_angle; /* NaN: not defined, or not computed */
};

/* With the moments' targets one-hot labels. nc1 beyond COLLAPSE_CHEAP only `at_any_cost`. Returns
 * 0, -ENOMEM, or -EDOM when LAPACK fails. */
int collapse_measure(const struct moments *, bool at_any_cost, struct collapse *out);
