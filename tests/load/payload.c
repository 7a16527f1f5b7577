#include "tests/load/payload.h"

#include <stdint.h>
#include <stdlib.h>

#include "tests/lib/random.h"

/* ---- rows ---------------------------------------------------------------------------------- */

static const float *gaussian(size_t n_values, uint64_t seed)
{
    float *values = malloc(n_values * sizeof *values);
    struct random random;

    random_seed(&random, seed);
    for (size_t i = 0; values && i < n_values; i++)
        values[i] = (float)random_gaussian(&random);
    return values;
}

static struct payload *payload_new(enum wire_kind kind, size_t n, size_t p, size_t c)
{
    struct payload *payload = calloc(1, sizeof *payload);

    if (!payload)
        return NULL;
    payload->header = (struct wire_header){
        .kind = kind, .n_rows = (uint32_t)n, .n_features = (uint32_t)p, .n_outputs = (uint32_t)c};
    return payload;
}

static void add_frame(struct payload *payload, const void *data, size_t size)
{
    payload->frames[payload->n_frames++] = (struct wire_frame){data, size};
    payload->size += size;
}

const struct payload *payload_of_rows(size_t n, size_t p, size_t c)
{
    const float *features = gaussian(n * p, 1), *outputs = gaussian(n * c, 2);
    struct payload *payload = payload_new(WIRE_ROWS, n, p, c);

    if (!features || !outputs || !payload)
        return NULL;
    payload->header.features_dtype = payload->header.outputs_dtype = DTYPE_F32;
    add_frame(payload, features, n * p * sizeof *features);
    add_frame(payload, outputs, n * c * sizeof *outputs);
    return payload;
}

/* As clients have it: in f32 beyond, so that the message finds credit. */
#define XX_BYTES_MAX (32u << 20)

/* ---- moments ------------------------------------------------------------------------------- */

/* n on the diagonal of a matrix of that many columns. */
static const double *diagonal(size_t rows, size_t columns, double n)
{
    double *matrix = calloc(rows * columns, sizeof *matrix);

    for (size_t i = 0; matrix && i < rows && i < columns; i++)
        matrix[i * columns + i] = n;
    return matrix;
}

/* Of a p x p matrix with n on its diagonal; f64 or f32. */
static const void *packed_diagonal(size_t p, double n, bool is_double)
{
    double *wide = is_double ? calloc(p * (p + 1) / 2, sizeof *wide) : NULL;
    float *narrow = is_double ? NULL : calloc(p * (p + 1) / 2, sizeof *narrow);

    for (size_t i = 0, at = 0; i < p; at += p - i, i++) {
        if (wide)
            wide[at] = n;
        if (narrow)
            narrow[at] = (float)n;
    }
    return is_double ? (const void *)wide : narrow;
}

/* sum s^2 has the mean n p (p + 2), sum s x the mean 0. */
static const double *fourth(size_t p, double n)
{
    double *sums = calloc(1 + p, sizeof *sums);

    if (sums)
        sums[0] = n * (double)p * (double)(p + 2);
    return sums;
}

const struct payload *payload_of_moments(size_t n, size_t p, size_t c)
{
    const bool is_double = p * (p + 1) / 2 * sizeof(double) <= XX_BYTES_MAX;
    const void *xx = packed_diagonal(p, (double)n, is_double);
    const double *zeros = calloc(p + c, sizeof *zeros), *xy = diagonal(p, c, (double)n),
                 *yy = diagonal(c, c, (double)n), *sums = fourth(p, (double)n);
    struct payload *payload = payload_new(WIRE_MOMENTS, n, p, c);

    if (!zeros || !xx || !xy || !yy || !sums || !payload)
        return NULL;
    payload->header.features_dtype = is_double ? DTYPE_F64 : DTYPE_F32;
    payload->header.outputs_dtype = DTYPE_F64;
    add_frame(payload, zeros, p * sizeof *zeros);
    add_frame(payload, zeros, c * sizeof *zeros);
    add_frame(payload, xx, p * (p + 1) / 2 * (is_double ? sizeof(double) : sizeof(float)));
    add_frame(payload, xy, p * c * sizeof *xy);
    add_frame(payload, yy, c * c * sizeof *yy);
    add_frame(payload, sums, (1 + p) * sizeof *sums);
    return payload;
}
