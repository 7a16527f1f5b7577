#include "daemon/core/moments/head.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"

/* R; X'Y~ and Y~'Y~ with the targets' columns; the matrix that is decomposed, its eigenvectors and
 * the basis made of them; LAPACK's work for all vectors, which spans and ridges need; the outputs
 * of the rows that are kept. */
double head_size_bytes(size_t p, size_t k)
{
    double pd = (double)p, w = pd + (double)k, n = (double)reservoir_rows_max(p, k);

    return sizeof(double) * (pd * pd + pd * w + w * w + (3 + 2) * pd * pd + n * w);
}

struct head *head_new(size_t p, size_t c)
{
    struct head *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->p = p;
    h->c = c;
    h->r = calloc(p * p, sizeof *h->r);
    if (!h->r) {
        free(h);
        return NULL;
    }
    return h;
}

void head_free(struct head *h)
{
    if (!h)
        return;
    free(h->r);
    free(h);
}

void head_reset(struct head *h)
{
    h->n_rows = 0;
    h->dtype = DTYPE_NONE;
}

bool head_is_complete(const struct head *h)
{
    return h->n_rows == h->p;
}

static int refuse_slice(struct head *h, const struct head_slice *s, struct err *why)
{
    size_t expected = h->n_rows;

    head_reset(h);
    return err_set(why, -EINVAL,
                   "the slice of the head begins with row %zu, expected %zu: one before it is "
                   "missing",
                   s->first, expected);
}

int head_take(struct head *h, const struct head_slice *s, struct err *why)
{
    const char *at = s->values;

    if (s->first == 0)
        head_reset(h);
    if (s->first != h->n_rows || s->n > h->p - s->first)
        return refuse_slice(h, s, why);
    for (size_t i = s->first; i < s->first + s->n; i++) {
        size_t n = h->p - i, bad = convert_find_nonfinite(s->dtype, at, n);

        if (bad < n) {
            head_reset(h);
            return err_set(why, -EINVAL, "the head is not finite at row %zu, column %zu", i,
                           i + bad);
        }
        convert_to_double(s->dtype, at, n, h->r + i * h->p + i);
        at += n * dtype_size(s->dtype);
    }
    h->n_rows += s->n;
    if (dtype_epsilon(s->dtype) > dtype_epsilon(h->dtype) || h->dtype == DTYPE_NONE)
        h->dtype = s->dtype;
    return 0;
}

/* ---- the outputs --------------------------------------------------------------------------- */

/* Both triangles of X'X into the first p columns of X'Y, and the targets' columns behind them. */
static void expand(const struct moments *m, struct moments *out)
{
    size_t w = out->w;

    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++) {
            for (size_t j = t.row == t.col ? i : 0; j < t.n_cols; j++) {
                double value = t.values[i * t.n_cols + j];

                out->xy[(t.row + i) * w + t.col + j] = value;
                out->xy[(t.col + j) * w + t.row + i] = value;
            }
        }
    }
    for (size_t i = 0; m->k > 0 && i < m->p; i++)
        memcpy(out->xy + i * w + m->p, m->xy + i * m->w, m->k * sizeof *out->xy);
}

/* X'Y~ = S R', then R times all of X'Y for the outputs' rows of Y'Y, and the targets' own. */
static void fill_products(const struct head *h, const struct moments *m, struct moments *out)
{
    size_t p = m->p, w = out->w;

    expand(m, out);
    linalg_times_triangle_transposed(p, p, h->r, out->xy, w);
    memcpy(out->yy, out->xy, p * w * sizeof *out->yy);
    linalg_triangle_times(p, w, h->r, out->yy, w);
    for (size_t i = 0; i < m->k; i++)
        memcpy(out->yy + (p + i) * w + p + i, m->yy + i * m->w + i, (m->k - i) * sizeof *out->yy);
}

/* out (p, then k targets) = R x, and the targets. */
static void fill_row(const struct head *h, const double *x, const double *targets, size_t k,
                     double *out)
{
    memset(out, 0, h->p * sizeof *out);
    linalg_matvec_f64(false, h->p, h->p, h->r, h->p, x, out);
    if (k > 0)
        memcpy(out + h->p, targets, k * sizeof *out);
}

/* Copies of the kept rows' outputs; places that were never written are not read by anyone. */
static int fill_kept(const struct head *h, const struct moments *m, struct moments *out)
{
    const struct reservoir *from = m->reservoir;
    size_t p = m->p, w = out->w, n = reservoir_capacity(from);
    struct reservoir *to = malloc(sizeof *to);

    if (n > from->n_seen)
        n = (size_t)from->n_seen;
    if (!to)
        return -ENOMEM;
    *to = *from;
    to->w = w;
    to->y = malloc((n > 0 ? n : 1) * w * sizeof *to->y);
    if (!to->y) {
        free(to);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(to->y + i * w, from->x + i * p, p * sizeof *to->y);
        if (m->k > 0)
            memcpy(to->y + i * w + p, from->y + i * m->w, m->k * sizeof *to->y);
    }
    linalg_times_triangle_transposed(n, p, h->r, to->y, w);
    out->reservoir = to;
    return 0;
}

int head_outputs(const struct head *h, const struct moments *m, struct moments *out)
{
    size_t p = m->p, w = p + m->k;

    assert(m->c == 0 && !m->by_rows && h->p == p);
    *out = *m;
    out->c = p;
    out->w = w;
    out->reservoir = NULL;
    out->xy = malloc(p * w * sizeof *out->xy);
    out->yy = malloc(w * w * sizeof *out->yy);
    out->mean_y = malloc(w * sizeof *out->mean_y);
    if (!out->xy || !out->yy || !out->mean_y || (m->reservoir && fill_kept(h, m, out) < 0)) {
        head_release_outputs(out);
        return -ENOMEM;
    }
    fill_products(h, m, out);
    fill_row(h, m->mean_x, m->mean_y, m->k, out->mean_y);
    return 0;
}

void head_release_outputs(struct moments *m)
{
    free(m->xy);
    free(m->yy);
    free(m->mean_y);
    if (m->reservoir)
        free(m->reservoir->y);
    free(m->reservoir);
    memset(m, 0, sizeof *m);
}
