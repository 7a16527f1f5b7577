/* Which functions of the outputs the features are compared with. Plain values, and the weights that
 * they give to the principal directions of the outputs; any thread. span.h finds the directions,
 * and the run chooses the kind.
 *
 *     Y'Y = V diag(l) V', l descending, E = sum l    P = sum_k s_k y_k y_k' / l_k,  y_k = Y v_k
 *
 *     span    s_k = 1 for all that vary              the space of all outputs
 *     top     s_k = 1 for the leading ones           k of them, or the fewest with a share of E
 *     ridge   s_k = l_k / (l_k + lambda l_1)         Y (Y'Y + lambda l_1 I)^-1 Y'
 *
 * Ridge is not a projector. Instead of a rank it has degrees of freedom tr P = sum s, and in the
 * norm
 * ||P||_F^2 = sum s^2: CKA(T, P) = tr(T P) / (||T||_F ||P||_F).
 *
 * A head of full rank with C >= p outputs spans every function of the features, and D_LR then
 * measures isotropy alone. So PROJECTOR_AUTO is the span while C < p, and the top otherwise.
 *
 * Tested by test_projector.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/policy.h"

/* 99 % of the outputs' energy; lambda is 1 % of the largest eigenvalue. */
#define PROJECTOR_ENERGY 0.99
#define PROJECTOR_LAMBDA 0.01

struct projector {
    enum projector_kind kind;
    double energy; /* TOP: the share of E, in (0, 1] */
    uint32_t k;    /* TOP: so many, whatever their share; 0: by energy */
    double lambda; /* RIDGE: above 0, in units of l_1 */
};

/* The policy for p features and C outputs. The result is never AUTO. */
struct projector projector_for(struct projector policy, size_t p, size_t c);

/* How many of the `rank` leading values of `l` (n, ascending, as LAPACK gives them) it keeps. */
size_t projector_count(const struct projector *, size_t n, const double *l, size_t rank);

/* The weight s of a direction with eigenvalue `l`. */
double projector_weight(const struct projector *, double l, double largest);
