/* Which series of a run are watched for transitions, and how far each one's detector has come: a
 * watch belongs to the points of one layer, or to the run's scalars, and sees them in the order of
 * their steps, over all attempts. Plain memory, used by one thread at a time; it reads no clock.
 * How a transition looks is transition.h's, what becomes of a finding its owner's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/detect/finding.h"
#include "proto/base/limits.h"
#include "proto/base/point.h"

/* The run's policy: none twice, and at most RUN_WATCHED_MAX measures and scalars together. */
struct watch_list {
    size_t n;
    enum metric metrics[RUN_WATCHED_MAX];
    bool in_turn; /* the first of the metrics that a layer has is watched, the others stand in until
                     it comes. The default is d_debiased and, where it is always null, d_lr */
    size_t n_scalars;
    char scalars[RUN_WATCHED_MAX][SCALAR_NAME_MAX + 1];
};

/* What is watched when the trainer says nothing. */
extern const struct watch_list watch_default;

/* Whether the point belongs to the series of that measure: the value is there, and no flag says
 * that it tells of something else than the network. */
bool watch_takes(enum metric, const struct point *);

struct watch;

/* A watch of a layer's points that has seen nothing. Returns it (free with watch_free), or NULL. */
struct watch *watch_new(const struct watch_list *);
/* The same of the run's scalars. */
struct watch *watch_new_scalars(const struct watch_list *);
/* NULL is fine. */
void watch_free(struct watch *);

/* Shows it the next point of a layer, which came in that attempt. Returns how many transitions this
 * point has completed or found to have returned, at most one a metric, in `out` in the list's
 * order, their accuracies left empty. */
size_t watch_feed(struct watch *, uint32_t attempt, const struct point *,
                  struct finding out[RUN_WATCHED_MAX]);

/* Shows a watch of scalars the next log; the findings' names are those of `scalars`. */
size_t watch_log_feed(struct watch *, uint32_t attempt, int64_t step, double time,
                      const struct scalar *scalars, size_t n, struct finding out[RUN_WATCHED_MAX]);
