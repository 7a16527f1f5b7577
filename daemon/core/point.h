/* What richd records: the result of a checkpoint for one layer, and a scalar that the trainer
 * logged. Plain values, made by the core and carried by the store and the feed; whoever holds one
 * owns it. */
#pragma once

#include <stdint.h>

#include "daemon/core/metric.h"

/* Longest names, in bytes, without the closing NUL (proto/INGEST.md). */
#define RUN_ID_MAX      64
#define LAYER_NAME_MAX  128
#define SCALAR_NAME_MAX 128

struct point {
    int64_t step;
    double time;                /* seconds since 1970 */
    double n;                   /* rows in the window; effective rows when weighted */
    uint64_t rows_missing;      /* offered for this window, never arrived */
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
