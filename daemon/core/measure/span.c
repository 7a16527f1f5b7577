#include "daemon/core/measure/span.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* Rows of X'Q made at a time: they stay in cache. */
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

/* Row `k` of `v` is the vector of the k-th largest of the eigenvalues `l`, of which c - 1 is the
 * largest; `step` is where the next one's row is. */
static int fill_basis(struct span *s, const struct projector *q, const double *l, const double *v,
                      ptrdiff_t step)
{
    size_t c = s->n_columns, r = s->rank;

    s->basis = malloc(c * r * sizeof(double));
    if (!s->basis)
        return -ENOMEM;
    for (size_t k = 0; k < r; k++, v += step) {
        double weight = projector_weight(q, l[c - 1 - k], l[c - 1]);
        double scale = sqrt(weight / l[c - 1 - k]);

        s->trace += weight;
        s->norm_sq += weight * weight;
        for (size_t j = 0; j < c; j++)
            s->basis[j * r + k] = v[j] * scale;
    }
    return 0;
}

/* What rounding alone may make of an eigenvalue (span.h). */
static double rounding(const struct span *s, const struct moments *m, enum dtype sent,
                       double largest)
{
    double e = dtype_epsilon(sent), mean_sq = 0;

    for (size_t j = 0; j < s->n_columns; j++) {
        double mean = m->mean_y[s->first + j];

        mean_sq = mean * mean > mean_sq ? mean * mean : mean_sq;
    }
    return span_cutoff(sent) * largest + e * e / 6 * m->weight * mean_sq;
}

/* The directions that vary, and of them as many as the projector keeps. */
static void count_rank(struct span *s, const struct moments *m, const double *l, enum dtype sent,
                       const struct projector *q)
{
    size_t c = s->n_columns, rank = 0;
    double floor = rounding(s, m, sent, l[c - 1]);

    while (rank < c && rank + 1 < m->n_rows && l[c - 1 - rank] > floor)
        rank++;
    s->rank = projector_count(q, c, l, rank);
    s->is_whole = s->rank == rank && q->kind != PROJECTOR_RIDGE;
}

/* All vectors at once: those that span and ridge need. */
static int find_all(struct span *s, const struct moments *m, double *a, double *l, enum dtype sent,
                    const struct projector *q)
{
    size_t c = s->n_columns;
    int rc = linalg_eigh(c, a, l);

    if (rc < 0)
        return rc;
    count_rank(s, m, l, sent, q);
    return s->rank > 0 ? fill_basis(s, q, l, a + (c - 1) * c, -(ptrdiff_t)c) : 0;
}

/* All values, then the leading vectors alone: the rest of them would cost twice what these do. */
static int find_leading(struct span *s, const struct moments *m, double *a, double *l,
                        enum dtype sent, const struct projector *q)
{
    size_t c = s->n_columns;
    struct linalg_tridiagonal t;
    double *v = NULL;
    int rc = linalg_tridiagonal_init(&t, c, a, l);

    if (rc == 0)
        count_rank(s, m, l, sent, q);
    if (rc == 0 && s->rank > 0) {
        v = malloc(s->rank * c * sizeof *v);
        rc = v ? linalg_tridiagonal_leading(&t, s->rank, v) : -ENOMEM;
    }
    if (rc == 0 && s->rank > 0)
        rc = fill_basis(s, q, l, v + (s->rank - 1) * c, -(ptrdiff_t)c);
    free(v);
    linalg_tridiagonal_release(&t);
    return rc;
}

int span_init_projected(struct span *s, const struct moments *m, size_t first, size_t n_columns,
                        enum dtype sent, const struct projector *q)
{
    size_t c = n_columns;
    double *a = malloc((c * c + c) * sizeof(double)), *l;
    int rc;

    *s = (struct span){.first = first, .n_columns = c};
    if (!a)
        return -ENOMEM;
    l = a + c * c;
    for (size_t i = 0; i < c; i++)
        memcpy(a + i * c, m->yy + (first + i) * m->w + first, c * sizeof(double));
    if (c == 0)
        rc = 0;
    else if (q->kind == PROJECTOR_TOP)
        rc = find_leading(s, m, a, l, sent, q);
    else
        rc = find_all(s, m, a, l, sent, q);
    free(a);
    return rc;
}

int span_init(struct span *s, const struct moments *m, size_t first, size_t n_columns,
              enum dtype sent)
{
    return span_init_projected(s, m, first, n_columns, sent,
                               &(struct projector){.kind = PROJECTOR_SPAN});
}

void span_release(struct span *s)
{
    free(s->basis);
    memset(s, 0, sizeof *s);
}

void span_rows(const struct span *s, const struct moments *m, size_t from, size_t n, double *out)
{
    linalg_product_f64(n, s->n_columns, s->rank, m->xy + from * m->w + s->first, m->w, s->basis,
                       s->rank, out, s->rank);
}

int span_variation(const struct span *s, const struct moments *m, double *out)
{
    double *rows;

    *out = 0;
    if (s->rank == 0)
        return 0;
    rows = malloc(CHUNK_ROWS * s->rank * sizeof(double));
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < m->p; i += CHUNK_ROWS) {
        size_t n = m->p - i < CHUNK_ROWS ? m->p - i : CHUNK_ROWS;

        span_rows(s, m, i, n, rows);
        *out += linalg_sum_squares(n * s->rank, rows);
    }
    free(rows);
    return 0;
}
