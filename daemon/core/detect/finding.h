/* A transition that was found in a series, with what belongs to it: the measure or scalar, the
 * point that completed it, the rows behind it, and whether an accuracy on held-out data rose with
 * it. Plain values, made by the core and the store, carried by the feed; any thread. transition.h
 * finds it. */
#pragma once

#include <stdint.h>

#include "daemon/core/detect/transition.h"

/* Whether the accuracy on data that was held out rose with a transition. */
enum agreement {
    AGREES_UNKNOWN, /* it was not logged before and after */
    AGREES_NO,
    AGREES_YES,
};

/* What a summary's member of this name says is an alert (store/alert.c). */
#define ALERT_NAME "alert: "
/* In the place of the direction of a transition, where the store keeps it. */
#define ALERT_DIRECTION 2

/* A transition and where it belongs, or an alert; an EVENT to readers (proto/FEED.md). It is told
 * when it is found, and once more when it has returned: the run, the layer, `metric`, `attempt` and
 * `step` name it both times. */
struct finding {
    const char *metric; /* the measure or scalar. Borrowed: from a table, the record, or a row */
    uint32_t attempt;   /* of the point that completed it */
    int64_t step;
    double time;       /* that point's, seconds since 1970 */
    const char *alert; /* NULL: a transition. Else what the summary says, JSON, of which `metric` is
                        * the name, and the transition is none. Both are the record's own, or
                        * borrowed from a row */
    struct transition transition;
    double n_from, n_to; /* rows of the points before and after it, their mean; NaN: not known */
    enum agreement agrees;
    struct {
        const char *name; /* NULL: none was logged. Borrowed: from the store's list, or a row */
        double from, to;  /* largest value until the start, and from there to `step` */
    } accuracy;
    uint64_t feed_seq; /* filled by the store: place in the order of all things stored; 0: it
                        * returns and was never told, so nobody hears of it */
};
