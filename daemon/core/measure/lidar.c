/* LiDAR (Thilak et al. 2023, arXiv 2312.04000): with l_k the p eigenvalues of
 * (S_W + d I)^-1/2 S_B (S_W + d I)^-1/2, d = LIDAR_DELTA,
 *
 *     a_k = l_k / sum l + 1e-7            lidar = exp(-sum_k a_k log a_k)
 *
 * With R'R = S_W + d I and M = [mu_c - mu] (p x C), S_B = M M' / C and Z = R'^-1 M, they are those
 * of Z Z', or of the smaller Z'Z, up to a factor that the shares lose; the others are 0. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/centres.h"
#include "daemon/core/measure/factor.h"

/* In the squared units of the features, as the paper has it. */
#define LIDAR_DELTA 1e-4
#define LIDAR_SHARE 1e-7
/* Class means that are copied at a time. */
#define CHUNK_CLASSES 256

/* between (p x p) = sum_c pi_c d_c d_c', d_c = mu_c - m; `rows` is scratch of a chunk. */
static void sum_between(const struct centres *centres, double *rows, double *between)
{
    size_t p = centres->p;

    for (size_t from = 0, n; from < centres->n; from += n) {
        n = centres->n - from < CHUNK_CLASSES ? centres->n - from : CHUNK_CLASSES;
        for (size_t c = 0; c < n; c++) {
            double root = sqrt(centres->share[from + c]);

            centres_read(centres, from + c, rows + c * p);
            for (size_t i = 0; i < p; i++)
                rows[c * p + i] = root * (rows[c * p + i] + centres->middle[i]);
        }
        linalg_gram_f64(n, p, rows, p, from > 0, between, p);
    }
}

/* R in `factor`. */
static int factor_within(const struct centres *centres, double *between, double *factor)
{
    size_t p = centres->p;

    factor_read(centres->m, NULL, factor);
    for (size_t i = 0; i < p; i++) {
        for (size_t j = i; j < p; j++)
            factor[i * p + j] = factor[i * p + j] / centres->m->weight - between[i * p + j] +
                                (i == j ? LIDAR_DELTA : 0);
    }
    return linalg_cholesky(p, factor);
}

static double effective_rank(size_t p, size_t n, const double *l)
{
    double sum = 0, entropy = -(double)(p - n) * LIDAR_SHARE * log(LIDAR_SHARE);

    for (size_t k = 0; k < n; k++)
        sum += fmax(l[k], 0);
    for (size_t k = 0; k < n; k++) {
        double share = fmax(l[k], 0) / sum + LIDAR_SHARE;

        entropy -= share * log(share);
    }
    return sum > 0 ? exp(entropy) : (double)NAN;
}

/* Columns from..from+n-1 of Z, each as a row. */
static void read_columns(const struct centres *centres, const double *factor, size_t from, size_t n,
                         double *rows)
{
    for (size_t c = 0; c < n; c++)
        centres_read(centres, from + c, rows + c * centres->p);
    linalg_triangle_solve(true, centres->p, factor, n, rows);
}

/* Z'Z of fewer classes than features, in `products`; else Z Z', of a copy of a chunk at a time. */
static void multiply(const struct centres *centres, const double *factor, double *rows,
                     double *products)
{
    size_t p = centres->p, all = centres->n;

    if (all < p) {
        read_columns(centres, factor, 0, all, rows);
        linalg_product_transposed_f64(all, p, all, rows, p, rows, p, products, all);
        return;
    }
    for (size_t from = 0, n; from < all; from += n) {
        n = all - from < CHUNK_CLASSES ? all - from : CHUNK_CLASSES;
        read_columns(centres, factor, from, n, rows);
        linalg_gram_f64(n, p, rows, p, from > 0, products, p);
    }
}

int centres_lidar(const struct centres *centres, double *out)
{
    size_t p = centres->p, n = centres->n < p ? centres->n : p;
    size_t n_rows = n > CHUNK_CLASSES ? n : CHUNK_CLASSES;
    double *factor = malloc((2 * p * p + n_rows * p + p) * sizeof *factor);
    double *square, *rows, *l;
    int rc;

    if (!factor)
        return -ENOMEM;
    square = factor + p * p;
    rows = square + p * p;
    l = rows + n_rows * p;
    sum_between(centres, rows, square);
    rc = factor_within(centres, square, factor);
    if (rc == 0) {
        multiply(centres, factor, rows, square);
        rc = linalg_eigh(n, square, l);
    }
    if (rc == 0)
        *out = effective_rank(p, n, l);
    free(factor);
    return rc;
}
