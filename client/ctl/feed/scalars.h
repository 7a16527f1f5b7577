/* The scalars of a run by step and attempt, so that a point finds those that were logged with it.
 * Filled once from the feed; whoever made an index owns it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/ctl/feed/history.h"

struct scalarindex;

/* Fetches all scalars of the run, within the query's steps and attempts (its kind, name and metric
 * do not matter). On 0 `*out` is the index (free with scalarindex_free). */
int scalarindex_load(struct feedclient *, const struct history_query *, struct scalarindex **out,
                     struct err *e);
void scalarindex_free(struct scalarindex *);

/* The names; the array lives as long as the index. */
const char *const *scalarindex_names(const struct scalarindex *, size_t *n);

/* Fills a value for every name; NaN for one that was not finite. `present` tells which were logged
 * at that step of that attempt; the others are NaN too. */
void scalarindex_find(const struct scalarindex *, int64_t step, int64_t attempt, double *values,
                      bool *present);
