/* The daemon's own figures, and the latest D_LR of runs that are open, as OpenMetrics 1.0 text for
 * Prometheus. Stateless, any thread; the figures come from server.status and run.list (FEED.md).
 * How many series there can be is bounded: one a row of the table, and OPENMETRICS_MAX_GAUGES.
 * Tested by test_words.c. */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdio.h>

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
/* A run may have a thousand layers, and run.list a thousand runs. Those beyond this number are left
 * out, and counted. */
#define OPENMETRICS_MAX_GAUGES 10000

/* Returns a text (free with free), or NULL when memory ran out; takes nothing. */
char *openmetrics_status(const cJSON *status, size_t *size);

/* The runs of an answer, one after the other. */
struct openmetrics_runs {
    size_t n_gauges, n_left_out;
};
void openmetrics_start_runs(FILE *, struct openmetrics_runs *);
void openmetrics_put_run(FILE *, struct openmetrics_runs *, const cJSON *run);
void openmetrics_end_runs(FILE *, const struct openmetrics_runs *);
