#include "daemon/core/matrix/linalg.h"

#include <cblas.h>
#include <dlfcn.h>
#include <errno.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg_work.h"

#define INT(size) ((blasint)(size))
/* What |Z'x|^2 may differ from |x|^2 by, in proportion: vectors that are right are off by 1e-14,
 * one that is there twice by 1 / k. */
#define ORTHONORMAL 1e-11

void linalg_init(void)
{
    openblas_set_num_threads(1);
}

/* They are no interface, so a library without them is possible. */
void *linalg_take_buffer(void)
{
    void *(*take)(int);

    *(void **)&take = dlsym(RTLD_DEFAULT, "blas_memory_alloc");
    return take ? take(0) : NULL;
}

void linalg_give_buffer(void *buffer)
{
    void (*give)(void *);

    *(void **)&give = dlsym(RTLD_DEFAULT, "blas_memory_free");
    if (give && buffer)
        give(buffer);
}

const char *linalg_description(void)
{
    return openblas_get_config();
}

const char *linalg_kernels(void)
{
    return openblas_get_corename();
}

/* Each set is a table of functions. Where the library is no DYNAMIC_ARCH build, there is none. */
bool linalg_has_kernels(const char *type)
{
    char table[64];

    snprintf(table, sizeof table, "gotoblas_%s", type);
    return dlsym(RTLD_DEFAULT, table) != NULL;
}

void linalg_cross_f32(size_t n, size_t p, size_t q, const float *a, size_t lda, const float *b,
                      size_t ldb, float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, INT(p), INT(q), INT(n), 1, a, INT(lda), b,
                INT(ldb), 0, c, INT(ldc));
}

void linalg_gram_f32(size_t n, size_t p, const float *a, size_t lda, float *c, size_t ldc)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, INT(p), INT(n), 1, a, INT(lda), 0, c,
                INT(ldc));
}

void linalg_product_f32(size_t m, size_t k, size_t n, const float *a, size_t lda, const float *b,
                        size_t ldb, float beta, float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, INT(m), INT(n), INT(k), 1, a, INT(lda),
                b, INT(ldb), beta, c, INT(ldc));
}

void linalg_cross_f64(size_t n, size_t p, size_t q, const double *a, size_t lda, const double *b,
                      size_t ldb, double beta, double *c, size_t ldc)
{
    if (q == 0)
        return;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, INT(p), INT(q), INT(n), 1, a, INT(lda), b,
                INT(ldb), beta, c, INT(ldc));
}

void linalg_gram_f64(size_t n, size_t p, const double *a, size_t lda, double beta, double *c,
                     size_t ldc)
{
    if (p == 0)
        return;
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, INT(p), INT(n), 1, a, INT(lda), beta, c,
                INT(ldc));
}

void linalg_product_f64(size_t m, size_t k, size_t n, const double *a, size_t lda, const double *b,
                        size_t ldb, double *c, size_t ldc)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, INT(m), INT(n), INT(k), 1, a, INT(lda),
                b, INT(ldb), 0, c, INT(ldc));
}

void linalg_product_transposed_f64(size_t m, size_t k, size_t n, const double *a, size_t lda,
                                   const double *b, size_t ldb, double *c, size_t ldc)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, INT(m), INT(n), INT(k), 1, a, INT(lda), b,
                INT(ldb), 0, c, INT(ldc));
}

void linalg_add_product_f64(size_t m, size_t k, size_t n, const double *a, size_t lda,
                            const double *b, size_t ldb, double *c, size_t ldc)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, INT(m), INT(n), INT(k), 1, a, INT(lda),
                b, INT(ldb), 1, c, INT(ldc));
}

void linalg_add_symmetric_product_f64(size_t m, size_t n, const double *a, size_t lda,
                                      const double *b, size_t ldb, double *c, size_t ldc)
{
    cblas_dsymm(CblasRowMajor, CblasLeft, CblasUpper, INT(m), INT(n), 1, a, INT(lda), b, INT(ldb),
                1, c, INT(ldc));
}

void linalg_matvec_f64(bool transposed, size_t m, size_t n, const double *a, size_t lda,
                       const double *x, double *y)
{
    cblas_dgemv(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, INT(m), INT(n), 1, a,
                INT(lda), x, 1, 1, y, 1);
}

/* dsymv gets all but the last four rows, so what it reads behind its y is the rest of ours
 * (LINALG_OVERREAD). Their columns are walked once:
 *
 *     ( y1 )  +=  ( A11   A12 ) ( x1 )      A11: dsymv, m x m
 *     ( y2 )      ( A12'  A22 ) ( x2 )      A12, A22: m x 4 and 4 x 4, here
 */
void linalg_symmetric_matvec_f64(size_t n, const double *a, size_t lda, const double *x, double *y)
{
    size_t m = n > LINALG_OVERREAD ? n - LINALG_OVERREAD : 0;

    if (m > 0)
        cblas_dsymv(CblasRowMajor, CblasUpper, INT(m), 1, a, INT(lda), x, 1, 1, y, 1);
    for (size_t i = 0; i < m; i++) {
        const double *row = a + i * lda;
        double sum = 0;

        for (size_t j = m; j < m + LINALG_OVERREAD; j++) {
            sum += row[j] * x[j];
            y[j] += row[j] * x[i];
        }
        y[i] += sum;
    }
    for (size_t i = m; i < n; i++) {
        y[i] += a[i * lda + i] * x[i];
        for (size_t j = i + 1; j < n; j++) {
            y[i] += a[i * lda + j] * x[j];
            y[j] += a[i * lda + j] * x[i];
        }
    }
}

double linalg_dot(size_t n, const double *x, const double *y)
{
    return cblas_ddot(INT(n), x, 1, y, 1);
}

double linalg_sum_squares(size_t n, const double *x)
{
    return linalg_dot(n, x, x);
}

double linalg_dot_strided(size_t n, const double *x, size_t dx, const double *y, size_t dy)
{
    return cblas_ddot(INT(n), x, INT(dx), y, INT(dy));
}

static bool upper_is_finite(size_t n, const double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            if (!isfinite(a[i * n + j]))
                return false;
        }
    }
    return true;
}

static int translate(lapack_int info)
{
    if (info == LAPACK_WORK_MEMORY_ERROR)
        return -ENOMEM;
    return info == 0 ? 0 : -EDOM;
}

/* LAPACK is column-major: the row-major upper triangle is its lower one, and the eigenvectors come
 * back as our rows, so nothing is transposed. LAPACKE's own check lets Inf through; ours does not.
 */
int linalg_eigh(size_t n, double *a, double *w)
{
    lapack_int order = (lapack_int)n;
    struct linalg_work k = {0};

    if (!upper_is_finite(n, a))
        return -EDOM;
    while (linalg_work_next(&k))
        k.info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'L', order, a, order, w, k.reals,
                                     k.n_reals, k.integers, k.n_integers);
    return translate(k.info);
}

/* T's eigenvalues alone: n^2. */
static int tridiagonal_values(const struct linalg_tridiagonal *t, double *w)
{
    double *next = malloc(t->n * sizeof *next);
    int rc;

    if (!next)
        return -ENOMEM;
    memcpy(w, t->parts, t->n * sizeof *w);
    memcpy(next, t->parts + t->n, (t->n - 1) * sizeof *next);
    rc = translate(LAPACKE_dsterf((lapack_int)t->n, w, next));
    free(next);
    return rc;
}

/* dsytrd needs no vectors to find values: half of its work is products with the matrix, which wait
 * for memory. */
int linalg_tridiagonal_init(struct linalg_tridiagonal *t, size_t n, double *a, double *w)
{
    lapack_int order = (lapack_int)n;
    struct linalg_work k = {0};
    int rc;

    *t = (struct linalg_tridiagonal){.n = n, .reflectors = a};
    if (!upper_is_finite(n, a))
        return -EDOM;
    t->parts = malloc((3 * n + LINALG_OVERREAD) * sizeof(double)); /* the scales take part, too */
    if (!t->parts)
        return -ENOMEM;
    while (linalg_work_next(&k))
        k.info = LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'L', order, a, order, t->parts, t->parts + n,
                                     t->parts + 2 * n, k.reals, k.n_reals);
    rc = translate(k.info);
    return rc == 0 && w ? tridiagonal_values(t, w) : rc;
}

/* The k largest of all pairs, by dividing and conquering: of all vectors this costs least. */
static int all_vectors(const struct linalg_tridiagonal *t, size_t k, double *w, double *z)
{
    size_t n = t->n, others = n - k;
    lapack_int order = (lapack_int)n;
    double *parts = malloc((2 * n + (others > 0 ? n * n : 0)) * sizeof *parts);
    double *vectors = z;
    struct linalg_work work = {0};

    if (!parts)
        return -ENOMEM;
    memcpy(parts, t->parts, 2 * n * sizeof *parts);
    if (others > 0)
        vectors = parts + 2 * n;
    while (linalg_work_next(&work))
        work.info =
            LAPACKE_dstedc_work(LAPACK_COL_MAJOR, 'I', order, parts, parts + n, vectors, order,
                                work.reals, work.n_reals, work.integers, work.n_integers);
    memcpy(w, parts + others, k * sizeof *w);
    if (others > 0)
        memcpy(z, vectors + others * n, k * n * sizeof *z);
    free(parts);
    return translate(work.info);
}

/* Whether the k rows of Z (k x n) are orthonormal: |Z'x| = |x| for an x without a pattern. `x` and
 * `y` are scratch for n. */
static bool is_orthonormal(size_t n, size_t k, const double *z, double *x, double *y)
{
    for (size_t i = 0; i < k; i++)
        x[i] = cos((double)i);
    memset(y, 0, n * sizeof *y);
    linalg_matvec_f64(true, k, n, z, n, x, y);
    return fabs(linalg_sum_squares(n, y) / linalg_sum_squares(k, x) - 1) <= ORTHONORMAL;
}

/* By the vectors' own representations (MRRR). Where eigenvalues lie within rounding of each other
 * it may fail, or give a vector twice: -EDOM. */
static int leading_vectors(const struct linalg_tridiagonal *t, size_t k, double *w, double *z)
{
    size_t n = t->n;
    lapack_int order = (lapack_int)n, first = order - (lapack_int)k + 1, found = 0, careful = 1;
    lapack_int *support = malloc(2 * k * sizeof *support);
    double *parts = malloc(3 * n * sizeof *parts);
    struct linalg_work work = {0};
    int rc = -ENOMEM;

    if (support && parts) {
        memcpy(parts, t->parts, 2 * n * sizeof *parts);
        while (linalg_work_next(&work))
            work.info = LAPACKE_dstemr_work(LAPACK_COL_MAJOR, 'V', 'I', order, parts, parts + n, 0,
                                            0, first, order, &found, parts + 2 * n, z, order,
                                            (lapack_int)k, support, &careful, work.reals,
                                            work.n_reals, work.integers, work.n_integers);
        rc = translate(work.info);
        memcpy(w, parts + 2 * n, k * sizeof *w);
        if (rc == 0 && ((size_t)found != k || !is_orthonormal(n, k, z, parts, parts + n)))
            rc = -EDOM;
    }
    free(support);
    free(parts);
    return rc;
}

int linalg_tridiagonal_own(const struct linalg_tridiagonal *t, size_t k, double *w, double *z)
{
    int rc = k < t->n ? leading_vectors(t, k, w, z) : -EDOM;

    return rc == -EDOM ? all_vectors(t, k, w, z) : rc;
}

/* Rows are LAPACK's columns. 'N': Qb, 'T': Q'b. */
static int reflect(const struct linalg_tridiagonal *t, char side, size_t m, double *b)
{
    lapack_int order = (lapack_int)t->n;
    struct linalg_work work = {0};

    while (m > 0 && linalg_work_next(&work))
        work.info = LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'L', side, order, (lapack_int)m,
                                        t->reflectors, order, t->parts + 2 * t->n, b, order,
                                        work.reals, work.n_reals);
    return translate(work.info);
}

int linalg_tridiagonal_turn(const struct linalg_tridiagonal *t, size_t m, double *b)
{
    return reflect(t, 'T', m, b);
}

int linalg_tridiagonal_leading(const struct linalg_tridiagonal *t, size_t k, double *v)
{
    double *w = malloc(k * sizeof *w);
    int rc = w ? linalg_tridiagonal_own(t, k, w, v) : -ENOMEM;

    free(w);
    return rc == 0 ? reflect(t, 'N', k, v) : rc;
}

void linalg_tridiagonal_release(struct linalg_tridiagonal *t)
{
    free(t->parts);
    t->parts = NULL;
}

void linalg_times_triangle(size_t m, size_t n, const double *r, double *b, size_t ldb)
{
    if (m > 0 && n > 0)
        cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, INT(m),
                    INT(n), 1, r, INT(n), b, INT(ldb));
}

void linalg_times_triangle_transposed(size_t m, size_t n, const double *r, double *b, size_t ldb)
{
    if (m > 0 && n > 0)
        cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, INT(m), INT(n),
                    1, r, INT(n), b, INT(ldb));
}

void linalg_triangle_times(size_t n, size_t m, const double *r, double *b, size_t ldb)
{
    if (m > 0 && n > 0)
        cblas_dtrmm(CblasRowMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, INT(n),
                    INT(m), 1, r, INT(n), b, INT(ldb));
}

int linalg_cholesky(size_t n, double *a)
{
    return LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)n) == 0 ? 0 : -EDOM;
}

void linalg_triangle_inverse(size_t n, const double *r, double *inverse)
{
    memcpy(inverse, r, n * n * sizeof *r);
    LAPACKE_dtrtri(LAPACK_COL_MAJOR, 'L', 'N', (lapack_int)n, inverse, (lapack_int)n);
}

void linalg_triangle_solve(bool transposed, size_t n, const double *r, size_t m, double *b)
{
    if (m == 0)
        return;
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasUpper, transposed ? CblasNoTrans : CblasTrans,
                CblasNonUnit, (int)m, (int)n, 1, r, (int)n, b, (int)n);
}
