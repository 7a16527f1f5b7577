/* What a trainer sends of rows that it has reduced itself: full matrices about their own mean, by
 * the naive reference in long double. Owns its memory; aborts when memory is short; any thread. */
#pragma once

#include "daemon/core/moments/moments.h"
#include "tests/lib/core/sample.h"

struct reduced {
    struct moments_view view;
    double *mean_x, *mean_y, *xx, *xy, *yy, *sum_sx;
    float *xx32;
};

/* Rows from..to-1 of the sample; X'X in the format `d`, DTYPE_F32 or DTYPE_F64. */
void reduced_init(struct reduced *, const struct sample *, size_t from, size_t to, enum dtype d);
void reduced_release(struct reduced *);
