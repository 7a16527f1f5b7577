/* The function space that some columns of Y span, from the moments: the outputs span the learned
 * functions, the targets the wanted ones. Owns its basis; any thread, one at a time. projector.h
 * decides which part of the space counts.
 *
 *     G = Y'Y over those columns = V diag(l) V'
 *     r = #{k : l_k > cutoff l_max + e^2/6 max_j W k_j^2}, and below the number of rows; of them
 *         as many as the projector keeps
 *     Q = Y V_r diag(s_r / l_r)^(1/2): the projector is QQ', and Q is orthonormal where s = 1
 *
 * The second term is the rounding of a mean. e is the distance from 1 to the next number of the
 * format that was sent. Values about k_j then have a squared error of (e k_j)^2/24 on average, and
 * the largest eigenvalue of such noise is at most four times that, while there are more rows than
 * columns. Without this term, outputs of rank 9 in half precision whose mean is ten times their
 * spread have rank 10.
 *
 * Outputs that a head makes were never rounded (moments.h): there `sent` is the format of its
 * weights, whose rounding the cut-off covers, and the second term is 0.
 *
 * The directions that count are well separated from those below the cut-off, so X'Q is as accurate
 * as X'Y. Tested by test_span.c. */
#pragma once

#include "daemon/core/estimate/projector.h"
#include "daemon/core/moments/moments.h"

struct span {
    size_t first; /* of the columns in Y */
    size_t n_columns;
    size_t rank;    /* r, columns of Q; 0: the columns do not vary */
    bool is_whole;  /* nothing that varies is left out or shrunk */
    double trace;   /* of the projector: its degrees of freedom, r unless it shrinks */
    double norm_sq; /* its squared Frobenius norm: r, unless it shrinks */
    double *basis;  /* n_columns x r: V_r diag(s_r / l_r)^(1/2) */
};

/* Eigenvalues of Y'Y below this share of the largest are rounding of the format that was sent:
 * 1e-10 for f64 and f32 (and labels, which are exact), 1e-6 for f16, 1e-5 for bf16. */
double span_cutoff(enum dtype);

/* The space of all the columns, and the part of it that a projector keeps. `sent` is the coarsest
 * format in which the columns came. Return 0, -ENOMEM, or -EDOM when LAPACK fails; release is
 * harmless then. */
int span_init(struct span *, const struct moments *, size_t first, size_t n_columns,
              enum dtype sent);
int span_init_projected(struct span *, const struct moments *, size_t first, size_t n_columns,
                        enum dtype sent, const struct projector *);
void span_release(struct span *);

/* out = rows from..from+n-1 of X'Q, n x r. */
void span_rows(const struct span *, const struct moments *, size_t from, size_t n, double *out);

/* ||X'Q||_F^2: the variation of the features inside the space. Returns 0 or -ENOMEM. */
int span_variation(const struct span *, const struct moments *, double *out);
