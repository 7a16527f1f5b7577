/* What richd records: the result of a checkpoint for one layer, a scalar that the trainer logged,
 * and a transition that was found in a layer's series. Plain values, made by the core and carried
 * by the store and the feed; whoever holds one owns it. */
#pragma once

#include <stdint.h>

#include "daemon/core/metric.h"
#include "daemon/core/transition.h"

/* Longest names, in bytes, without the closing NUL (proto/INGEST.md). */
#define RUN_ID_MAX      64
#define LAYER_NAME_MAX  128
#define SCALAR_NAME_MAX 128

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

/* Whether the accuracy on data that was held out rose with a transition. */
enum agreement {
    AGREES_UNKNOWN, /* it was not logged before and after */
    AGREES_NO,
    AGREES_YES,
};

/* A transition and where it belongs; an EVENT to readers (proto/FEED.md). */
struct finding {
    enum metric metric;
    struct transition transition;
    int64_t step; /* of the point that completed it */
    double time;  /* that point's, seconds since 1970 */
    enum agreement agrees;
    struct {
        const char *name; /* NULL: none was logged. Borrowed: from the store's list, or a row */
        double from, to;  /* largest value until the start, and from there to `step` */
    } accuracy;
    uint64_t feed_seq; /* filled by the store: place in the order of all things stored */
};
