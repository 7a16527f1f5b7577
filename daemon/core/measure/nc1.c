/* nc1 = tr(S_W S_B^+) / C. With M = [mu_c - mu] (p x C), S_B = M M' / C = sum_k l_k u_k u_k' / C
 * over the r eigenvalues that count, and d_c = mu_c - m = M_c + (mu - m):
 *
 *     nc1 = sum_k u_k'S_W u_k / l_k = sum_k [ u_k'S u_k - sum_c pi_c (u_k'd_c)^2 ] / l_k
 *
 * Few classes: M'M = V diag(l) V' (C x C), u_k = M v_k / sqrt(l_k) and M'd_c = M'M e_c + M'(mu -
 * m). Many: the eigenvectors of M M' (p x p), and sum_c pi_c d_c d_c' is a second such matrix. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/centres.h"

/* Squared singular values of the class means below this share of the largest are rounding, and nc1
 * must not divide by them. */
#define RANK_CUTOFF 1e-12
/* Class means that are copied at a time. */
#define CHUNK_CLASSES ((size_t)256)

/* Directions that count of `n` eigenvalues (ascending): at most C - 1, because the class means are
 * centred. */
static size_t count_directions(const struct centres *centres, size_t n, const double *l)
{
    size_t r = 0, most = centres->n - 1 < centres->p ? centres->n - 1 : centres->p;

    while (r < most && l[n - 1 - r] > RANK_CUTOFF * l[n - 1])
        r++;
    return r;
}

/* tr S / r, in which the rounding of u_k'S u_k is measured: it knows no direction. */
static double mean_variance(const struct centres *centres, size_t r)
{
    return tiles_trace(&centres->m->xx) / centres->m->weight / (double)r;
}

/* ---- few classes --------------------------------------------------------------------------- */

/* M, p x n. `mean` is scratch of p. */
static void fill_columns(const struct centres *centres, double *matrix, double *mean)
{
    for (size_t c = 0; c < centres->n; c++) {
        centres_read(centres, c, mean);
        for (size_t i = 0; i < centres->p; i++)
            matrix[i * centres->n + c] = mean[i];
    }
}

/* (l_k v_k'd)^2 in place of (u_k'd)^2, hence l^2. `residual`: M'(mu - m). */
static double within_along(const struct centres *centres, const double *v, const double *residual,
                           double l, double total)
{
    double sum = total, rest = linalg_dot(centres->n, v, residual);

    for (size_t c = 0; c < centres->n; c++) {
        double along = l * v[c] + rest; /* v'M'M = l v' */

        sum -= centres->share[c] * along * along;
    }
    return fmax(sum, 0) / (l * l);
}

/* `v` holds the eigenvectors as rows, ascending; `work` p x n twice. */
static double sum_few(const struct centres *centres, const double *matrix, const double *residual,
                      const double *v, const double *l, double *work, double *whole)
{
    size_t p = centres->p, n = centres->n, r = count_directions(centres, n, l);
    const double *top = v + (n - r) * n;
    double *mv = work, *smv = work + p * n, sum = 0;

    if (r == 0)
        return (double)NAN;
    linalg_product_transposed_f64(p, n, r, matrix, n, top, n, mv, r);
    tiles_product(&centres->m->xx, r, mv, smv);
    for (size_t i = 0; i < r; i++) {
        double total = linalg_dot_strided(p, mv + i, r, smv + i, r) / centres->m->weight;

        *whole += mean_variance(centres, r) / l[n - r + i];
        sum += within_along(centres, top + i * n, residual, l[n - r + i], total);
    }
    return sum;
}

static int from_few(const struct centres *centres, double *out, double *whole)
{
    size_t p = centres->p, n = centres->n;
    double *matrix = calloc(3 * p * n + n * n + 2 * n, sizeof *matrix);
    double *work, *v, *l, *residual;
    int rc;

    if (!matrix)
        return -ENOMEM;
    work = matrix + p * n;
    v = work + 2 * p * n;
    l = v + n * n;
    residual = l + n;
    fill_columns(centres, matrix, work);
    linalg_matvec_f64(true, p, n, matrix, n, centres->middle, residual);
    linalg_gram_f64(p, n, matrix, n, 0, v, n);
    rc = linalg_eigh(n, v, l);
    if (rc == 0)
        *out = sum_few(centres, matrix, residual, v, l, work, whole);
    free(matrix);
    return rc;
}

/* ---- many classes -------------------------------------------------------------------------- */

/* between = M M', weighted = sum_c pi_c d_c d_c'; `rows` is scratch of two chunks. */
static void sum_products(const struct centres *centres, double *between, double *weighted,
                         double *rows)
{
    size_t p = centres->p;
    double *plain = rows + CHUNK_CLASSES * p;

    for (size_t from = 0; from < centres->n; from += CHUNK_CLASSES) {
        size_t n = centres->n - from < CHUNK_CLASSES ? centres->n - from : CHUNK_CLASSES;

        for (size_t c = 0; c < n; c++) {
            double root = sqrt(centres->share[from + c]);

            centres_read(centres, from + c, plain + c * p);
            for (size_t i = 0; i < p; i++)
                rows[c * p + i] = root * (plain[c * p + i] + centres->middle[i]);
        }
        linalg_gram_f64(n, p, plain, p, from > 0, between, p);
        linalg_gram_f64(n, p, rows, p, from > 0, weighted, p);
    }
}

/* `v` holds the eigenvectors of M M' as rows, ascending; `columns` and `product` are p x p. */
static double sum_many(const struct centres *centres, const double *v, const double *l,
                       const double *weighted, double *columns, double *product, double *whole)
{
    size_t p = centres->p, r = count_directions(centres, p, l);
    double sum = 0;

    if (r == 0)
        return (double)NAN;
    for (size_t k = 0; k < r; k++) {
        for (size_t i = 0; i < p; i++)
            columns[i * r + k] = v[(p - r + k) * p + i];
    }
    tiles_product(&centres->m->xx, r, columns, product);
    for (size_t i = 0; i < p * r; i++)
        product[i] /= -centres->m->weight;
    linalg_add_symmetric_product_f64(p, r, weighted, p, columns, r, product, r);
    for (size_t k = 0; k < r; k++) {
        sum += fmax(-linalg_dot_strided(p, columns + k, r, product + k, r), 0) / l[p - r + k];
        *whole += mean_variance(centres, r) / l[p - r + k];
    }
    return sum;
}

static int from_many(const struct centres *centres, double *out, double *whole)
{
    size_t p = centres->p;
    double *between = malloc((4 * p * p + 2 * CHUNK_CLASSES * p + p) * sizeof *between);
    double *weighted, *columns, *product, *rows, *l;
    int rc;

    if (!between)
        return -ENOMEM;
    weighted = between + p * p;
    columns = weighted + p * p;
    product = columns + p * p;
    rows = product + p * p;
    l = rows + 2 * CHUNK_CLASSES * p;
    sum_products(centres, between, weighted, rows);
    rc = linalg_eigh(p, between, l);
    if (rc == 0)
        *out = sum_many(centres, between, l, weighted, columns, product, whole);
    free(between);
    return rc;
}

int centres_nc1(const struct centres *centres, double *out, double *whole)
{
    *whole = 0;
    return centres->n <= centres->p ? from_few(centres, out, whole)
                                    : from_many(centres, out, whole);
}
