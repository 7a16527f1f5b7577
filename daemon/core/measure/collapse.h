/* Neural collapse (Papyan, Han and Donoho 2020) of one window, from its moments and the classes'
 * sums. Pure; any thread, one at a time per moments. The caller knows that there are classes.
 *
 * Classes c = 1..C that occurred, pi_c their share of the rows, mu_c their means, m the mean of all
 * rows:
 *
 *     mu_c - m                                                  moments_class_mean
 *     mu  = sum_c mu_c / C                                      the mean of the class means
 *     S_B = sum_c (mu_c - mu)(mu_c - mu)' / C                   each class counts the same
 *     S_W = S - sum_c pi_c (mu_c - m)(mu_c - m)'                each row counts the same
 *
 *     nc1          tr(S_W S_B^+) / C, S_B^+ cut at rank C - 1
 *     nc1_quotient tr S_W / tr S_B
 *     nc2_norm_cv  standard deviation over mean of |mu_c - mu|
 *     nc2_angle    mean over pairs of |cos(mu_c - mu, mu_c' - mu) + 1/(C - 1)|
 *     etf_error    || G/||G||_F - (I - 11'/C)/sqrt(C - 1) ||_F, G the C x C products of mu_c - mu:
 *                  how far they are from a simplex (equiangular tight frame; Zhu et al. 2021). Null
 *                  where not all pairs are taken
 *     cdnv         mean over pairs of (V_c + V_c') / (2 |mu_c - mu_c'|^2), V_c = E |x - mu_c|^2
 * over the rows of c: class-distance-normalised variance (Galanti, Gyorgy and Hutter 2022, arXiv
 * 2112.15121)
 *
 *     lidar        effective rank of S_W^-1/2 S_B S_W^-1/2 (lidar.c). Null where nc1_quotient is
 *
 * S_W is a difference. Where classes have collapsed, it is the rounding of the moments: tr S_W
 * below the floor of tr S, and nc1 below that of tr S tr(S_B^+) / (r C), r the rank of S_B,, are
 * null (floor.h).
 *
 * All but nc1 cost p C operations and p C_0^2 for the pairs of at most C_0 classes: of more, an
 * even sample of so many stands for the pairs of all (COLLAPSE_PAIRED).
 *
 * Tested by test_collapse.c and test_spectrum.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/moments/moments.h"

/* nc1 costs p^2 C multiplications more than a point without it (p^2 (C + 10 p) with more classes
 * than features). Up to this many, a quarter of a second of one core (p = 4096 with 256 classes),
 * it is computed at every checkpoint. */
#define COLLAPSE_CHEAP 4.3e9
/* Of 2,048 independent directions in p = 4096 the mean over pairs is known to 1 %. Their products
 * are 32 MiB; wide layers take as many as COLLAPSE_CHEAP allows. */
#define COLLAPSE_PAIRED 2048

struct collapse {
    uint32_t n_classes;  /* C: that occurred; below 2 nothing is defined */
    uint32_t n_missing;  /* declared, but without a row: left out */
    uint64_t rows_min;   /* of the class that has the fewest; 0: no class occurred */
    bool is_below_floor; /* one of the next is NaN for this */
    double nc1, nc1_quotient, nc2_norm_cv, nc2_angle, etf_error, cdnv, lidar; /* NaN: not defined,
                                                                          or not computed */
};

/* The moments have classes that are not lost; `features` is the coarsest format of their rows.
 * Beyond COLLAPSE_CHEAP nc1 and lidar are computed only `at_any_cost`. Returns 0, -ENOMEM, or -EDOM
 * when LAPACK fails. */
int collapse_measure(const struct moments *, enum dtype features, bool at_any_cost,
                     struct collapse *out);
