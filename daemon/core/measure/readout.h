/* The best linear readout of the targets from the features, found and not trained: how much of the
 * task the features hold, and how far the head is from it. Pure; reads the moments and their kept
 * rows; any thread, one at a time per moments. targets.h says what the targets are.
 *
 *     A = (X'X + l I)^-1 X'T = (R'R)^-1 X'T, R upper triangular       v_i = R'^-1 (x_i - m)
 *     y^_i = mean t + A'(x_i - m)            h_i = w_i (1 / W + |v_i|^2)
 *
 *     probe_r2         tr(X'T' (X'X)^-1 X'T) / tr TT, of the rows that it is fitted to: by chance
 *                      p / n. l is a floor below which the features' directions are rounding
 *     probe_loo_error  sum w |t_i - y^_i|^2 / (1 - h_i)^2 / sum w, over tr TT / W
 *     probe_accuracy   share of rows whose own class has the largest y^
 *     head_excess      head_error less that of the best readout, (1 - probe_r2) tr TT / W
 *     nc3              || B / ||B|| - M / ||M|| ||_F, with B = (X'X)^-1 X'Y the head's weights on
 * the range of the features and M the class means about their mean (Papyan et al. 2020, NC3:
 * self-duality). Below 1e-7 it is rounding
 *
 * The second and third are of rows that the fit has not seen: leaving row i out of a ridge
 * regression divides its residual by 1 - h_i (Golub, Heath and Wahba 1979; exact, the means
 * included), and y^_i without it is (y^_i - h_i t_i) / (1 - h_i). They are taken over the rows in
 * the reservoir, at most READOUT_ROWS, with the l of READOUT_RIDGES that has the smallest error; so
 * they hold for fewer rows than features, too. The others are null there.
 *
 * Tested by test_readout.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/measure/targets.h"

/* Multiplications that a quarter of a second of one core takes; beyond it `at_any_cost`. */
#define READOUT_CHEAP 4.3e9
/* Half of what a reservoir holds at most: an accuracy is known to 2 %. */
#define READOUT_ROWS 512
/* In units of the mean eigenvalue, beside the floor where there are more rows than features. */
#define READOUT_RIDGES                                                                             \
    {                                                                                              \
        0.01, 0.3, 10                                                                              \
    }

struct readout {
    double r2, loo_error, accuracy, head_excess, nc3; /* NaN: not defined, or not computed */
};

/* `n` is the effective number of rows. Needs X'X. Returns 0 or -ENOMEM. */
int readout_measure(const struct moments *, const struct target_measures *, enum dtype features,
                    double n, bool from_head, bool at_any_cost, struct readout *out);
