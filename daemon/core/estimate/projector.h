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
 * Outputs that span every function of the features leave d_lr nothing to measure but isotropy. So
 * PROJECTOR_AUTO is the top where they do, and the span otherwise. It is decided once a layer, in
 * its first window, from what is seen there:
 *
 *     u >= 1 - 1e-6 under the span     they hold the features; with half-precision outputs
 *                                      1 - 1e-4 (f16), 1 - 1e-3 (bf16), as rounding leaves some out
 *     r > p/2                          by their width. A narrow space that holds the features is
 * one that they have collapsed to, which is what d_lr is to see r >= n - 1                       n
 * rows cannot tell: then by C >= p
 *
 * p counts the features that vary. C >= p alone was the rule before: it took other columns that do
 * not vary for another rule, and head and middle layers of one network for different ones.
 *
 * Tested by test_projector.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/dtype.h"
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

/* What a window says: `p` features vary, r and u are of the span of C outputs, in that format. */
struct projector_signs {
    double n, p, c, r, u;
    enum dtype outputs;
};

/* Whether AUTO takes the top, in place of the span. */
bool projector_takes_top(const struct projector_signs *);

/* How many of the `rank` leading values of `l` (n, ascending, as LAPACK gives them) it keeps. */
size_t projector_count(const struct projector *, size_t n, const double *l, size_t rank);

/* The weight s of a direction with eigenvalue `l`. */
double projector_weight(const struct projector *, double l, double largest);
