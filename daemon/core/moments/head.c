#include "daemon/core/moments/head.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"

/* R; X'Y~ and Y~'Y~ with the targets' columns; the matrix that is decomposed, its eigenvectors and
 * the basis made of them; LAPACK's work for all vectors, which spans and ridges need; the outputs
 * of the reservoir's rows. */
double head_size_bytes(size_t p, size_t k)
{
    double pd = (double)p, w = pd + (double)k,
           n = (double)(reservoir_rows_max(p, k) + RESERVOIR_LONGEST);

    return sizeof(double) * (pd * pd + pd * w + w * w + (3 + 2) * pd * pd + n * w);
}

struct head *head_new(size_t p, size_t c)
{
    struct head *head = calloc(1, sizeof *head);

    assert(p > 0 && c > 0);
    if (!head)
        return NULL;
    head->p = p;
    head->c = c;
    head->r = calloc(p * p, sizeof *head->r);
    if (!head->r) {
        free(head);
        return NULL;
    }
    return head;
}

void head_free(struct head *head)
{
    if (!head)
        return;
    free(head->r);
    free(head);
}

void head_reset(struct head *head)
{
    head->n_rows = 0;
}

bool head_is_complete(const struct head *head)
{
    return head->n_rows == head->p;
}

static int refuse_slice(struct head *head, const struct head_slice *slice, struct err *why)
{
    size_t expected = head->n_rows;

    head_reset(head);
    return err_set(why, -EINVAL,
                   "the slice of the head begins with row %zu, expected %zu: one before it is "
                   "missing",
                   slice->first, expected);
}

int head_take(struct head *head, const struct head_slice *slice, struct err *why)
{
    const char *at = slice->values;

    assert(slice->dtype == DTYPE_F32 || slice->dtype == DTYPE_F64);
    if (slice->first == 0)
        head_reset(head);
    if (slice->first != head->n_rows || slice->n > head->p - slice->first)
        return refuse_slice(head, slice, why);
    for (size_t i = slice->first; i < slice->first + slice->n; i++) {
        size_t n = head->p - i, bad = convert_find_nonfinite(slice->dtype, at, n);

        if (bad < n) {
            head_reset(head);
            return err_set(why, -EINVAL, "the head is not finite at row %zu, column %zu", i,
                           i + bad);
        }
        convert_to_double(slice->dtype, at, n, head->r + i * head->p + i);
        at += n * dtype_size(slice->dtype);
    }
    head->n_rows += slice->n;
    return 0;
}

/* ---- the outputs ---- */

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
static void fill_products(const struct head *head, const struct moments *m, struct moments *out)
{
    size_t p = m->p, w = out->w;

    expand(m, out);
    linalg_times_triangle_transposed(p, p, head->r, out->xy, w);
    memcpy(out->yy, out->xy, p * w * sizeof *out->yy);
    linalg_triangle_times(p, w, head->r, out->yy, w);
    for (size_t i = 0; i < m->k; i++)
        memcpy(out->yy + (p + i) * w + p + i, m->yy + i * m->w + i, (m->k - i) * sizeof *out->yy);
}

/* out (p, then k targets) = R x, and the targets. */
static void fill_row(const struct head *head, const double *x, const double *targets, size_t k,
                     double *out)
{
    memset(out, 0, head->p * sizeof *out);
    linalg_matvec_f64(false, head->p, head->p, head->r, head->p, x, out);
    if (k > 0)
        memcpy(out + head->p, targets, k * sizeof *out);
}

/* A reservoir with Y~ for the outputs of its rows. Places that were never written are not read. */
static int fill_reservoir(const struct head *head, const struct moments *m, struct moments *out)
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
    to->y = malloc((reservoir_capacity(from) + RESERVOIR_LONGEST) * w * sizeof *to->y);
    if (!to->y) {
        free(to);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(to->y + i * w, from->x + i * p, p * sizeof *to->y);
        if (m->k > 0)
            memcpy(to->y + i * w + p, from->y + i * m->w, m->k * sizeof *to->y);
    }
    linalg_times_triangle_transposed(n, p, head->r, to->y, w);
    for (size_t i = 0, at = reservoir_capacity(from); i < from->n_longest; i++)
        memcpy(to->y + (at + i) * w, from->x + (at + i) * p, p * sizeof *to->y);
    linalg_times_triangle_transposed(from->n_longest, p, head->r,
                                     to->y + reservoir_capacity(from) * w, w);
    out->reservoir = to;
    return 0;
}

int head_outputs(const struct head *head, const struct moments *m, struct moments *out)
{
    size_t p = m->p, w = p + m->k;

    assert(m->c == 0 && !m->by_rows && head->p == p);
    *out = *m;
    out->c = p;
    out->w = w;
    out->reservoir = NULL;
    out->from_head = true;
    out->xy = malloc(p * w * sizeof *out->xy);
    out->yy = malloc(w * w * sizeof *out->yy);
    out->mean_y = malloc(w * sizeof *out->mean_y);
    if (!out->xy || !out->yy || !out->mean_y ||
        (m->reservoir && fill_reservoir(head, m, out) < 0)) {
        head_release_outputs(out);
        return -ENOMEM;
    }
    fill_products(head, m, out);
    fill_row(head, m->mean_x, m->mean_y, m->k, out->mean_y);
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
