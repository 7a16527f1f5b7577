/* Number formats of the rows a trainer sends, and the one way to read them: as double. The bytes
 * come straight off the wire, so they may be unaligned. Pure functions, any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum dtype {
    DTYPE_NONE,
    DTYPE_F32,
    DTYPE_F64,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I32, /* labels */
    DTYPE_I64,
    DTYPE_COUNT,
};

/* Bytes of one value; 0 for DTYPE_NONE. */
size_t dtype_size(enum dtype);

/* DTYPE_I32 or DTYPE_I64. */
bool dtype_is_label(enum dtype);

/* Distance from 1 to the next number: 2^-23, 2^-52, 2^-10, 2^-7; 0 for labels. */
double dtype_epsilon(enum dtype);

/* out[i] = the i-th of `n` values at `from`, exactly (labels beyond 2^53 are no classes). */
void dtype_to_double(enum dtype, const void *from, size_t n, double *out);

/* Index of the first value that is infinite or NaN, or `n` when all are finite. Labels
 * always are. */
size_t dtype_find_nonfinite(enum dtype, const void *from, size_t n);
