/* Paths as requests of the feed: /api/v1/... and /metrics, with their parameters. Stateless, any
 * thread. FEED.md says which parameters exist and which values are good: a request is answered, and
 * refused, as over any other transport. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/feed/hub.h"
#include "daemon/http/head.h"
#include "proto/base/err.h"

struct http_route {
    const char *name; /* the last part of the path */
    const char *method;
    const struct feed_words *words;
    const char *type;  /* of the answer */
    bool endless;      /* a stream of events */
    const char *fixed; /* a parameter that is always asked with `fixed_value`; NULL: none */
    const char *fixed_value;
};

/* A parameter as it came, decoded: "name=value". */
struct http_args {
    const char *const *text;
    size_t n;
};

/* The route of a path, and where in it the run's name stands (`*run_size` 0: nowhere). `wants_csv`
 * asks for CSV where the path leaves it open. NULL when there is none. */
const struct http_route *http_route_find(const char *path, bool wants_csv, const char **run,
                                         size_t *run_size);

/* The request for it, as feed_client_request takes it (free with cJSON_free). `since` is the last
 * event that a stream's reader has seen, NULL: none. A parameter given twice becomes an array.
 * Returns HTTP_OK or HTTP_BAD_REQUEST, or HTTP_FAILED when memory ran out. */
enum http_code http_route_request(const struct http_route *, const char *run, size_t run_size,
                                  const struct http_args *, const char *since, char **out,
                                  struct err *err);

/* The status for an error of the feed. */
enum http_code http_route_status(int feed_code);
