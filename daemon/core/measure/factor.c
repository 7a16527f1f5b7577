#include "daemon/core/measure/factor.h"

#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/vector.h"

VECTOR_CLONES
static void scale_row(size_t n, double factor, const double *scale, const double *from, double *to)
{
    for (size_t j = 0; j < n; j++)
        to[j] = factor * scale[j] * from[j];
}

void factor_read(const struct moments *m, const double *scale, double *matrix)
{
    size_t p = m->p;

    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++) {
            const double *from = t.values + i * t.n_cols;
            double *to = matrix + (t.row + i) * p + t.col;

            if (scale)
                scale_row(t.n_cols, scale[t.row + i], scale + t.col, from, to);
            else
                memcpy(to, from, t.n_cols * sizeof(double));
        }
    }
}

int factor_features(const struct moments *m, const double *scale, double ridge, double *factor)
{
    factor_read(m, scale, factor);
    for (size_t i = 0; i < m->p; i++)
        factor[i * (m->p + 1)] += ridge;
    return linalg_cholesky(m->p, factor);
}

double factor_cost(size_t p, size_t n_sides)
{
    return (double)p * (double)p * ((double)p / 3 + (double)n_sides);
}
