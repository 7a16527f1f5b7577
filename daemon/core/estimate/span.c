#include "daemon/core/estimate/span.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* Rows of X'Q that are made at a time: they stay in cache. */
#define CHUNK_ROWS 256

double span_cutoff(enum dtype d)
{
    switch (d) {
    case DTYPE_F16:
        return 1e-6;
    case DTYPE_BF16:
        return 1e-5;
    default:
        return 1e-10;
    }
}

/* `v` is the eigenvector of the largest of the eigenvalues `l` (ascending); the vector of the next
 * smaller one is `step` elements further. */
static int fill_basis(struct span *span, const struct projector *projector, const double *l,
                      const double *v, ptrdiff_t step)
{
    size_t c = span->n_columns, r = span->rank;

    span->basis = malloc(c * r * sizeof(double));
    if (!span->basis)
        return -ENOMEM;
    for (size_t k = 0; k < r; k++, v += step) {
        double weight = projector_weight(projector, l[c - 1 - k], l[c - 1]);
        double scale = sqrt(weight / l[c - 1 - k]);

        span->trace += weight;
        span->norm_sq += weight * weight;
        for (size_t j = 0; j < c; j++)
            span->basis[j * r + k] = v[j] * scale;
    }
    return 0;
}

/* The largest eigenvalue that rounding alone may make (span.h). */
static double rounding(const struct span *span, const struct moments *m, enum dtype sent,
                       double largest)
{
    bool is_made = m->from_head && span->first < m->c;
    double e = is_made ? 0 : dtype_epsilon(sent), mean_sq = 0;

    for (size_t j = 0; j < span->n_columns; j++) {
        double mean = m->mean_y[span->first + j];

        mean_sq = mean * mean > mean_sq ? mean * mean : mean_sq;
    }
    return span_cutoff(sent) * largest + e * e / 6 * m->weight * mean_sq;
}

/* Counts the directions that vary, and those of them that the projector keeps. */
static void count_rank(struct span *span, const struct moments *m, const double *l, enum dtype sent,
                       const struct projector *projector)
{
    size_t c = span->n_columns, rank = 0;
    double floor = rounding(span, m, sent, l[c - 1]);

    while (rank < c && rank + 1 < m->n_rows && l[c - 1 - rank] > floor)
        rank++;
    span->rank = projector_count(projector, c, l, rank);
    span->is_whole = span->rank == rank && projector->kind != PROJECTOR_RIDGE;
}

/* All vectors at once: span and ridge need them. */
static int find_all(struct span *span, const struct moments *m, double *a, double *l,
                    enum dtype sent, const struct projector *projector)
{
    size_t c = span->n_columns;
    int rc = linalg_eigh(c, a, l);

    if (rc < 0)
        return rc;
    count_rank(span, m, l, sent, projector);
    return span->rank > 0 ? fill_basis(span, projector, l, a + (c - 1) * c, -(ptrdiff_t)c) : 0;
}

/* All values, then the leading vectors alone: all vectors would cost three times as much. */
static int find_leading(struct span *span, const struct moments *m, double *a, double *l,
                        enum dtype sent, const struct projector *projector)
{
    size_t c = span->n_columns;
    struct linalg_tridiagonal t;
    double *v = NULL;
    int rc = linalg_tridiagonal_init(&t, c, a, l);

    if (rc == 0)
        count_rank(span, m, l, sent, projector);
    if (rc == 0 && span->rank > 0) {
        v = malloc(span->rank * c * sizeof *v);
        rc = v ? linalg_tridiagonal_leading(&t, span->rank, v) : -ENOMEM;
    }
    if (rc == 0 && span->rank > 0)
        rc = fill_basis(span, projector, l, v + (span->rank - 1) * c, -(ptrdiff_t)c);
    free(v);
    linalg_tridiagonal_release(&t);
    return rc;
}

int span_init_projected(struct span *span, const struct moments *m, size_t first, size_t n_columns,
                        enum dtype sent, const struct projector *projector)
{
    size_t c = n_columns;
    double *a = malloc((c * c + c) * sizeof(double)), *l;
    int rc;

    assert(first + n_columns <= m->w && projector->kind != PROJECTOR_AUTO);
    *span = (struct span){.first = first, .n_columns = c};
    if (!a)
        return -ENOMEM;
    l = a + c * c;
    for (size_t i = 0; i < c; i++)
        memcpy(a + i * c, m->yy + (first + i) * m->w + first, c * sizeof(double));
    if (c == 0)
        rc = 0;
    else if (projector->kind == PROJECTOR_TOP)
        rc = find_leading(span, m, a, l, sent, projector);
    else
        rc = find_all(span, m, a, l, sent, projector);
    free(a);
    return rc;
}

int span_init(struct span *span, const struct moments *m, size_t first, size_t n_columns,
              enum dtype sent)
{
    return span_init_projected(span, m, first, n_columns, sent,
                               &(struct projector){.kind = PROJECTOR_SPAN});
}

void span_release(struct span *span)
{
    free(span->basis);
    memset(span, 0, sizeof *span);
}

void span_rows(const struct span *span, const struct moments *m, size_t from, size_t n, double *out)
{
    assert(from + n <= m->p);
    linalg_product_f64(n, span->n_columns, span->rank, m->xy + from * m->w + span->first, m->w,
                       span->basis, span->rank, out, span->rank);
}

int span_variation(const struct span *span, const struct moments *m, double *out)
{
    double *rows;

    *out = 0;
    if (span->rank == 0)
        return 0;
    rows = malloc(CHUNK_ROWS * span->rank * sizeof(double));
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < m->p; i += CHUNK_ROWS) {
        size_t n = m->p - i < CHUNK_ROWS ? m->p - i : CHUNK_ROWS;

        span_rows(span, m, i, n, rows);
        *out += linalg_sum_squares(n * span->rank, rows);
    }
    free(rows);
    return 0;
}
