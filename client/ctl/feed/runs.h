/* The list of runs, asked for page by page. Blocks on the feed; keeps nothing between calls. The
 * caller decides what becomes of the runs. Tested end to end by test_richctl.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/ctl/feed/feedclient.h"

struct runs_query {
    const char *project; /* NULL: all */
    const char *state;   /* NULL: all */
    const char *order;   /* NULL: newest first */
    int64_t limit;       /* -1: all */
    bool config;         /* with the configuration of each run */
    const cJSON *filter; /* more parameters of run.list (feed/filter.h), borrowed; NULL: none */
};

/* Gets a RUN OBJECT, borrowed for the call. Returns 0, or 1: no page after this one is wanted
 * (asked of a page's last run), or an error, which ends the list. */
typedef int runs_fn(void *context, cJSON *run, struct err *e);

/* Calls `on_run` for each. A run that starts while the pages are read shifts them: one run may come
 * twice, and none is missed. */
int runs_each(struct feedclient *, const struct runs_query *, runs_fn *on_run, void *context,
              struct err *err);
