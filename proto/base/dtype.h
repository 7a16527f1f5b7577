/* Number formats of the values a trainer sends, with the codes of INGEST.md: their names, sizes and
 * precision. Pure functions, any thread. daemon/core/matrix reads the values. Tested by
 * test_base.c. */
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

/* Bytes of one value; 0 for DTYPE_NONE and for a number that is no dtype. */
size_t dtype_size(enum dtype);

/* "f32", ..., "none", or "unknown" for a number that is no dtype. */
const char *dtype_name(enum dtype);

/* DTYPE_I32 or DTYPE_I64. */
bool dtype_is_label(enum dtype);

/* Distance from 1 to the next number: 2^-23, 2^-52, 2^-10, 2^-7; 0 for labels. */
double dtype_epsilon(enum dtype);
