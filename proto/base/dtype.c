#include "proto/base/dtype.h"

static const struct {
    const char *name;
    size_t size;
    double epsilon;
} formats[DTYPE_COUNT] = {
    [DTYPE_NONE] = {"none", 0, 0},      [DTYPE_F32] = {"f32", 4, 0x1p-23},
    [DTYPE_F64] = {"f64", 8, 0x1p-52},  [DTYPE_F16] = {"f16", 2, 0x1p-10},
    [DTYPE_BF16] = {"bf16", 2, 0x1p-7}, [DTYPE_I32] = {"i32", 4, 0},
    [DTYPE_I64] = {"i64", 8, 0},
};

/* The code may come off the wire. */
static bool is_known(enum dtype d)
{
    return (unsigned)d < DTYPE_COUNT;
}

size_t dtype_size(enum dtype d)
{
    return is_known(d) ? formats[d].size : 0;
}

const char *dtype_name(enum dtype d)
{
    return is_known(d) ? formats[d].name : "unknown";
}

bool dtype_is_label(enum dtype d)
{
    return d == DTYPE_I32 || d == DTYPE_I64;
}

double dtype_epsilon(enum dtype d)
{
    return is_known(d) ? formats[d].epsilon : 0;
}
