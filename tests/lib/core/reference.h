/* The measure as a mathematician would write it down: from plain rows, in long double (64-bit
 * fraction), every sum over all rows at once, with an orthonormal basis of the outputs. Shares no
 * code with daemon/core, so that both being wrong in the same way is unlikely. Slow; aborts when
 * memory is short; any thread. */
#pragma once

#include <stddef.h>

struct reference {
    double n; /* (sum w)^2 / sum w^2 */
    size_t rank;
    long double d_lr;
    long double d_debiased;
    long double u_debiased;
    long double pr_debiased;
    long double u;
    long double pr;
    long double fourth;  /* sum w |x - m|^4 */
    long double t, q, f; /* of rows scaled to n equal ones */
    long double scale;   /* n / W */
};

/* The de-biased values again, of rows that are seen: with `weighting` and `overfit` of kept.h. */
void reference_debias(struct reference *, long double weighting, long double overfit);

/* What single rows add, n each: the leverage w y'(Y'Y)^+ y, and w (x - m)' times the difference
 * between what the outputs predict of x with the row and without it, from means and products of the
 * others alone. Returns sum w^2 s^2 / (sum w s^2 sum w^2 / W). O(n^2 (p + c^2)). */
long double reference_rows(size_t n, size_t p, const double *x, size_t c, const double *y,
                           const double *w, double cutoff, double *leverage, double *overfit);

/* Weighted column means of the n x p rows; `w` NULL means all 1. */
void reference_means(size_t n, size_t p, const double *x, const double *w, long double *mean);

/* out (p x q, row-major) = sum w (x - m)(y - k)'. */
void reference_cross(size_t n, size_t p, const double *x, size_t q, const double *y,
                     const double *w, long double *out);

/* Everything, from n x p features and n x c outputs. Eigenvalues of Y'Y below `cutoff` times the
 * largest do not count. */
void reference_measure(size_t n, size_t p, const double *x, size_t c, const double *y,
                       const double *w, double cutoff, struct reference *out);

/* Against a part of the outputs (projector.h), read off the n x n kernel YY', which needs no
 * columns: its eigenvectors are the outputs' principal directions themselves. */
struct reference_part {
    enum { REFERENCE_SPAN, REFERENCE_TOP, REFERENCE_RIDGE } kind;
    size_t k;           /* TOP; 0: by energy */
    long double energy; /* TOP */
    long double lambda; /* RIDGE, in units of the largest eigenvalue */
};
struct reference_projection {
    long double trace; /* of the projector */
    long double d_lr;
    long double u;
    long double cka; /* of XX' and YY' */
};
void reference_project(size_t n, size_t p, const double *x, size_t c, const double *y,
                       const struct reference_part *part, struct reference_projection *out);
