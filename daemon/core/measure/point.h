/* What richd records: the result of a checkpoint for one layer, and a scalar that the trainer
 * logged. Plain values, made by the core and carried by the store and the feed; whoever holds one
 * owns it.
 */
#pragma once

#include <stdint.h>

#include "proto/base/limits.h"
#include "proto/base/metric.h"

struct point {
    int64_t step;
    double time;                /* seconds since 1970 */
    double n;                   /* rows in the window; effective rows when weighted */
    uint64_t rows_missing;      /* offered for this window, never arrived */
    int64_t rows_from, rows_to; /* steps of the window's first and last batch; -1: not known */
    uint32_t p;                 /* features */
    uint32_t c;                 /* outputs */
    uint32_t rank;              /* r, rank of the centred outputs */
    uint32_t flags;             /* bits of enum flag */
    double value[METRIC_COUNT]; /* NaN: not available */
};

struct scalar {
    char name[SCALAR_NAME_MAX + 1];
    double value; /* NaN: was not finite */
};
