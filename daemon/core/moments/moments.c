#include "daemon/core/moments/moments.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"

/* A class with less than this share of the rows did not occur. */
#define CLASS_SHARE_MIN 1e-9

double moments_size_bytes(size_t p, size_t w)
{
    double pd = (double)p, wd = (double)w, side = pd < TILE_ORDER ? pd : TILE_ORDER;

    return sizeof(double) * (pd * (pd + side) / 2 + pd * wd + wd * wd + 3 * pd + wd);
}

int moments_init(struct moments *m, size_t p, size_t c, size_t k)
{
    size_t w = c + k;

    assert(p > 0);
    memset(m, 0, sizeof *m);
    m->p = p;
    m->c = c;
    m->k = k;
    m->w = w;
    m->xy = malloc(p * w * sizeof(double));
    m->yy = malloc(w * w * sizeof(double));
    m->mean_x = malloc(p * sizeof(double));
    m->mean_y = malloc(w * sizeof(double));
    m->shift = malloc(p * sizeof(double));
    m->sum_sx = malloc(p * sizeof(double));
    if (tiles_init(&m->xx, p) < 0 || !m->xy || !m->yy || !m->mean_x || !m->mean_y || !m->shift ||
        !m->sum_sx) {
        moments_release(m);
        return -ENOMEM;
    }
    moments_reset(m);
    return 0;
}

void moments_release(struct moments *m)
{
    tiles_release(&m->xx);
    free(m->xy);
    free(m->yy);
    free(m->mean_x);
    free(m->mean_y);
    free(m->shift);
    free(m->sum_sx);
    memset(m, 0, sizeof *m);
}

/* The matrices keep their old values: with weight 0 the next rows replace them (decay = 0). The
 * vectors are cleared, because they are small and are read before that. */
void moments_reset(struct moments *m)
{
    m->may_wait = m->n_rows < m->p;
    m->by_rows = false;
    m->n_rows = 0;
    m->weight = 0;
    m->weight_sq = 0;
    m->sum_s2 = 0;
    if (m->reservoir)
        reservoir_reset(m->reservoir);
    if (m->classes)
        classes_reset(m->classes);
    memset(m->mean_x, 0, m->p * sizeof(double));
    memset(m->mean_y, 0, m->w * sizeof(double));
    memset(m->shift, 0, m->p * sizeof(double));
    memset(m->sum_sx, 0, m->p * sizeof(double));
}

/* Rows from..from+n-1 of X, columns col..col+n_cols-1. */
static void fill_rows(const struct moments *m, size_t from, size_t n, size_t col, size_t n_cols,
                      double *out)
{
    for (size_t i = 0; i < n; i++) {
        const double *x = m->reservoir->x + (from + i) * m->p + col;
        double root = sqrt(m->reservoir->weight[from + i]);

        for (size_t c = 0; c < n_cols; c++)
            out[i * n_cols + c] = root * (x[c] - m->mean_x[col + c]);
    }
}

void moments_make_tile(struct moments *m, size_t k, double *scratch)
{
    double *left = scratch, *right = scratch + MOMENTS_MAKE_ROWS * m->xx.order;
    struct tile t = tiles_at(&m->xx, k);

    assert(m->by_rows && reservoir_has_all(m->reservoir));
    for (size_t at = 0, n; at < m->reservoir->n_seen; at += n) {
        n = m->reservoir->n_seen - at < MOMENTS_MAKE_ROWS ? m->reservoir->n_seen - at
                                                          : MOMENTS_MAKE_ROWS;
        fill_rows(m, at, n, t.row, t.n_rows, left);
        if (t.row == t.col) {
            linalg_gram_f64(n, t.n_rows, left, t.n_rows, at > 0, t.values, t.n_cols);
            continue;
        }
        fill_rows(m, at, n, t.col, t.n_cols, right);
        linalg_cross_f64(n, t.n_rows, t.n_cols, left, t.n_rows, right, t.n_cols, at > 0, t.values,
                         t.n_cols);
    }
}

int moments_make_xx(struct moments *m)
{
    double *scratch;

    if (!m->by_rows)
        return 0;
    scratch = malloc(sizeof(double) * 2 * MOMENTS_MAKE_ROWS * m->xx.order);
    if (!scratch)
        return -ENOMEM;
    for (size_t k = 0; k < m->xx.n_tiles; k++)
        moments_make_tile(m, k, scratch);
    free(scratch);
    m->by_rows = false;
    return 0;
}

double moments_class_share(const struct moments *m, size_t slot)
{
    return m->classes->sums[slot].weight * m->classes->scale / m->weight;
}

bool moments_class_occurred(const struct moments *m, size_t slot)
{
    return moments_class_share(m, slot) > CLASS_SHARE_MIN;
}

void moments_class_mean(const struct moments *m, size_t slot, double *out)
{
    const double *z = classes_z(m->classes, slot);
    double weight = m->classes->sums[slot].weight;

    for (size_t i = 0; i < m->p; i++)
        out[i] = z[i] / weight - (m->mean_x[i] - m->shift[i]);
}

/* With d = m - shift, z = (x - m) + d and M = xx:
 *     sum w |x - m|^4 = sum w |z - d|^4
 *                     = sum_s2 + 4 d'(M + W d d')d + W |d|^4 - 4 d'sum_sx
 *                       + 2 |d|^2 (tr M + W |d|^2) - 4 |d|^2 W |d|^2
 *                     = sum_s2 + 4 d'M d + W |d|^4 (4 + 1 + 2 - 4) - 4 d'sum_sx + 2 |d|^2 tr M */
double moments_fourth(const struct moments *m, double *scratch)
{
    double *d = scratch, *md = scratch + m->p, d2;

    assert(!m->by_rows);
    for (size_t i = 0; i < m->p; i++)
        d[i] = m->mean_x[i] - m->shift[i];
    d2 = linalg_sum_squares(m->p, d);
    if (d2 == 0)
        return m->sum_s2;
    tiles_matvec(&m->xx, d, md);
    return m->sum_s2 + 4 * linalg_dot(m->p, d, md) + 3 * m->weight * d2 * d2 -
           4 * linalg_dot(m->p, d, m->sum_sx) + 2 * d2 * tiles_trace(&m->xx);
}
