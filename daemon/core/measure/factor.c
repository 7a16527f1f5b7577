#include "daemon/core/measure/factor.h"

#include <string.h>

#include "daemon/core/matrix/linalg.h"

static void scale_both(size_t p, const double *scale, double *matrix)
{
    for (size_t i = 0; i < p; i++) {
        for (size_t j = i; j < p; j++)
            matrix[i * p + j] *= scale[i] * scale[j];
    }
}

void factor_read(const struct moments *m, const double *scale, double *matrix)
{
    size_t p = m->p;

    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++)
            memcpy(matrix + (t.row + i) * p + t.col, t.values + i * t.n_cols,
                   t.n_cols * sizeof(double));
    }
    if (scale)
        scale_both(p, scale, matrix);
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
