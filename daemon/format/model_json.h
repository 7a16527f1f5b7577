/* The model as JSON: POINT, SCALAR, EVENT, the list of measures and the flags, as proto/FEED.md and
 * proto/INGEST.md show them. Stateless, any thread; sockets and queries are elsewhere.
 *
 * The way through this room: what the core measured comes in as structs and leaves as a tree of
 * cJSON (here, by the tables of proto/base); an answer of the feed comes in as a tree and leaves as
 * text, CSV (csv.h) or OpenMetrics (openmetrics.h). Nothing is kept. The only failure is that
 * memory runs out: a function then returns NULL and has freed what it made.
 *
 * Each function returns a tree (free with cJSON_Delete). */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

#include "daemon/core/detect/finding.h"
#include "daemon/core/measure/spectrum.h"
#include "proto/base/point.h"

/* The value of one member of a point. */
cJSON *point_member_to_json(const struct point *, const struct point_field *);
cJSON *point_to_json(const char *run, const char *layer, uint32_t attempt, const struct point *);
cJSON *scalar_to_json(const char *run, uint32_t attempt, int64_t step, double time,
                      const struct scalar *);
/* `layer` NULL: of a scalar. */
cJSON *finding_to_json(const char *run, const char *layer, const struct finding *);
/* SPECTRUM, with the sums PI_hat and PI_star. `n` is the point's. */
cJSON *spectrum_to_json(const char *run, const char *layer, uint32_t attempt, int64_t step,
                        double n, const struct spectrum *);
/* metric.list's answer: the rows of metric_table. */
cJSON *metrics_to_json(void);
