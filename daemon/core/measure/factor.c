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

int factor_features(const struct moments *m, const double *scale, double ridge, double *factor)
{
    size_t p = m->p;

    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++)
            memcpy(factor + (t.row + i) * p + t.col, t.values + i * t.n_cols,
                   t.n_cols * sizeof(double));
    }
    if (scale)
        scale_both(p, scale, factor);
    for (size_t i = 0; i < p; i++)
        factor[i * (p + 1)] += ridge;
    return linalg_cholesky(p, factor);
}

double factor_cost(size_t p, size_t n_sides)
{
    return (double)p * (double)p * ((double)p / 3 + (double)n_sides);
}
