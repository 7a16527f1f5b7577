/* What the features and the outputs have in common as two views of the same rows: whether one is a
 * linear function of the other, and how alike they are up to linear maps. Pure; reads the moments;
 * any thread, one at a time per moments.
 *
 * With S = X'X, B = X'Y, G = Y'Y, D = diag(S)^-1/2 (0 for a feature that does not vary), the best
 * linear head of the scaled features, with a ridge l that is the floor of DSD's eigenvalues
 * (floor.h):
 *
 *     R'R = DSD + l I                Z = R'^-1 D B                A = R^-1 Z
 *
 *     nonlinear  1 - R^2 = (tr G - |Z|^2) / tr G, the share of the outputs' variance that no linear
 *                head makes. Fitted to n rows it is too low by a share p/(n - 1): times
 *                (n - 1)/(n - 1 - p). Less what rounding of the formats explains,
 *
 *                    2 l |A|^2 + e_x^2/12 sum_j |A_j|^2 (1 + W m_j^2/S_jj)
 *                              + e_y^2/12 (tr G + W |k|^2), all over tr G
 *
 *                with e the distance from 1 to the next number of a format, whose rounding of a
 *                value v has a variance of at most (e v)^2/12; the first term is that of X'X
 *     cca_mean   mean of the canonical correlations, the singular values of S^-1/2 B G^-1/2, over
 *                min(p, r) of them: those of Z'V_r diag(l_r)^-1/2 with span.h's basis of the
 * outputs (SVCCA, Raghu et al. 2017, arXiv 1706.05806; Morcos et al. 2018, 1806.05759)
 *
 * Both need several rows a dimension: `nonlinear` n >= 2 p, cca_mean n >= 2 (p + r), of features
 * that vary. Tested by test_views.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/measure/spectrum.h"
#include "daemon/core/moments/moments.h"

/* Distance of the two views' means, |m / s_x - k / s_y| with s_x = sqrt(E|x|^2) and s_y =
 * sqrt(E|y|^2): of rows of length 1 the modality gap of Liang et al. 2022 (arXiv 2203.02053). NaN
 * unless there are as many outputs as features and they were sent. `t`: tr X'X, also of moments
 * by_rows. */
double views_gap(const struct moments *, double t);

/* Multiplications that a quarter of a second of one core takes; beyond it `at_any_cost`. */
#define VIEWS_CHEAP 4.3e9

struct views {
    double nonlinear, cca_mean; /* NaN: not defined, or not computed */
};

/* The outputs were sent; of outputs that do not vary `out` says nothing. Needs X'X. Returns 0,
 * -ENOMEM, or -EDOM when LAPACK fails. */
int views_measure(const struct moments *, struct precision, bool at_any_cost, struct views *out);
