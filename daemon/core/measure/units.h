/* The single features of a window: which of them carry nothing, and how long a row is. Pure; reads
 * the moments and, where X'X is not made, the rows; any thread, one at a time per moments.
 * measure.h decides when, FEED.md says what to make of it. Tested by test_units.c.
 *
 * With m_i the mean of feature i, S = X'X/n and v the mean of the S_ii:
 *
 *     dead      features with S_ii <= 1e-12 v: they do not vary
 *     dormant   features with m_i <= mean(m) / 10. The score of Sokar et al. (2023, 2302.12902) is
 *               E|x_i| over its mean; for features that are never negative E|x_i| = m_i
 *     cloned    features with a partner: |S_ij| > .999 sqrt(S_ii S_jj). Dead ones have none
 *     norm      sqrt(E|x|^2) = sqrt(tr S + |m|^2)
 */
#pragma once

#include "daemon/core/estimate/kernel.h"
#include "daemon/core/moments/moments.h"

/* With fewer rows, two features of a wide layer are alike by chance: of p^2/2 pairs of 8192
 * independent ones, about p^2/2 .002^((n-2)/2) = 4e-12 are. */
#define UNITS_CLONE_ROWS 16
/* Where X'X is not made, clones cost n p^2 / 2 multiplications: up to this many, some 60 ms. */
#define UNITS_CLONE_CHEAP 1e9

struct units {
    double dead;
    double dormant; /* NaN: a kept row has a negative feature, or no row was kept */
    double cloned;  /* NaN: few rows, or it would cost too much */
    double norm;
};

/* `kernel`: of moments by_rows, else NULL. The features vary. Returns 0 or -ENOMEM. */
int units_count(const struct moments *, struct kernel *kernel, struct units *out);

/* How many features are not dead. Needs X'X. Returns 0 or -ENOMEM. */
int units_count_varying(const struct moments *, double *out);
