/* What the rows should be: targets that are values, or classes that stand for one-hot columns, seen
 * in one way; and what they and the features have in common. Pure; reads the moments; any thread,
 * one at a time per moments. readout.h fits the targets, which costs more.
 *
 *     T  the targets about their means     X't  one column of X'T, W pi_c (mu_c - m) for a class
 *     TT = T'T; one-hot: W (diag(pi) - pi pi')
 *
 *     d_target          1 - ||Q_*'X||_F^2 / (sqrt(r) ||X'X||_F): D_LR with the r functions Q_* that
 *                       the targets span in the place of the outputs. Of classes, which are
 *                       orthogonal, q = sum_c W pi_c |mu_c - m|^2 and r = C - 1
 *     target_alignment  ||X'T||_F^2 / (||X'X||_F ||TT||_F), centred kernel-target alignment
 *                       (Cortes, Mohri and Rostamizadeh 2012)
 *     head_error        sum w |y - t|^2 / W, of as many outputs as targets
 *                       = [tr Y'Y - 2 tr Y'T + tr TT] / W + |k - mean t|^2
 *
 * Tested by test_readout.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/moments/moments.h"

/* The span of targets that are values costs p K^2 + 10 K^3 multiplications. Up to this many it is
 * taken at every checkpoint (COLLAPSE_CHEAP: a quarter of a second). */
#define TARGETS_CHEAP 4.3e9
/* Nor is it taken beyond so many when a spectrum is wanted, which is what the largest spectrum
 * costs (6 p^3 at p = 8192): d_target of 6,900 values or more is null. */
#define TARGETS_MOST 3.3e12

struct target_measures {
    double energy; /* tr TT / W: the mean squared error of the targets' mean */
    double d_target, target_alignment, head_error; /* NaN: not defined, or not computed */
};

/* Whether the rows have targets that can be read. */
bool targets_exist(const struct moments *);

/* How many columns: values, or classes that occurred. */
size_t targets_count(const struct moments *);
/* out (n x p, n at most TARGETS_CHUNK) = columns from..from+n-1 of X'T, each as a row. */
#define TARGETS_CHUNK ((size_t)256)
void targets_cross(const struct moments *, size_t from, size_t n, double *out);
double targets_mean(const struct moments *, size_t column);
/* The value in the reservoir's row at `place`. */
double targets_kept(const struct moments *, size_t place, size_t column);

/* `features`: ||X'X||_F^2; `sent`: the coarsest format of targets that are values. With a head the
 * outputs are not those that the targets are about. Returns 0, -ENOMEM, or -EDOM when LAPACK fails.
 */
int targets_measure(const struct moments *, enum dtype sent, double features, bool from_head,
                    bool at_any_cost, struct target_measures *out);
