/* A line: one layer's points or one scalar's values, as columns of JSON. line.c gives it row by
 * row, whole or as a page, and line_bins.c in bins. One thread at a time. Tested by
 * test_history.c. */
#pragma once

#include "daemon/history/line_parts.h"

/* Adds "binned", "columns" and, to a page, "next" to the object of the layer or scalar. */
int line_add(struct history *, const struct line *, const struct selection *, cJSON *object,
             struct err *err);
