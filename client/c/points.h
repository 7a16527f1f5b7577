/* The points of an acknowledged checkpoint, turned from the daemon's JSON into what richd.h hands
 * out. The caller of richd_checkpoint owns them and no thread of ours sees them again; FEED.md says
 * what the numbers mean. Tested by test_session.c and test_client.c. */
#pragma once

#include <cjson/cJSON.h>

#include "include/richd.h"

/* Copies an array of POINT objects, and leaves out all that is no POINT. Returns the points (free
 * with richd_points_free), or NULL when memory ran out. `array` may be NULL: no points. */
struct richd_points *points_new(const cJSON *array);
