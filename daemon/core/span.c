#include "daemon/core/span.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/linalg.h"

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

/* V_r diag(l_r)^(-1/2) from the eigenvectors, which are the rows of `v`, ascending. */
static int fill_basis(struct span *s, const double *v, const double *l)
{
    size_t c = s->n_columns, r = s->rank;

    s->basis = malloc(c * r * sizeof(double));
    if (!s->basis)
        return -ENOMEM;
    for (size_t k = 0; k < r; k++) {
        double scale = 1 / sqrt(l[c - 1 - k]);

        for (size_t j = 0; j < c; j++)
            s->basis[j * r + k] = v[(c - 1 - k) * c + j] * scale;
    }
    return 0;
}

int span_init(struct span *s, const struct moments *m, size_t first, size_t n_columns,
              double cutoff)
{
    size_t c = n_columns;
    double *v = malloc((c * c + c) * sizeof(double)), *l;
    int rc;

    *s = (struct span){.first = first, .n_columns = c};
    if (!v)
        return -ENOMEM;
    l = v + c * c;
    for (size_t i = 0; i < c; i++)
        memcpy(v + i * c, m->yy + (first + i) * m->w + first, c * sizeof(double));
    rc = linalg_eigh(c, v, l);
    while (rc == 0 && s->rank < c && s->rank + 1 < m->n_rows &&
           l[c - 1 - s->rank] > cutoff * l[c - 1])
        s->rank++;
    if (rc == 0 && s->rank > 0)
        rc = fill_basis(s, v, l);
    free(v);
    return rc;
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
