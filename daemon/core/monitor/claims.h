/* What a mark says of its layers: how much was offered up to it. Kept while the mark waits for
 * those of other ranks, in as few bytes as its names have; the points, of which each takes a
 * kilobyte, are made when the window is cut. Owned by the journal's entry; the loop's thread. */
#pragma once

#include "daemon/core/monitor/event.h"

struct claims {
    size_t n;
    size_t size_bytes;                /* of all this */
    struct checkpoint_layer layers[]; /* their names lie behind them */
};

/* A copy. Returns it (free with free), or NULL. */
struct claims *claims_new(const struct checkpoint_layer *, size_t n);
