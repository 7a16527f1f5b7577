/* The decomposition, neural collapse and the ranks as a mathematician would write them down, from
 * plain rows in long double, as in reference.h: no moments, no blocks, no code of daemon/core.
 * Slow; aborts when memory is short; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows with outputs, and targets that are one-hot rows when `labels` are given. */
struct reference_rows {
    size_t n, p, c, k;
    const double *x;       /* n x p */
    const double *y;       /* n x c */
    const double *targets; /* n x k, or NULL */
    const int32_t *labels; /* n in 0..k-1, or NULL */
    const double *weights; /* n, or NULL: all 1 */
};

/* rho, u and q have room for p values; the projections are taken row by row, with orthonormal bases
 * of the outputs and targets found by Gram and Schmidt, and e_k evaluated at each row. */
void reference_spectrum(const struct reference_rows *, bool uncentred, long double *rho,
                        long double *u, long double *q, size_t *rank, size_t *rank_targets);

struct reference_collapse {
    long double nc1, nc1_quotient, nc2_norm_cv, nc2_angle;
};

/* By two passes over the rows: the classes' means, then what is left of the rows. S_B^+ is taken
 * from the eigenvalues of the p x p matrix S_B itself. */
void reference_collapse(const struct reference_rows *, struct reference_collapse *out);

/* Linear CKA from the n x n Gram matrices of the centred rows. */
long double reference_cka(const struct reference_rows *);

/* Mean of the singular values of Q_x'Q_y, with orthonormal bases of the centred features and
 * outputs, over as many as the smaller space has dimensions. */
long double reference_cca_mean(const struct reference_rows *);
/* |E x / sqrt(E|x|^2) - E y / sqrt(E|y|^2)|, of as many outputs as features. */
long double reference_modality_gap(const struct reference_rows *);
/* LiDAR, from S_W and S_B as in reference_collapse. */
long double reference_lidar(const struct reference_rows *);
