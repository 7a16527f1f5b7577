#include "daemon/core/estimate/kernel.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int kernel_init(struct kernel *kernel, const struct moments *m)
{
    size_t n = m->reservoir->n_seen, t = smaller(m->p, TILE_ORDER);

    assert(m->by_rows && reservoir_has_all(m->reservoir));
    *kernel = (struct kernel){
        .n = n,
        .root = malloc(n * sizeof(double)),
        .k = malloc(n * n * sizeof(double)),
        .slice = malloc(t * n * sizeof(double)),
    };
    if (!kernel->root || !kernel->k || !kernel->slice) {
        kernel_release(kernel);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        kernel->root[i] = sqrt(m->reservoir->weight[i]);
    for (size_t first = 0; first < m->p; first += t) {
        size_t n_cols = smaller(m->p - first, t);

        kernel_slice(kernel, m, first, n_cols);
        linalg_gram_f64(n_cols, n, kernel->slice, n, first > 0, kernel->k, n);
    }
    return 0;
}

void kernel_release(struct kernel *kernel)
{
    free(kernel->root);
    free(kernel->k);
    free(kernel->slice);
    memset(kernel, 0, sizeof *kernel);
}

void kernel_slice(struct kernel *kernel, const struct moments *m, size_t first, size_t n_cols)
{
    assert(n_cols <= TILE_ORDER && first + n_cols <= m->p);
    for (size_t i = 0; i < kernel->n; i++) {
        const double *x = m->reservoir->x + i * m->p + first;

        for (size_t c = 0; c < n_cols; c++)
            kernel->slice[c * kernel->n + i] = kernel->root[i] * (x[c] - m->mean_x[first + c]);
    }
}

double kernel_trace(const struct kernel *kernel)
{
    double sum = 0;

    for (size_t i = 0; i < kernel->n; i++)
        sum += kernel->k[i * (kernel->n + 1)];
    return sum;
}

double kernel_sum_squares(const struct kernel *kernel)
{
    double sum = 0;

    for (size_t i = 0; i < kernel->n; i++) {
        const double *row = kernel->k + i * (kernel->n + 1);

        sum += row[0] * row[0] + 2 * linalg_sum_squares(kernel->n - i - 1, row + 1);
    }
    return sum;
}

/* w |x - m|^2, which is on the diagonal, over sqrt(w): 0 for a row that weighs nothing. */
static double rooted_square(const struct kernel *kernel, size_t i)
{
    return kernel->root[i] > 0 ? kernel->k[i * (kernel->n + 1)] / kernel->root[i] : 0;
}

double kernel_fourth(const struct kernel *kernel)
{
    double sum = 0;

    for (size_t i = 0; i < kernel->n; i++)
        sum += rooted_square(kernel, i) * rooted_square(kernel, i);
    return sum;
}

void kernel_rooted_squares(const struct kernel *kernel, double *out)
{
    for (size_t i = 0; i < kernel->n; i++)
        out[i] = rooted_square(kernel, i);
}
