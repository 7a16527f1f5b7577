#include "daemon/core/matrix/convert.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "daemon/core/matrix/vector.h"

/* The exponent's bits, which are all ones in Inf and NaN; 0: the format has neither. */
static const uint64_t exponents[DTYPE_COUNT] = {
    [DTYPE_F32] = 0x7F800000,
    [DTYPE_F64] = 0x7FF0000000000000,
    [DTYPE_F16] = 0x7C00,
    [DTYPE_BF16] = 0x7F80,
};

static float float_from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* binary16 to binary32 without a branch: the exponent and fraction move up 13 bits, and multiplying
 * by 2^112 puts the exponent's bias right, for subnormals as well. Inf and NaN never come here. */
static float float_from_half(uint16_t half)
{
    float magnitude = float_from_bits((uint32_t)(half & 0x7FFF) << 13) * 0x1p112f;

    return half & 0x8000 ? -magnitude : magnitude;
}

VECTOR_CLONES void convert_to_double(enum dtype d, const void *from, size_t n, double *out)
{
    const char *bytes = from;
    uint16_t half;
    float single;
    int32_t label;
    int64_t long_label;

    switch (d) {
    case DTYPE_F32:
        for (size_t i = 0; i < n; i++) {
            memcpy(&single, bytes + 4 * i, 4);
            out[i] = single;
        }
        break;
    case DTYPE_F64:
        memcpy(out, from, 8 * n);
        break;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, bytes + 2 * i, 2);
            out[i] = float_from_half(half);
        }
        break;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, bytes + 2 * i, 2);
            out[i] = float_from_bits((uint32_t)half << 16);
        }
        break;
    case DTYPE_I32:
        for (size_t i = 0; i < n; i++) {
            memcpy(&label, bytes + 4 * i, 4);
            out[i] = label;
        }
        break;
    case DTYPE_I64:
        for (size_t i = 0; i < n; i++) {
            memcpy(&long_label, bytes + 8 * i, 8);
            out[i] = (double)long_label;
        }
        break;
    case DTYPE_NONE:
    case DTYPE_COUNT:
        assert(!"a format that carries values");
    }
}

VECTOR_CLONES void convert_to_float(enum dtype d, const void *from, size_t n, float *out)
{
    const char *bytes = from;
    uint16_t half;

    assert(d == DTYPE_F32 || d == DTYPE_F16 || d == DTYPE_BF16);
    if (d == DTYPE_F32) {
        memcpy(out, from, 4 * n);
    } else if (d == DTYPE_F16) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, bytes + 2 * i, 2);
            out[i] = float_from_half(half);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, bytes + 2 * i, 2);
            out[i] = float_from_bits((uint32_t)half << 16);
        }
    }
}

/* Inf and NaN are the values whose exponent bits are all ones. */
#define FIND_ALL_ONES(type)                                                                        \
    for (size_t i = 0; i < n; i++) {                                                               \
        type bits;                                                                                 \
        memcpy(&bits, bytes + sizeof bits * i, sizeof bits);                                       \
        if ((bits & (type)mask) == (type)mask)                                                     \
            return i;                                                                              \
    }                                                                                              \
    return n

static size_t find_in(enum dtype d, const char *bytes, size_t n)
{
    uint64_t mask = exponents[d];

    switch (dtype_size(d)) {
    case 2:
        FIND_ALL_ONES(uint16_t);
    case 4:
        FIND_ALL_ONES(uint32_t);
    default:
        FIND_ALL_ONES(uint64_t);
    }
}

/* Whether any of `n` values is Inf or NaN, in a form that the compiler turns into vectors: adding
 * one to an exponent of ones carries into the sign. */
#define ANY_ALL_ONES(type, mask, sign)                                                             \
    {                                                                                              \
        type bad = 0;                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type bits;                                                                             \
            memcpy(&bits, bytes + sizeof bits * i, sizeof bits);                                   \
            bad |= (type)((bits & (mask)) + ((sign) - (mask)));                                    \
        }                                                                                          \
        return (bad & (sign)) != 0;                                                                \
    }

VECTOR_CLONES static bool any_nonfinite(enum dtype d, const char *bytes, size_t n)
{
    switch (d) {
    case DTYPE_F16:
        ANY_ALL_ONES(uint16_t, 0x7C00, 0x8000)
    case DTYPE_BF16:
        ANY_ALL_ONES(uint16_t, 0x7F80, 0x8000)
    case DTYPE_F32:
        ANY_ALL_ONES(uint32_t, 0x7F800000u, 0x80000000u)
    default:
        ANY_ALL_ONES(uint64_t, 0x7FF0000000000000u, 0x8000000000000000u)
    }
}

size_t convert_find_nonfinite(enum dtype d, const void *from, size_t n)
{
    if (exponents[d] == 0 || !any_nonfinite(d, from, n))
        return n;
    return find_in(d, from, n);
}
