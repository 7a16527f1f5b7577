/* Which of a run's measures are watched for transitions, and how far each one's detector has come:
 * a watch belongs to one layer and sees the points of one attempt, in their order. Plain memory,
 * used by one thread at a time; it reads no clock. How a transition looks is transition.h's, what
 * becomes of a finding its owner's. */
#pragma once

#include <stddef.h>

#include "daemon/core/detect/finding.h"
#include "proto/base/limits.h"
#include "proto/base/point.h"

/* The run's policy: no metric twice. */
struct watch_list {
    size_t n;
    enum metric metrics[RUN_WATCHED_MAX];
};

struct watch;

/* A watch that has seen nothing. Returns it (free with watch_free), or NULL. */
struct watch *watch_new(const struct watch_list *);
/* NULL is fine. */
void watch_free(struct watch *);

/* Shows it the next point. Returns how many transitions this point has completed, at most one a
 * metric, in `out` in the list's order, their accuracies left empty. */
size_t watch_feed(struct watch *, const struct point *, struct finding out[RUN_WATCHED_MAX]);
