/* The function space that some columns of Y span, read off the moments: the outputs' for the
 * learned functions, the targets' for the wanted ones. Owns its basis; any thread, one at a time.
 * Which part of it counts is projector.h's business, what is measured against it its users'.
 *
 *     G = Y'Y over those columns = V diag(l) V'
 *     r = #{k : l_k > cutoff l_max + e^2/6 max_j W k_j^2}, and below the number of rows; of them
 *         as many as the projector keeps
 *     Q = Y V_r diag(s_r / l_r)^(1/2): the projector is QQ', and Q is orthonormal where s = 1
 *
 * The second term is the rounding of a mean: values about k_j that were sent with a distance e
 * between 1 and the next number are off by (e k_j)^2/24 on average, and the largest eigenvalue of
 * such noise is at most four times that, while there are more rows than columns. Without it,
 * outputs of rank 9 in half precision, ten times as far from 0 as they vary, have rank 10.
 *
 * The directions that are kept are well separated from those that are cut (rounding of the format
 * that was sent), so X'Q is as accurate as X'Y. */
#pragma once

#include "daemon/core/measure/projector.h"
#include "daemon/core/moments/moments.h"

struct span {
    size_t first; /* of the columns in Y */
    size_t n_columns;
    size_t rank;    /* r, columns of Q; 0: the columns do not vary */
    bool is_whole;  /* nothing that varies is left out or shrunk */
    double trace;   /* of the projector, its degrees of freedom: r, unless it shrinks */
    double norm_sq; /* its squared Frobenius norm: r, unless it shrinks */
    double *basis;  /* n_columns x r: V_r diag(s_r / l_r)^(1/2) */
};

/* Eigenvalues of Y'Y below this share of the largest are rounding of the format that was sent:
 * 1e-10 for f64 and f32 (and labels, which are exact), 1e-6 for f16, 1e-5 for bf16. */
double span_cutoff(enum dtype);

/* `sent` is the coarsest format the columns came in. All that they span, and what a projector keeps
 * of it. Return 0, -ENOMEM, or -EDOM when LAPACK fails; release is harmless then. */
int span_init(struct span *, const struct moments *, size_t first, size_t n_columns,
              enum dtype sent);
int span_init_projected(struct span *, const struct moments *, size_t first, size_t n_columns,
                        enum dtype sent, const struct projector *);
void span_release(struct span *);

/* out = rows from..from+n-1 of X'Q, n x r. */
void span_rows(const struct span *, const struct moments *, size_t from, size_t n, double *out);

/* ||X'Q||_F^2: the variation of the features inside the space. Returns 0 or -ENOMEM. */
int span_variation(const struct span *, const struct moments *, double *out);
