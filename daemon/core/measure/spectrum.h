/* The feature decomposition of one window (arXiv 2410.04264, Eq. 5): how much variance each feature
 * direction has, and how much of it lies in the learned and in the wanted function space. One
 * thread makes it from the moments; then it is plain data, and its holder owns it. The run decides
 * when one is made, the store where it goes.
 *
 *     S = X'X/n = sum_k rho_k v_k v_k'       rho descending, in the features' units squared
 *     e_k(x) = (x - m)'v_k / sqrt(rho_k)     the eigenfunctions, of unit variance
 *     u_k = ||P_F e_k||^2                    utilisation: P_F projects onto the outputs
 *     q_k = ||P_* e_k||^2                    quality: P_* projects onto the targets
 *     PI_hat(k)  = sum_{i<=k} u_i / rank F
 *     PI_star(k) = sum_{i<=k} q_i / rank Y*
 *     1 - D_LR = sum_k rho_k u_k / (sqrt(rank F) sqrt(sum_k rho_k^2))
 *
 * P_F is the projector of the run (projector.h). When it shrinks, tr P_F stands for `rank F` in the
 * sums and ||P_F||_F^2 in the last line.
 *
 * Uncentred, X, F and Y* keep their means. The constant then has its own eigenvalue, e_k has unit
 * second moment, and the projectors contain that part of the constant which the outputs and targets
 * span. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/estimate/projector.h"
#include "daemon/core/moments/moments.h"
#include "proto/base/dtype.h"

/* Up to this p all eigenvalues are the default, beyond it the leading SPECTRUM_LEADING. At this p
 * they take 0.3 GB of work space and some 20 s of one core, which grows as p^3. */
#define SPECTRUM_ALL_MAX 4096
#define SPECTRUM_LEADING 512
/* No spectrum beyond this p: its matrix takes 0.5 GB, and a minute or more of one core. */
#define SPECTRUM_P_MAX 8192

/* The coarsest formats that entered the window. The cut-offs of the ranks and a flag depend on
 * them. */
struct precision {
    enum dtype features;
    enum dtype outputs;
    enum dtype targets;
};

struct spectrum_wish {
    bool wanted;
    bool uncentred;
    uint32_t leading; /* how many eigenvalues; 0: all, or as many as the limits above say */
};

struct spectrum {
    uint32_t p;
    uint32_t n_values;     /* eigenvalues below; fewer than p when the leading ones were asked for,
                              or when n <= p: n - 1 are not zero then */
    uint32_t rank;         /* of the outputs' projector; its trace, to the nearest, for a ridge */
    uint32_t rank_targets; /* 0: no targets, or constant ones */
    bool uncentred;
    bool few_rows; /* n <= p, rows of unequal weight counted as (sum w)^2 / sum w^2: there are
                      eigenvalues, but no eigenfunctions; no u, no q */
    double total;  /* tr S, the sum of all p eigenvalues */
    double *rho;   /* n_values, descending, never negative; 0 below the floor (floor.h) */
    double *u;     /* n_values; NaN where rho_k is rounding: there is no e_k. NULL: none */
    double *q;     /* the same; NULL without targets */
};

/* How many of the eigenvalues lie above the floor. */
size_t spectrum_resolved(const struct spectrum *);

/* Decomposes the moments; `outputs` says what P_F is. Returns 0 with the spectrum (free with
 * spectrum_free), or -ENOMEM, -EDOM (LAPACK failed, or nothing varies), -E2BIG (p is above
 * SPECTRUM_P_MAX), and *out NULL. */
int spectrum_new(const struct moments *, struct precision, const struct projector *outputs,
                 struct spectrum_wish, struct spectrum **out);
void spectrum_free(struct spectrum *);

/* A spectrum with room for n_values of rho, and of u and q when wanted. Returns it, or NULL. */
struct spectrum *spectrum_alloc(uint32_t n_values, bool with_u, bool with_q);

/* out[k] = sum_{i<=k} share_i / rank for k < n; an undefined share adds nothing. */
void spectrum_cumulate(size_t n, const double *share, uint32_t rank, double *out);
