#include <math.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/passes.h"
#include "daemon/core/moments/fold_parts.h"

/* to = decay to + between d_row d_col' for one row of a matrix. */
static void begin_row(const struct combination *combination, size_t n, double d_row,
                      const double *d_col, double *to)
{
    passes_begin(n, combination->decay, combination->between * d_row, d_col, to);
}

/* The columns of a row of a tile that may be read: of a diagonal tile the upper triangle. */
static size_t first_column(const struct tile *t, size_t row)
{
    return t->row == t->col ? row : 0;
}

static void product_tile_wide(struct fold *fold, const struct tile *t)
{
    const double *x = fold->x;

    for (size_t i = 0; i < t->n_rows; i++) {
        size_t first = first_column(t, i);

        begin_row(&fold->combination, t->n_cols - first, fold->dx[t->row + i],
                  fold->dx + t->col + first, t->values + i * t->n_cols + first);
    }
    if (t->row == t->col)
        linalg_gram_f64(fold->n, t->n_rows, x + t->row, fold->p, 1, t->values, t->n_cols);
    else
        linalg_cross_f64(fold->n, t->n_rows, t->n_cols, x + t->row, fold->p, x + t->col, fold->p, 1,
                         t->values, t->n_cols);
}

static void product_tile_single(struct fold *fold, const struct tile *t, float *product)
{
    const struct combination *combination = &fold->combination;
    const float *x = fold->x;
    int exponent = fold->exponent[t->row / TILE_ORDER] + fold->exponent[t->col / TILE_ORDER];
    double scale = ldexp(1, -exponent);

    if (t->row == t->col)
        linalg_gram_f32(fold->n, t->n_rows, x + t->row, fold->p, product, t->n_cols);
    else
        linalg_cross_f32(fold->n, t->n_rows, t->n_cols, x + t->row, fold->p, x + t->col, fold->p,
                         product, t->n_cols);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t first = first_column(t, i), at = i * t->n_cols + first;

        passes_combine_f32(t->n_cols - first, combination->decay,
                           combination->between * fold->dx[t->row + i], fold->dx + t->col + first,
                           scale, product + at, t->values + at);
    }
}

void fold_product_tile(struct fold *fold, size_t k, struct scratch *scratch)
{
    struct tile t = tiles_at(&fold->moments->xx, k);

    if (fold->wide)
        product_tile_wide(fold, &t);
    else
        product_tile_single(fold, &t, scratch->product);
}

/* Rows from..from+n-1 of a column tile as doubles: in place when the block is double. */
static const double *widen(struct fold *fold, size_t k, size_t from, size_t n, size_t n_cols,
                           double *wide, size_t *ld)
{
    double scale = ldexp(1, -fold->exponent[k]);

    *ld = fold->p;
    if (fold->wide)
        return (double *)fold->x + from * fold->p + k * TILE_ORDER;
    *ld = n_cols;
    for (size_t i = 0; i < n; i++) {
        const float *row = (float *)fold->x + (from + i) * fold->p + k * TILE_ORDER;

        passes_widen(n_cols, scale, row, wide + i * n_cols);
    }
    return wide;
}

/* xy += X'Y and sum_sx += X'(s) for the rows of xy that belong to one column tile. With z = x - m_b
 * + e, e = m_b - shift: sum w s z = sum w s (x - m_b) + e sum w s. */
void fold_product_outputs(struct fold *fold, size_t k, struct scratch *scratch)
{
    size_t col = k * TILE_ORDER, n_cols = fold->p - col < TILE_ORDER ? fold->p - col : TILE_ORDER,
           ld;
    double *xy = fold->moments->xy + col * fold->w, *sum_sx = fold->moments->sum_sx + col;

    for (size_t j = 0; j < n_cols; j++) {
        begin_row(&fold->combination, fold->w, fold->dx[col + j], fold->dy, xy + j * fold->w);
        sum_sx[j] = fold->combination.decay * sum_sx[j] +
                    fold->weighted_s * (fold->mean_x[col + j] - fold->moments->shift[col + j]);
    }
    if (fold->whitened) {
        fold_product_whitened(fold, col, n_cols, xy, sum_sx, scratch);
        return;
    }
    for (size_t from = 0; from < fold->n; from += WIDEN_ROWS) {
        size_t n = fold->n - from < WIDEN_ROWS ? fold->n - from : WIDEN_ROWS;
        const double *x = widen(fold, k, from, n, n_cols, scratch->wide, &ld);

        linalg_cross_f64(n, n_cols, fold->w, x, ld, fold->y + from * fold->w, fold->w, 1, xy,
                         fold->w);
        linalg_matvec_f64(true, n, n_cols, x, ld, fold->rs + from, sum_sx);
    }
}

void fold_product_yy(struct fold *fold)
{
    size_t w = fold->w;

    for (size_t i = 0; i < w; i++) {
        double *row = fold->moments->yy + i * w;

        begin_row(&fold->combination, w - i, fold->dy[i], fold->dy + i, row + i);
        for (size_t j = i; fold->whitened && j < w; j++)
            row[j] += fold->yy[i * w + j];
    }
    if (!fold->whitened)
        linalg_gram_f64(fold->n, w, fold->y, w, 1, fold->moments->yy, w);
}

void fold_commit(struct fold *fold)
{
    struct moments *m = fold->moments;

    for (size_t j = 0; j < fold->p; j++)
        m->mean_x[j] += fold->combination.step * fold->dx[j];
    for (size_t j = 0; j < fold->w; j++)
        m->mean_y[j] += fold->combination.step * fold->dy[j];
    m->weight = fold->combination.decay * m->weight + fold->weight;
    m->weight_sq =
        fold->combination.decay * fold->combination.decay * m->weight_sq + fold->weight_sq;
    m->n_rows += fold->n;
    if (m->reservoir)
        reservoir_commit(m->reservoir, fold->n);
}
