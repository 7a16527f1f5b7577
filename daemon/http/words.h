/* The feed's answers as HTTP has them: bare JSON, CSV, OpenMetrics, server-sent events. Stateless,
 * any thread; the feed decides what is in them. */
#pragma once

#include "daemon/feed/hub.h"

extern const struct feed_words http_json;
extern const struct feed_words http_csv;
extern const struct feed_words http_metrics;     /* of server.status */
extern const struct feed_words http_run_metrics; /* of run.list */
extern const struct feed_words http_events;      /* of a subscription */
