#include "daemon/core/estimate/projector.h"

#include <assert.h>

/* The share of the features that rounding of the outputs hides. */
static double hidden_share(enum dtype outputs)
{
    return outputs == DTYPE_BF16 ? 1e-3 : outputs == DTYPE_F16 ? 1e-4 : 1e-6;
}

bool projector_takes_top(const struct projector_signs *signs)
{
    if (signs->r >= signs->n - 1)
        return signs->c >= signs->p;
    return signs->r > signs->p / 2 && signs->u >= 1 - hidden_share(signs->outputs);
}

/* Eigenvalues below zero are rounding, and no energy. */
static size_t count_energy(double share, size_t n, const double *l, size_t rank)
{
    double all = 0, sum = 0;
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        all += l[i] > 0 ? l[i] : 0;
    while (k < rank && sum < share * all)
        sum += l[n - 1 - k++];
    return k;
}

size_t projector_count(const struct projector *projector, size_t n, const double *l, size_t rank)
{
    assert(projector->kind != PROJECTOR_AUTO && rank <= n);
    if (projector->kind != PROJECTOR_TOP)
        return rank;
    if (projector->k > 0)
        return projector->k < rank ? projector->k : rank;
    return count_energy(projector->energy, n, l, rank);
}

double projector_weight(const struct projector *projector, double l, double largest)
{
    return projector->kind == PROJECTOR_RIDGE ? l / (l + projector->lambda * largest) : 1;
}
