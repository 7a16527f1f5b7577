#include "daemon/core/measure/kernel.h"

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

int kernel_init(struct kernel *k, const struct moments *m)
{
    size_t n = m->reservoir->n_seen, t = smaller(m->p, TILE_ORDER);

    assert(m->by_rows && reservoir_has_all(m->reservoir));
    *k = (struct kernel){
        .n = n,
        .root = malloc(n * sizeof(double)),
        .k = malloc(n * n * sizeof(double)),
        .slice = malloc(t * n * sizeof(double)),
    };
    if (!k->root || !k->k || !k->slice) {
        kernel_release(k);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        k->root[i] = sqrt(m->reservoir->weight[i]);
    for (size_t first = 0; first < m->p; first += t) {
        size_t n_cols = smaller(m->p - first, t);

        kernel_slice(k, m, first, n_cols);
        linalg_gram_f64(n_cols, n, k->slice, n, first > 0, k->k, n);
    }
    return 0;
}

void kernel_release(struct kernel *k)
{
    free(k->root);
    free(k->k);
    free(k->slice);
    memset(k, 0, sizeof *k);
}

void kernel_slice(struct kernel *k, const struct moments *m, size_t first, size_t n_cols)
{
    for (size_t i = 0; i < k->n; i++) {
        const double *x = m->reservoir->x + i * m->p + first;

        for (size_t c = 0; c < n_cols; c++)
            k->slice[c * k->n + i] = k->root[i] * (x[c] - m->mean_x[first + c]);
    }
}

double kernel_trace(const struct kernel *k)
{
    double sum = 0;

    for (size_t i = 0; i < k->n; i++)
        sum += k->k[i * (k->n + 1)];
    return sum;
}

double kernel_sum_squares(const struct kernel *k)
{
    double sum = 0;

    for (size_t i = 0; i < k->n; i++) {
        const double *row = k->k + i * (k->n + 1);

        sum += row[0] * row[0] + 2 * linalg_sum_squares(k->n - i - 1, row + 1);
    }
    return sum;
}

/* w |x - m|^2, which is on the diagonal, over sqrt(w): 0 for a row that weighs nothing. */
static double rooted_square(const struct kernel *k, size_t i)
{
    return k->root[i] > 0 ? k->k[i * (k->n + 1)] / k->root[i] : 0;
}

double kernel_fourth(const struct kernel *k)
{
    double sum = 0;

    for (size_t i = 0; i < k->n; i++)
        sum += rooted_square(k, i) * rooted_square(k, i);
    return sum;
}

int kernel_third(struct kernel *k, const struct moments *m, double *out)
{
    double *s = malloc(k->n * sizeof *s);

    if (!s)
        return -ENOMEM;
    for (size_t i = 0; i < k->n; i++)
        s[i] = rooted_square(k, i);
    memset(out, 0, m->p * sizeof *out);
    for (size_t first = 0; first < m->p; first += TILE_ORDER) {
        size_t n_cols = smaller(m->p - first, TILE_ORDER);

        kernel_slice(k, m, first, n_cols);
        linalg_matvec_f64(false, n_cols, k->n, k->slice, k->n, s, out + first);
    }
    free(s);
    return 0;
}
