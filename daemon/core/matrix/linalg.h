/* The only door to BLAS and LAPACK. Matrices are row-major with a leading dimension (elements from
 * one row to the next); symmetric ones keep their upper triangle. No state of ours; any thread may
 * call, each call runs on the caller's thread alone.
 *
 * This room holds numbers and knows no rows, layers or runs. convert.h reads what a trainer sent as
 * double. tiles.h keeps the upper triangle of a large symmetric matrix in squares that fit in a
 * cache. All products and factorisations go through this file: a shape that is wrong is our own
 * mistake; what the numbers can do wrong (not finite, not definite, no convergence) and missing
 * memory come back as -EDOM and -ENOMEM. coretype.h and processor.h decide, before the first call,
 * which of OpenBLAS's kernels this processor should run. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* One OpenBLAS thread a caller, and nothing else: richd does its own parallelism. Call once, before
 * any other thread exists. */
void linalg_init(void);
/* What OpenBLAS 0.3.21 maps for each thread that computes beside others, at its first product; on
 * x86-64, and less elsewhere. Where it gets none it tries for ever. It keeps what it has, for any
 * thread: as many as were taken at once are there from then on. The second gives it back. Any
 * thread. NULL: this library has none. */
#define LINALG_BUFFER_BYTES (128u << 20)
void *linalg_take_buffer(void);
void linalg_give_buffer(void *);

/* The OpenBLAS build in use, for the log. */
const char *linalg_description(void);

/* The kernels that it chose ("Haswell"), and whether it was built with those of a core type (in
 * capitals); false where that is not known. */
const char *linalg_kernels(void);
bool linalg_has_kernels(const char *type);

/* C = A'B over `n` rows; A is n x p, B is n x q, C is p x q, all single. */
void linalg_cross_f32(size_t n, size_t p, size_t q, const float *a, size_t lda, const float *b,
                      size_t ldb, float *c, size_t ldc);
/* Upper triangle of C = A'A; A is n x p. */
void linalg_gram_f32(size_t n, size_t p, const float *a, size_t lda, float *c, size_t ldc);

/* C = beta C + A B; A is m x k, B is k x n, all single. */
void linalg_product_f32(size_t m, size_t k, size_t n, const float *a, size_t lda, const float *b,
                        size_t ldb, float beta, float *c, size_t ldc);

/* C = beta C + A'B, double; nothing where q is 0. */
void linalg_cross_f64(size_t n, size_t p, size_t q, const double *a, size_t lda, const double *b,
                      size_t ldb, double beta, double *c, size_t ldc);
/* Upper triangle of C = beta C + A'A, double; nothing where p is 0. */
void linalg_gram_f64(size_t n, size_t p, const double *a, size_t lda, double beta, double *c,
                     size_t ldc);
/* C = A B; A is m x k, B is k x n. */
void linalg_product_f64(size_t m, size_t k, size_t n, const double *a, size_t lda, const double *b,
                        size_t ldb, double *c, size_t ldc);

/* C = A B'; A is m x k, B is n x k. */
void linalg_product_transposed_f64(size_t m, size_t k, size_t n, const double *a, size_t lda,
                                   const double *b, size_t ldb, double *c, size_t ldc);
/* C += A B; A is m x k, B is k x n. */
void linalg_add_product_f64(size_t m, size_t k, size_t n, const double *a, size_t lda,
                            const double *b, size_t ldb, double *c, size_t ldc);
/* C += A B for a symmetric A of order m, of which the upper triangle is read; B is m x n. */
void linalg_add_symmetric_product_f64(size_t m, size_t n, const double *a, size_t lda,
                                      const double *b, size_t ldb, double *c, size_t ldc);

/* y += A x; A is m x n, or with `transposed` y += A' x. */
void linalg_matvec_f64(bool transposed, size_t m, size_t n, const double *a, size_t lda,
                       const double *x, double *y);
/* y += A x for a symmetric A of order n, of which the upper triangle is read. */
void linalg_symmetric_matvec_f64(size_t n, const double *a, size_t lda, const double *x, double *y);

double linalg_dot(size_t n, const double *x, const double *y);
double linalg_sum_squares(size_t n, const double *x);
/* The same with elements `dx` and `dy` apart: columns of row-major matrices. */
double linalg_dot_strided(size_t n, const double *x, size_t dx, const double *y, size_t dy);

/* Eigenvalues `w` (ascending) and eigenvectors of the symmetric n x n matrix `a` (upper triangle
 * read, lda = n). On return row i of `a` is the i-th eigenvector. Returns 0, -ENOMEM, or -EDOM when
 * the iteration did not converge or a value is not finite. */
int linalg_eigh(size_t n, double *a, double *w);

/* A symmetric matrix A = Q T Q' in tridiagonal form T, from which all eigenvalues cost nearly
 * nothing and each vector 2 n^2. */
struct linalg_tridiagonal {
    size_t n;
    double *reflectors; /* the matrix, borrowed */
    double *parts;      /* diagonal, next to it, scales of the reflectors: n each */
};

/* Overwrites `a` (n >= 1, upper triangle read), which stays lent until release, and fills the n
 * eigenvalues `w`, ascending, unless it is NULL. Returns as linalg_eigh; release is harmless then.
 */
int linalg_tridiagonal_init(struct linalg_tridiagonal *, size_t n, double *a, double *w);
/* Vectors of the k largest, 1 <= k <= n, as rows of `v` (k x n) in ascending order. */
int linalg_tridiagonal_leading(const struct linalg_tridiagonal *, size_t k, double *v);
/* The k largest eigenvalues `w`, and their vectors z of T itself, as rows of `z` (k x n), both
 * ascending. Those of A are Qz, which costs 2 n^2 a vector: where only their products with some b
 * are wanted, b'Qz = (Q'b)'z, and linalg_tridiagonal_turn makes Q'b of each of the m rows b of B
 * (m x n), in place. Both return as linalg_eigh. Among many equal eigenvalues the first one may
 * take n^2 doubles of scratch. */
int linalg_tridiagonal_own(const struct linalg_tridiagonal *, size_t k, double *w, double *z);
int linalg_tridiagonal_turn(const struct linalg_tridiagonal *, size_t m, double *b);
void linalg_tridiagonal_release(struct linalg_tridiagonal *);

/* B = B R, and B = B R', for the first n columns of the m rows of B, and B = R B for n x m; R is
 * upper triangular, n x n, lda = n. */
void linalg_times_triangle(size_t m, size_t n, const double *r, double *b, size_t ldb);
void linalg_times_triangle_transposed(size_t m, size_t n, const double *r, double *b, size_t ldb);
void linalg_triangle_times(size_t n, size_t m, const double *r, double *b, size_t ldb);

/* Overwrites the upper triangle of the symmetric A (n x n) with R, R'R = A. Returns 0, or -EDOM
 * when A is not positive definite. */
int linalg_cholesky(size_t n, double *a);
/* The inverse of an upper triangular R (n x n), of whose diagonal no element is 0. */
void linalg_triangle_inverse(size_t n, const double *r, double *inverse);
/* Solves R x = b, or with `transposed` R'x = b, for each of the m rows b of B (m x n), in place; R
 * is upper triangular, n x n. Nothing where m is 0. */
void linalg_triangle_solve(bool transposed, size_t n, const double *r, size_t m, double *b);
