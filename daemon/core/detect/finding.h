/* A transition that was found in a layer's series, with what belongs to it: the measure, the point
 * that completed it, and whether an accuracy on held-out data rose with it. Plain values, made by
 * the core and the store, carried by the feed; any thread. transition.h finds it. */
#pragma once

#include <stdint.h>

#include "daemon/core/detect/transition.h"
#include "proto/base/metric.h"

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
