#include <math.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/passes.h"
#include "daemon/core/moments/fold_parts.h"

/* X'Y in single precision would lose the directions in which outputs hardly vary: an error of 1e-7
 * of the largest one is 1 % of a direction that varies 1e-5 times as much, and those count as much
 * as the others. So a block's outputs are first made orthonormal, by Cholesky's R of their own
 * products, and what is summed in single precision is X'Q:
 *
 *     R'R = Y'Y        Q R = Y        X'Y = (X'Q) R
 *
 * Y'Y, Q and R are double. The error in a direction v is then relative to |R v| = |Y v|. R need not
 * be exact for that, only Q R = Y: so each diagonal element of Y'Y is raised by RIDGE, and R exists
 * where columns depend on each other. (Yamazaki, Tomov and Dongarra, 2015, have Cholesky QR in two
 * precisions.) Q = Y R^-1 is a product with the inverse, which takes a third of the time of solving
 * for each row. With scaled columns the condition of R is 1e6 at most, by the ridge, so Q R is Y to
 * 1e-10 in each direction, far below what is lost when Q is rounded to single precision.
 *
 * It costs w^2 a row and p w^2 a block, and saves p w a row: at w = 100 it saves 9 % of a fold at
 * p = 384, 5 % at 256, and nothing at 128. */
#define RIDGE 1e-12

bool fold_may_whiten(size_t p, size_t w)
{
    return w > 0 && 5 * w <= 2 * p;
}

/* R from the products that stand in its place. */
static bool factorise(struct fold *fold)
{
    size_t w = fold->w;

    for (size_t i = 0; i < w; i++) {
        double *diagonal = &fold->r[i * w + i];

        *diagonal = *diagonal > 0 ? (1 + RIDGE) * *diagonal : 1;
        memset(fold->r + i * w, 0, i * sizeof(double));
    }
    return linalg_cholesky(w, fold->r) == 0;
}

void fold_whiten(struct fold *fold)
{
    size_t w = fold->w;

    fold->whitened = !fold->wide && fold_may_whiten(fold->p, w) && 4 * w <= fold->n;
    if (!fold->whitened)
        return;
    linalg_gram_f64(fold->n, w, fold->y, w, 0, fold->yy, w);
    memcpy(fold->r, fold->yy, w * w * sizeof(double));
    fold->whitened = factorise(fold);
    if (!fold->whitened)
        return;
    linalg_triangle_inverse(w, fold->r, fold->inverse);
    linalg_times_triangle(fold->n, w, fold->inverse, fold->y, w);
    for (size_t i = 0; i < fold->n; i++)
        passes_narrow(w, fold->y + i * w, fold->q + i * (w + 1));
}

void fold_whiten_s(struct fold *fold)
{
    double norm = sqrt(linalg_sum_squares(fold->n, fold->rs));

    fold->rs_norm = norm;
    for (size_t i = 0; i < fold->n; i++)
        fold->q[i * (fold->w + 1) + fold->w] = norm > 0 ? (float)(fold->rs[i] / norm) : 0;
}

/* Columns of Q at a time, so that the products fit into the scratch: p is 638 at least where w is
 * 255. */
#define COLUMNS 256

/* Rows that are summed in single precision, before it goes on in double. A block whole (1024) was
 * tried: where one value is all that features and outputs have, D_LR strayed by 1.4e-6. */
#define SUM_ROWS 256

/* Q'X for m columns of Q and n_cols features, times `scale`, into scratch->wide. */
static void sum_products(const struct fold *fold, size_t n_cols, size_t m, const float *x,
                         const float *q, double scale, struct scratch *scratch)
{
    for (size_t at = 0, n; at < fold->n; at += n) {
        n = fold->n - at < SUM_ROWS ? fold->n - at : SUM_ROWS;
        linalg_cross_f32(n, m, n_cols, q + at * (fold->w + 1), fold->w + 1, x + at * fold->p,
                         fold->p, scratch->product, n_cols);
        if (at == 0)
            passes_widen(m * n_cols, scale, scratch->product, scratch->wide);
        else
            passes_add(m * n_cols, scale, scratch->product, scratch->wide);
    }
}

void fold_product_whitened(struct fold *fold, size_t col, size_t n_cols, double *xy, double *sum_sx,
                           struct scratch *scratch)
{
    double scale = ldexp(1, -fold->exponent[col / TILE_ORDER]);
    size_t w = fold->w;

    for (size_t from = 0, m; from <= w; from += m) {
        size_t n_outputs;

        m = w + 1 - from < COLUMNS ? w + 1 - from : COLUMNS;
        n_outputs = from + m > w ? m - 1 : m;
        sum_products(fold, n_cols, m, (const float *)fold->x + col, fold->q + from, scale, scratch);
        linalg_cross_f64(n_outputs, n_cols, w - from, scratch->wide, n_cols,
                         fold->r + from * (w + 1), w, 1, xy + from, w);
        if (n_outputs < m)
            passes_begin(n_cols, 1, fold->rs_norm, scratch->wide + n_outputs * n_cols, sum_sx);
    }
}
