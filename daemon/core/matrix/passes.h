/* Passes over rows: the loops that see each value of a batch, in vectors (vector.h). Rows are n
 * values as they came, float or double, possibly unaligned; sums are double. Pure functions, any
 * thread. What the sums mean is not known here. */
#pragma once

#include <stddef.h>

/* Rows that one pass takes at most, so that sums stay in registers. */
#define PASSES_ROWS 4

/* sum += weight_i (x_i - pivot) for n_rows <= PASSES_ROWS rows of n values. */
void passes_sum_f32(size_t n_rows, size_t n, const double *weight, const void *const *x,
                    const double *pivot, double *sum);
void passes_sum_f64(size_t n_rows, size_t n, const double *weight, const void *const *x,
                    const double *pivot, double *sum);

/* What is done to a pair of rows: n values less their mean, times the row's factor, and the two
 * rows turned into each other. */
struct passes_pair {
    const double *mean;
    const double *shift;
    double factor[2];
    double cosine, sine;
};

/* With a = factor_0 (x_0 - mean) and b = factor_1 (x_1 - mean):
 *
 *     to_0 = cosine a + sine b        to_1 = cosine b - sine a
 *
 * rounded once to the format that is written, and squares_i = |x_i - shift|^2. */
void passes_centre_f32(size_t n, const struct passes_pair *, const void *const x[2],
                       float *const to[2], double squares[2]);
void passes_centre_f64(size_t n, const struct passes_pair *, const void *const x[2],
                       double *const to[2], double squares[2]);

/* to = decay to + between d + scale add. With decay 0 `to` is not read. */
void passes_combine_f32(size_t n, double decay, double between, const double *d, double scale,
                        const float *add, double *to);
/* to = decay to + between d. With decay 0 `to` is not read. */
void passes_begin(size_t n, double decay, double between, const double *d, double *to);

/* to = scale x, and to += scale x. */
void passes_widen(size_t n, double scale, const float *x, double *to);
void passes_add(size_t n, double scale, const float *x, double *to);
/* to = factor (x - mean); returns |to|^2. */
double passes_centre_row(size_t n, double factor, const double *x, const double *mean, double *to);
/* |x - y|^2, and the dot product of floats. */
double passes_distance(size_t n, const double *x, const double *y);
double passes_dot_f32(size_t n, const float *x, const float *y);
/* to = scale x, rounded to floats. */
void passes_narrow_scaled(size_t n, double scale, const double *x, float *to);
/* to = x, rounded to floats. */
void passes_narrow(size_t n, const double *x, float *to);
