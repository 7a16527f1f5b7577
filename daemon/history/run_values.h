/* What a measure or a scalar of a run was elsewhere than at the end: its least or greatest value,
 * or the one up to a step, over the effective series. run_list.c calls it for each run that it
 * lists. One thread at a time. Tested by test_line_blocks.c. */
#pragma once

#include "daemon/history/db.h"
#include "proto/feed.h"

/* What a scalar's name has before it where a measure could stand. */
#define RUN_VALUE_SCALAR "scalar:"

/* The value of that name, a measure's of METRIC or RUN_VALUE_SCALAR and a scalar's, where `at` and
 * `step` say (feed.h; never FEED_AT_LAST): of a measure, of the run's last layer that has one. NaN:
 * there is none. Returns 0 or -errno. */
int run_value_at(struct history *, int64_t run_key, const char *name, enum feed_at at, int64_t step,
                 double *out, struct err *err);
