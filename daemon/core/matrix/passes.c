#include "daemon/core/matrix/passes.h"

#include <stdbool.h>

#include "daemon/core/matrix/vector.h"

/* What follows is written once and compiled for each format: `wide` is a constant where it is
 * inlined. */
#define INLINE static inline __attribute__((always_inline))

typedef float any_float __attribute__((aligned(1), may_alias));
typedef double any_double __attribute__((aligned(1), may_alias));

INLINE double value(bool wide, const void *x, size_t j)
{
    return wide ? ((const any_double *)x)[j] : (double)((const any_float *)x)[j];
}

INLINE void sum_one(bool wide, size_t n, double weight, const void *x, const double *pivot,
                    double *restrict sum)
{
    for (size_t j = 0; j < n; j++)
        sum[j] += weight * (value(wide, x, j) - pivot[j]);
}

INLINE void sum_four(bool wide, size_t n, const double *w, const void *const *x,
                     const double *pivot, double *restrict sum)
{
    const double w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    const void *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];

    for (size_t j = 0; j < n; j++)
        sum[j] += w0 * (value(wide, x0, j) - pivot[j]) + w1 * (value(wide, x1, j) - pivot[j]) +
                  w2 * (value(wide, x2, j) - pivot[j]) + w3 * (value(wide, x3, j) - pivot[j]);
}

INLINE void sum_rows(bool wide, size_t n_rows, size_t n, const double *weight, const void *const *x,
                     const double *pivot, double *sum)
{
    if (n_rows == PASSES_ROWS) {
        sum_four(wide, n, weight, x, pivot, sum);
        return;
    }
    for (size_t i = 0; i < n_rows; i++)
        sum_one(wide, n, weight[i], x[i], pivot, sum);
}

VECTOR_CLONES void passes_sum_f32(size_t n_rows, size_t n, const double *weight,
                                  const void *const *x, const double *pivot, double *sum)
{
    sum_rows(false, n_rows, n, weight, x, pivot, sum);
}

VECTOR_CLONES void passes_sum_f64(size_t n_rows, size_t n, const double *weight,
                                  const void *const *x, const double *pivot, double *sum)
{
    sum_rows(true, n_rows, n, weight, x, pivot, sum);
}

INLINE void centre_pair(bool wide, size_t n, const struct passes_pair *pair, const void *const x[2],
                        void *restrict to_0, void *restrict to_1, double squares[2])
{
    const double *mean = pair->mean, *shift = pair->shift;
    const double c0 = pair->cosine * pair->factor[0], s1 = pair->sine * pair->factor[1];
    const double c1 = pair->cosine * pair->factor[1], s0 = pair->sine * pair->factor[0];
    const void *x0 = x[0], *x1 = x[1];
    double squares_0 = 0, squares_1 = 0;

#pragma omp simd reduction(+ : squares_0, squares_1)
    for (size_t j = 0; j < n; j++) {
        double a = value(wide, x0, j), b = value(wide, x1, j);

        squares_0 += (a - shift[j]) * (a - shift[j]);
        squares_1 += (b - shift[j]) * (b - shift[j]);
        a -= mean[j];
        b -= mean[j];
        if (wide) {
            ((double *)to_0)[j] = c0 * a + s1 * b;
            ((double *)to_1)[j] = c1 * b - s0 * a;
        } else {
            ((float *)to_0)[j] = (float)(c0 * a + s1 * b);
            ((float *)to_1)[j] = (float)(c1 * b - s0 * a);
        }
    }
    squares[0] = squares_0;
    squares[1] = squares_1;
}

VECTOR_CLONES void passes_centre_f32(size_t n, const struct passes_pair *pair,
                                     const void *const x[2], float *const to[2], double squares[2])
{
    centre_pair(false, n, pair, x, to[0], to[1], squares);
}

VECTOR_CLONES void passes_centre_f64(size_t n, const struct passes_pair *pair,
                                     const void *const x[2], double *const to[2], double squares[2])
{
    centre_pair(true, n, pair, x, to[0], to[1], squares);
}

VECTOR_CLONES void passes_combine_f32(size_t n, double decay, double between, const double *d,
                                      double scale, const float *add, double *to)
{
    if (decay == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = between * d[j] + scale * (double)add[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = decay * to[j] + between * d[j] + scale * (double)add[j];
}

VECTOR_CLONES void passes_begin(size_t n, double decay, double between, const double *d, double *to)
{
    if (decay == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = between * d[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = decay * to[j] + between * d[j];
}

VECTOR_CLONES void passes_widen(size_t n, double scale, const float *x, double *to)
{
    for (size_t j = 0; j < n; j++)
        to[j] = scale * (double)x[j];
}

VECTOR_CLONES void passes_add(size_t n, double scale, const float *x, double *to)
{
    for (size_t j = 0; j < n; j++)
        to[j] += scale * (double)x[j];
}

VECTOR_CLONES void passes_narrow(size_t n, const double *x, float *to)
{
    for (size_t j = 0; j < n; j++)
        to[j] = (float)x[j];
}

VECTOR_CLONES void passes_narrow_scaled(size_t n, double scale, const double *x, float *to)
{
    for (size_t j = 0; j < n; j++)
        to[j] = (float)(scale * x[j]);
}

/* Sums that do not wait for each other, eight to a vector. */
#define LANES 16

static double add_lanes(const double sums[LANES])
{
    double sum = 0;

    for (size_t k = 0; k < LANES; k++)
        sum += sums[k];
    return sum;
}

VECTOR_CLONES double passes_centre_row(size_t n, double factor, const double *x, const double *mean,
                                       double *to)
{
    double sums[LANES] = {0};
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            to[j + k] = factor * (x[j + k] - mean[j + k]);
            sums[k] += to[j + k] * to[j + k];
        }
    }
    for (; j < n; j++) {
        to[j] = factor * (x[j] - mean[j]);
        sums[0] += to[j] * to[j];
    }
    return add_lanes(sums);
}

VECTOR_CLONES double passes_distance(size_t n, const double *x, const double *y)
{
    double sums[LANES] = {0};
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (size_t k = 0; k < LANES; k++)
            sums[k] += (x[j + k] - y[j + k]) * (x[j + k] - y[j + k]);
    }
    for (; j < n; j++)
        sums[0] += (x[j] - y[j]) * (x[j] - y[j]);
    return add_lanes(sums);
}

VECTOR_CLONES double passes_dot_f32(size_t n, const float *x, const float *y)
{
    double sums[LANES] = {0};
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (size_t k = 0; k < LANES; k++)
            sums[k] += (double)x[j + k] * (double)y[j + k];
    }
    for (; j < n; j++)
        sums[0] += (double)x[j] * (double)y[j];
    return add_lanes(sums);
}
