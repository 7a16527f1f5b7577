#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/moments.h"

struct combination moments_combination(const struct moments *m, double decay, double weight)
{
    double old = m->weight * decay, all = old + weight;

    assert(decay >= 0 && decay <= 1 && weight >= 0 && all > 0);
    return (struct combination){
        .decay = m->weight > 0 ? decay : 0,
        .scale = 1,
        .between = old * weight / all,
        .step = weight / all,
    };
}

/* The n values of the view's xx from row `i`, column `j` on, as doubles. What lies left of the
 * diagonal is nobody's to read, and 0 where the view does not have it. */
static void view_read(const struct moments_view *view, size_t p, size_t i, size_t j, size_t n,
                      double *out)
{
    size_t size = dtype_size(view->xx_dtype), at = i * p + j;

    if (view->xx_is_packed) {
        for (; j < i && n > 0; j++, n--)
            *out++ = 0;
        at = i * (2 * p - i + 1) / 2 + (j - i);
    }
    if (n > 0)
        convert_to_double(view->xx_dtype, (const char *)view->xx + at * size, n, out);
}

/* out = A x with A the xx of the view. */
static void view_matvec(const struct moments_view *view, size_t p, const double *x, double *out)
{
    double row[TILE_ORDER];

    memset(out, 0, p * sizeof *out);
    if (view->xx_dtype == DTYPE_F64 && !view->xx_is_packed) {
        linalg_symmetric_matvec_f64(p, view->xx, p, x, out);
        return;
    }
    for (size_t i = 0; i < p; i++) {
        for (size_t j = i, n; j < p; j += n) {
            n = p - j < TILE_ORDER ? p - j : TILE_ORDER;
            view_read(view, p, i, j, n, row);
            out[i] += linalg_dot(n, row, x + j);
            for (size_t k = j == i; k < n; k++)
                out[j + k] += row[k] * x[i];
        }
    }
}

static double view_trace(const struct moments_view *view, size_t p)
{
    double sum = 0, value;

    for (size_t i = 0; i < p; i++) {
        view_read(view, p, i, i, 1, &value);
        sum += value;
    }
    return sum;
}

/* The weight of n rows that came one after the other, of which the newest weighs 1. */
static double weight_of_rows(uint64_t n, double half_life_rows)
{
    double rate = -log(2) / half_life_rows;

    return half_life_rows > 0 ? expm1((double)n * rate) / expm1(rate) : (double)n;
}

/* to = decay to + scale add + between d_row d_col'. With decay 0 `to` was perhaps never written, so
 * it is not read. */
static void combine_row(size_t n, const struct combination *combination, const double *add,
                        double d_row, const double *d_col, double *to)
{
    if (combination->decay == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = combination->scale * add[j] + combination->between * d_row * d_col[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = combination->decay * to[j] + combination->scale * add[j] +
                combination->between * d_row * d_col[j];
}

static void absorb_matrices(struct moments *m, const struct moments_view *view,
                            const struct combination *combination, const double *dx,
                            const double *dy)
{
    double row[TILE_ORDER];

    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++) {
            view_read(view, m->p, t.row + i, t.col, t.n_cols, row);
            combine_row(t.n_cols, combination, row, dx[t.row + i], dx + t.col,
                        t.values + i * t.n_cols);
        }
    }
    for (size_t i = 0; i < m->p; i++)
        combine_row(m->w, combination, view->xy + i * m->w, dx[i], dy, m->xy + i * m->w);
    for (size_t i = 0; i < m->w; i++)
        combine_row(m->w - i, combination, view->yy + i * m->w + i, dy[i], dy + i,
                    m->yy + i * m->w + i);
}

/* Moves the view's sums from its mean to our shift and adds them. With e = (their mean) - (our
 * shift), z = x - (their mean), s = |z|^2 and A their xx:
 *
 *     sum w |z + e|^4         = sum_s2 + 4 e'A e + W |e|^4 + 4 e'sum_sx + 2 |e|^2 tr A
 *     sum w |z + e|^2 (z + e) = sum_sx + tr A e + 2 A e + W |e|^2 e
 *
 * and the whole enters times the combination's scale. `e` and `ae` are scratch of p doubles. */
static void absorb_fourth(struct moments *m, const struct moments_view *view,
                          const struct combination *combination, double *e, double *ae)
{
    size_t p = m->p;
    double e2, trace = view_trace(view, p), n = (double)view->n_rows, sum_s2;

    for (size_t i = 0; i < p; i++)
        e[i] = view->mean_x[i] - m->shift[i];
    e2 = linalg_sum_squares(p, e);
    view_matvec(view, p, e, ae);
    sum_s2 = view->sum_s2 + (4 * linalg_dot(p, e, ae) + n * e2 * e2 +
                             4 * linalg_dot(p, e, view->sum_sx) + 2 * e2 * trace);
    m->sum_s2 = combination->decay * m->sum_s2 + combination->scale * sum_s2;
    for (size_t i = 0; i < p; i++)
        m->sum_sx[i] =
            combination->decay * m->sum_sx[i] +
            combination->scale * (view->sum_sx[i] + trace * e[i] + 2 * ae[i] + n * e2 * e[i]);
}

static void absorb(struct moments *m, const struct moments_view *view, double half_life_rows,
                   double *dx)
{
    double *dy = dx + m->p, *scratch = dy + m->w, n = (double)view->n_rows;
    double weight = weight_of_rows(view->n_rows, half_life_rows);
    double decay = half_life_rows > 0 ? exp2(-n / half_life_rows) : 1;
    struct combination combination = moments_combination(m, decay, weight);

    combination.scale = weight / n;
    if (m->weight == 0)
        memcpy(m->shift, view->mean_x, m->p * sizeof(double));
    absorb_fourth(m, view, &combination, dx, scratch);
    for (size_t i = 0; i < m->p; i++)
        dx[i] = view->mean_x[i] - m->mean_x[i];
    for (size_t i = 0; i < m->w; i++)
        dy[i] = view->mean_y[i] - m->mean_y[i];
    absorb_matrices(m, view, &combination, dx, dy);
    for (size_t i = 0; i < m->p; i++)
        m->mean_x[i] += combination.step * dx[i];
    for (size_t i = 0; i < m->w; i++)
        m->mean_y[i] += combination.step * dy[i];
    m->weight = decay * m->weight + weight;
    m->weight_sq = decay * decay * m->weight_sq + weight * weight / n;
    m->n_rows += view->n_rows;
    if (m->reservoir)
        m->reservoir->broken = true;
}

int moments_absorb(struct moments *m, const struct moments_view *view, double half_life_rows)
{
    double *scratch;

    assert(m->k == 0 && !m->classes &&
           (view->xx_dtype == DTYPE_F32 || view->xx_dtype == DTYPE_F64));
    if (view->n_rows == 0)
        return 0;
    scratch = calloc(2 * m->p + m->w, sizeof *scratch);
    if (!scratch || moments_make_xx(m) < 0) {
        free(scratch);
        return -ENOMEM;
    }
    absorb(m, view, half_life_rows, scratch);
    free(scratch);
    return 0;
}
