#include <math.h>

#include "daemon/core/moments/fold_parts.h"
#include "daemon/core/matrix/linalg.h"

/* to = decay to + between d_row d_col' for one row of a matrix; decay = 0 does not read `to`. */
static void begin_row(const struct combination *k, size_t n, double d_row, const double *d_col,
                      double *to)
{
    double b = k->between * d_row;

    if (k->decay == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = b * d_col[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = k->decay * to[j] + b * d_col[j];
}

static void product_tile_wide(struct fold *f, const struct tile *t)
{
    const double *x = f->x;

    if (t->row == t->col)
        linalg_gram_f64(f->n, t->n_rows, x + t->row, f->p, 1, t->values, t->n_cols);
    else
        linalg_cross_f64(f->n, t->n_rows, t->n_cols, x + t->row, f->p, x + t->col, f->p, 1,
                         t->values, t->n_cols);
}

static void product_tile_single(struct fold *f, const struct tile *t, float *product)
{
    const float *x = f->x;
    int exponent = f->exponent[t->row / TILE_ORDER] + f->exponent[t->col / TILE_ORDER];
    double scale = ldexp(1, -exponent);

    if (t->row == t->col)
        linalg_gram_f32(f->n, t->n_rows, x + t->row, f->p, product, t->n_cols);
    else
        linalg_cross_f32(f->n, t->n_rows, t->n_cols, x + t->row, f->p, x + t->col, f->p, product,
                         t->n_cols);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t first = t->row == t->col ? i : 0;

        for (size_t j = first; j < t->n_cols; j++)
            t->values[i * t->n_cols + j] += scale * product[i * t->n_cols + j];
    }
}

void fold_product_tile(struct fold *f, size_t k, struct scratch *s)
{
    struct tile t = tiles_at(&f->m->xx, k);

    for (size_t i = 0; i < t.n_rows; i++)
        begin_row(&f->k, t.n_cols, f->dx[t.row + i], f->dx + t.col, t.values + i * t.n_cols);
    if (f->wide)
        product_tile_wide(f, &t);
    else
        product_tile_single(f, &t, s->product);
}

/* Rows from..from+n-1 of a column tile as doubles: in place when the block is double. */
static const double *widen(struct fold *f, size_t k, size_t from, size_t n, size_t n_cols,
                           double *wide, size_t *ld)
{
    double scale = ldexp(1, -f->exponent[k]);

    *ld = f->p;
    if (f->wide)
        return (double *)f->x + from * f->p + k * TILE_ORDER;
    *ld = n_cols;
    for (size_t i = 0; i < n; i++) {
        const float *row = (float *)f->x + (from + i) * f->p + k * TILE_ORDER;

        for (size_t j = 0; j < n_cols; j++)
            wide[i * n_cols + j] = scale * row[j];
    }
    return wide;
}

/* xy += X'Y and sum_sx += X'(s) for the rows of xy that belong to one column tile. With z = x - m_b
 * + e, e = m_b - shift: sum w s z = sum w s (x - m_b) + e sum w s. */
void fold_product_outputs(struct fold *f, size_t k, struct scratch *s)
{
    size_t col = k * TILE_ORDER, n_cols = f->p - col < TILE_ORDER ? f->p - col : TILE_ORDER, ld;
    double *xy = f->m->xy + col * f->w, *sum_sx = f->m->sum_sx + col;

    for (size_t j = 0; j < n_cols; j++) {
        begin_row(&f->k, f->w, f->dx[col + j], f->dy, xy + j * f->w);
        sum_sx[j] =
            f->k.decay * sum_sx[j] + f->weighted_s * (f->mean_x[col + j] - f->m->shift[col + j]);
    }
    for (size_t from = 0; from < f->n; from += WIDEN_ROWS) {
        size_t n = f->n - from < WIDEN_ROWS ? f->n - from : WIDEN_ROWS;
        const double *x = widen(f, k, from, n, n_cols, s->wide, &ld);

        linalg_cross_f64(n, n_cols, f->w, x, ld, f->y + from * f->w, f->w, 1, xy, f->w);
        linalg_matvec_f64(true, n, n_cols, x, ld, f->rs + from, sum_sx);
    }
}

void fold_product_yy(struct fold *f)
{
    for (size_t i = 0; i < f->w; i++)
        begin_row(&f->k, f->w - i, f->dy[i], f->dy + i, f->m->yy + i * f->w + i);
    linalg_gram_f64(f->n, f->w, f->y, f->w, 1, f->m->yy, f->w);
}

void fold_commit(struct fold *f)
{
    struct moments *m = f->m;

    for (size_t j = 0; j < f->p; j++)
        m->mean_x[j] += f->k.step * f->dx[j];
    for (size_t j = 0; j < f->w; j++)
        m->mean_y[j] += f->k.step * f->dy[j];
    m->weight = f->k.decay * m->weight + f->weight;
    m->weight_sq = f->k.decay * f->k.decay * m->weight_sq + f->weight_sq;
    m->n_rows += f->n;
    if (m->reservoir)
        reservoir_commit(m->reservoir, f->n);
}
