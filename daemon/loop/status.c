#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* Tested by what the members say:
 * tests/e2e/service/test_options_come_from_flag_environment_and_file.py and
 * tests/e2e/read/test_http_api.py. */

void loop_add_status(void *arg, cJSON *o)
{
    struct loop *l = arg;
    struct monitor_stats m = monitor_stats(l->monitor);
    const struct store *store = store_lane_store(l->store);

    cJSON_AddStringToObject(o, "version", RICHD_VERSION);
    json_add_integer(o, "pid", getpid());
    json_add_double(o, "uptime_s", clock_wall_s() - l->started);
    cJSON_AddStringToObject(o, "state_dir", l->state_dir);
    cJSON_AddStringToObject(o, "ingest", ingest_endpoint(l->ingest));
    cJSON_AddStringToObject(o, "feed", feedsock_address(l->feed));
    if (l->http)
        cJSON_AddStringToObject(o, "http", http_address(l->http));
    else
        cJSON_AddNullToObject(o, "http");
    cJSON_AddStringToObject(o, "blas", linalg_description());
    cJSON_AddStringToObject(o, "kernels", linalg_kernels());
    cJSON_AddStringToObject(o, "kernels_chosen_by", blas_chosen_by());
    json_add_counter(o, "seq", store_feed_seq(store));
    json_add_integer(o, "runs_open", (int64_t)m.runs_open);
    json_add_integer(o, "connections", (int64_t)feedhub_n_clients(l->hub));
    json_add_integer(o, "subscriptions", (int64_t)feedhub_n_subscriptions(l->hub));
    json_add_integer(o, "batches", (int64_t)m.batches);
    json_add_integer(o, "rows", (int64_t)m.rows);
    json_add_integer(o, "bytes", (int64_t)m.bytes);
    json_add_integer(o, "batches_refused",
                     (int64_t)(m.batches_refused + ingest_n_refused(l->ingest)));
    json_add_integer(o, "points", (int64_t)m.points);
    json_add_integer(o, "commits", (int64_t)store_commits(store));
    json_add_integer(o, "buffered_bytes", (int64_t)m.buffered_bytes);
    json_add_integer(o, "budget_bytes", (int64_t)m.budget_bytes);
}
