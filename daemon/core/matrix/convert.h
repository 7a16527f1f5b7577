/* Reading the values that a trainer sends, as double or float. The bytes come straight off the
 * wire, so they may be unaligned. Pure functions, any thread. */
#pragma once

#include <stddef.h>

#include "proto/base/dtype.h"

/* out[i] = the i-th of `n` values at `from`, exactly (labels beyond 2^53 are no classes). */
void convert_to_double(enum dtype, const void *from, size_t n, double *out);

/* The same as floats, for the formats that a float holds exactly: f32, f16 and bf16. */
void convert_to_float(enum dtype, const void *from, size_t n, float *out);

/* Index of the first value that is infinite or NaN, or `n` when all are finite. Labels always
 * are. */
size_t convert_find_nonfinite(enum dtype, const void *from, size_t n);
