#include "daemon/core/moments/moments.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"

double moments_size_bytes(size_t p, size_t w)
{
    double pd = (double)p, wd = (double)w, side = pd < TILE_ORDER ? pd : TILE_ORDER;

    return sizeof(double) * (pd * (pd + side) / 2 + pd * wd + wd * wd + 3 * pd + wd);
}

int moments_init(struct moments *m, size_t p, size_t c, size_t k)
{
    size_t w = c + k;

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

/* The matrices keep their old values: with weight 0 the next part replaces them (decay = 0). The
 * vectors are small and read before that, so they are cleared. */
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

struct combination moments_combination(const struct moments *m, double decay, double weight)
{
    double old = m->weight * decay, all = old + weight;

    return (struct combination){
        .decay = m->weight > 0 ? decay : 0,
        .between = old * weight / all,
        .step = weight / all,
    };
}

/* The part that is merged: a view, or other moments. Vectors are theirs; `shift` is NULL when the
 * sums are about the mean. */
struct part {
    double weight, weight_sq, sum_s2;
    const double *mean_x, *mean_y, *shift, *xy, *yy, *sum_sx;
    const struct tiles *tiles; /* xx as tiles, or */
    const struct moments_view *view;
};

/* out = A x with A the xx of the part. */
static void part_matvec(const struct part *b, size_t p, const double *x, double *out)
{
    const float *row;

    if (b->tiles) {
        tiles_matvec(b->tiles, x, out);
        return;
    }
    memset(out, 0, p * sizeof *out);
    if (b->view->xx_dtype == DTYPE_F64) {
        linalg_symmetric_matvec_f64(p, b->view->xx, p, x, out);
        return;
    }
    for (size_t i = 0; i < p; i++) {
        row = (const float *)b->view->xx + i * p;
        out[i] += row[i] * x[i];
        for (size_t j = i + 1; j < p; j++) {
            out[i] += row[j] * x[j];
            out[j] += row[j] * x[i];
        }
    }
}

static double part_trace(const struct part *b, size_t p)
{
    double sum = 0, value;

    if (b->tiles)
        return tiles_trace(b->tiles);
    for (size_t i = 0; i < p; i++) {
        convert_to_double(b->view->xx_dtype,
                          (const char *)b->view->xx + i * (p + 1) * dtype_size(b->view->xx_dtype),
                          1, &value);
        sum += value;
    }
    return sum;
}

/* Row `i` of the part's tile that lies like `t`, as doubles. */
static const double *part_tile_row(const struct part *b, size_t p, size_t k, const struct tile *t,
                                   size_t i, double *buffer)
{
    size_t at = (t->row + i) * p + t->col, size;

    if (b->tiles)
        return tiles_at(b->tiles, k).values + i * t->n_cols;
    size = dtype_size(b->view->xx_dtype);
    convert_to_double(b->view->xx_dtype, (const char *)b->view->xx + at * size, t->n_cols, buffer);
    return buffer;
}

/* to = decay to + add + between d_row d_col'; decay = 0 must not multiply what was never written.
 */
static void combine_row(size_t n, const struct combination *k, const double *add, double d_row,
                        const double *d_col, double *to)
{
    if (k->decay == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = add[j] + k->between * d_row * d_col[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = k->decay * to[j] + add[j] + k->between * d_row * d_col[j];
}

static void merge_matrices(struct moments *m, const struct part *b, const struct combination *k,
                           const double *dx, const double *dy)
{
    double buffer[TILE_ORDER];

    for (size_t t = 0; t < m->xx.n_tiles; t++) {
        struct tile tile = tiles_at(&m->xx, t);

        for (size_t i = 0; i < tile.n_rows; i++)
            combine_row(tile.n_cols, k, part_tile_row(b, m->p, t, &tile, i, buffer),
                        dx[tile.row + i], dx + tile.col, tile.values + i * tile.n_cols);
    }
    for (size_t i = 0; i < m->p; i++)
        combine_row(m->w, k, b->xy + i * m->w, dx[i], dy, m->xy + i * m->w);
    for (size_t i = 0; i < m->w; i++)
        combine_row(m->w - i, k, b->yy + i * m->w + i, dy[i], dy + i, m->yy + i * m->w + i);
}

/* Moves the part's sums to our shift and adds them. With e = (their shift) - (our shift), A = sum w
 * z z' about their shift, u = sum w z and s1 = sum w s there: sum w s^2  += 4 e'A e + W |e|^4 + 4
 * e'v + 2 |e|^2 s1 + 4 |e|^2 e'u sum w s z  += s1 e + 2 A e + 2 (e'u) e + |e|^2 u + W |e|^2 e v =
 * sum w s z */
static void merge_fourth(struct moments *m, const struct part *b, double decay, double *e,
                         double *ae)
{
    size_t p = m->p;
    double e2, eu = 0, s1 = part_trace(b, p), sum_s2 = b->sum_s2, eae;

    for (size_t i = 0; i < p; i++)
        e[i] = (b->shift ? b->shift[i] : b->mean_x[i]) - m->shift[i];
    e2 = linalg_sum_squares(p, e);
    part_matvec(b, p, e, ae);
    if (b->shift) {
        for (size_t i = 0; i < p; i++) {
            double u = b->mean_x[i] - b->shift[i];

            eu += e[i] * u * b->weight;
            s1 += u * u * b->weight;
        }
        for (size_t i = 0; i < p; i++)
            ae[i] += (b->mean_x[i] - b->shift[i]) * eu;
    }
    eae = linalg_dot(p, e, ae);
    sum_s2 +=
        4 * eae + b->weight * e2 * e2 + 4 * linalg_dot(p, e, b->sum_sx) + 2 * e2 * s1 + 4 * e2 * eu;
    m->sum_s2 = decay * m->sum_s2 + sum_s2;
    for (size_t i = 0; i < p; i++) {
        double u = b->shift ? (b->mean_x[i] - b->shift[i]) * b->weight : 0;

        m->sum_sx[i] = decay * m->sum_sx[i] + b->sum_sx[i] + s1 * e[i] + 2 * ae[i] + 2 * eu * e[i] +
                       e2 * u + b->weight * e2 * e[i];
    }
}

static int merge_part(struct moments *m, const struct part *b, uint64_t n_rows, double decay)
{
    struct combination k = moments_combination(m, decay, b->weight);
    double *dx = calloc(2 * m->p + m->w, sizeof(double)), *scratch, *dy;

    if (!dx || moments_make_xx(m) < 0) {
        free(dx);
        return -ENOMEM;
    }
    scratch = dx + m->p;
    dy = scratch + m->p;
    if (m->weight == 0)
        memcpy(m->shift, b->shift ? b->shift : b->mean_x, m->p * sizeof(double));
    merge_fourth(m, b, decay, dx, scratch);
    for (size_t i = 0; i < m->p; i++)
        dx[i] = b->mean_x[i] - m->mean_x[i];
    for (size_t i = 0; i < m->w; i++)
        dy[i] = b->mean_y[i] - m->mean_y[i];
    merge_matrices(m, b, &k, dx, dy);
    for (size_t i = 0; i < m->p; i++)
        m->mean_x[i] += k.step * dx[i];
    for (size_t i = 0; i < m->w; i++)
        m->mean_y[i] += k.step * dy[i];
    m->weight = decay * m->weight + b->weight;
    m->weight_sq = decay * decay * m->weight_sq + b->weight_sq;
    m->n_rows += n_rows;
    if (m->reservoir)
        m->reservoir->broken = true;
    free(dx);
    return 0;
}

int moments_merge(struct moments *to, const struct moments *from)
{
    struct part b = {
        .weight = from->weight,
        .weight_sq = from->weight_sq,
        .sum_s2 = from->sum_s2,
        .mean_x = from->mean_x,
        .mean_y = from->mean_y,
        .shift = from->shift,
        .xy = from->xy,
        .yy = from->yy,
        .sum_sx = from->sum_sx,
        .tiles = &from->xx,
    };

    assert(!from->by_rows && to->p == from->p && to->c == from->c && to->k == from->k);
    return from->weight > 0 ? merge_part(to, &b, from->n_rows, 1) : 0;
}

int moments_absorb(struct moments *m, const struct moments_view *v, double decay)
{
    struct part b = {
        .weight = (double)v->n_rows,
        .weight_sq = (double)v->n_rows,
        .sum_s2 = v->sum_s2,
        .mean_x = v->mean_x,
        .mean_y = v->mean_y,
        .xy = v->xy,
        .yy = v->yy,
        .sum_sx = v->sum_sx,
        .view = v,
    };

    assert(m->k == 0);
    return v->n_rows > 0 ? merge_part(m, &b, v->n_rows, decay) : 0;
}

/* With d = m - shift, z = (x - m) + d and M = xx:
 *     sum w |x - m|^4 = sum w |z - d|^4
 *                     = sum_s2 + 4 d'(M + W d d')d + W |d|^4 - 4 d'sum_sx
 *                       + 2 |d|^2 (tr M + W |d|^2) - 4 |d|^2 W |d|^2
 *                     = sum_s2 + 4 d'M d + W |d|^4 (4 + 1 + 2 - 4) - 4 d'sum_sx + 2 |d|^2 tr M */
double moments_fourth(const struct moments *m, double *scratch)
{
    double *d = scratch, *md = scratch + m->p, d2;

    for (size_t i = 0; i < m->p; i++)
        d[i] = m->mean_x[i] - m->shift[i];
    d2 = linalg_sum_squares(m->p, d);
    if (d2 == 0)
        return m->sum_s2;
    tiles_matvec(&m->xx, d, md);
    return m->sum_s2 + 4 * linalg_dot(m->p, d, md) + 3 * m->weight * d2 * d2 -
           4 * linalg_dot(m->p, d, m->sum_sx) + 2 * d2 * tiles_trace(&m->xx);
}
