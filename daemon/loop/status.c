#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "daemon/ingest/gate.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* Tested by what the members say:
 * tests/e2e/service/test_options_come_from_flag_environment_and_file.py and
 * tests/e2e/read/test_http_api.py. */

static void add_sentence(cJSON *array, const char *text)
{
    cJSON *sentence = text && *text ? cJSON_CreateString(text) : NULL;

    if (!cJSON_AddItemToArray(array, sentence))
        cJSON_Delete(sentence);
}

/* What is behind, since when, and why; "" is no problem. */
static void add_lag_problem(cJSON *object, const char *what, double behind_since,
                            const char *problem)
{
    char text[768], since[32] = "";
    time_t at = (time_t)behind_since;
    struct tm date;

    if (!*problem)
        return;
    if (at > 0 && localtime_r(&at, &date))
        strftime(since, sizeof since, " since %F %T", &date);
    snprintf(text, sizeof text, "%s%s: %s", what, since, problem);
    add_sentence(cJSON_GetObjectItemCaseSensitive(object, "problems"), text);
}

static double lag_of(double behind_since)
{
    double lag_s = behind_since > 0 ? clock_wall_s() - behind_since : 0;

    return lag_s > 0 ? lag_s : 0;
}

/* What was stored is there, or waits for so long; null where nothing goes on. */
static void add_relay(struct loop *loop, cJSON *object)
{
    struct relay_status status;

    if (!loop->relay) {
        cJSON_AddNullToObject(object, "upstream");
        cJSON_AddNullToObject(object, "upstream_lag_s");
        cJSON_AddNullToObject(object, "upstream_waiting");
        return;
    }
    relay_status(loop->relay, &status);
    cJSON_AddStringToObject(object, "upstream", status.server);
    json_add_double(object, "upstream_lag_s", lag_of(status.behind_since));
    json_add_integer(object, "upstream_waiting", status.n_waiting);
    add_lag_problem(object, "what is stored waits here", status.behind_since, status.problem);
}

/* What trainers wait for; it is told where the server does not take it. */
static void add_held_problem(const struct loop *loop, const struct share_status *status,
                             cJSON *problems)
{
    char text[160];

    if (loop->n_held == 0 || !*status->problem)
        return;
    snprintf(text, sizeof text,
             "%zu messages of trainers are stored here, and acknowledged when the shared history"
             " has them (--ack history)",
             loop->n_held);
    add_sentence(problems, text);
}

/* The newest that was stored is there, or waits for so long; null where nothing is shared. */
static void add_share(struct loop *loop, cJSON *object)
{
    struct share_status status;

    if (!loop->share) {
        cJSON_AddNullToObject(object, "history_server");
        cJSON_AddNullToObject(object, "history_lag_s");
        cJSON_AddNullToObject(object, "history_waiting");
        return;
    }
    share_status(loop->share, &status);
    cJSON_AddStringToObject(object, "history_server", status.server);
    json_add_double(object, "history_lag_s", lag_of(status.behind_since));
    json_add_integer(object, "history_waiting", status.n_waiting);
    add_lag_problem(object, "the shared history is behind", status.behind_since, status.problem);
    add_lag_problem(object, "the shared history", 0, status.remark);
    add_held_problem(loop, &status, cJSON_GetObjectItemCaseSensitive(object, "problems"));
}

/* What a person should know of the store. */
static void add_problems(const struct loop *loop, cJSON *object)
{
    cJSON *problems = cJSON_AddArrayToObject(object, "problems");
    const struct store_notes *notes = store_lane_notes(loop->store);
    struct err certificate = {""};

    if (loop->http)
        http_certificate_problem(loop->http, clock_wall_s(), &certificate);
    add_sentence(problems, certificate.text);

    add_sentence(problems, store_lane_waits(loop->store));
    add_sentence(problems, loop->history_problem.text);
    add_sentence(problems, loop->place_problem.text);
    for (size_t i = 0; i < notes->n; i++)
        add_sentence(problems, notes->text[i]);
}

static void add_address(cJSON *object, const char *name, const char *address)
{
    if (address)
        cJSON_AddStringToObject(object, name, address);
    else
        cJSON_AddNullToObject(object, name);
}

/* Left out where there is none. */
static void add_network(cJSON *object, const struct listen *network)
{
    cJSON *list = network ? cJSON_AddArrayToObject(object, "network") : NULL;

    for (size_t i = 0; list && i < network->n_more; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(network->more[i]));
}

/* Left out where TLS is not spoken. */
static void add_certificate(const struct loop *loop, cJSON *object)
{
    double expires = loop->http ? http_certificate_expires(loop->http) : 0;

    if (expires > 0)
        json_add_double(object, "certificate_expires", expires);
}

void loop_add_status(void *arg, bool may_write, cJSON *object)
{
    struct loop *loop = arg;
    const char *page = may_write ? loop->page : loop->page_of_readers;
    struct monitor_stats stats = monitor_stats(loop->monitor);
    struct gate_counts gate = gate_counts();
    const struct store *store = store_lane_store(loop->store);

    cJSON_AddStringToObject(object, "version", RICHD_VERSION);
    json_add_integer(object, "pid", getpid());
    json_add_double(object, "uptime_s", 1e-3 * (double)(clock_monotonic_ms() - loop->started_ms));
    json_add_double(object, "time", clock_wall_s());
    cJSON_AddStringToObject(object, "state_dir", loop->state_dir);
    cJSON_AddStringToObject(object, "ingest", ingest_endpoint(loop->ingest));
    add_network(object, ingest_network(loop->ingest));
    cJSON_AddStringToObject(object, "feed", feedsock_address(loop->feed));
    add_address(object, "http", loop_http_address(loop));
    add_address(object, "page", *page ? page : NULL);
    add_certificate(loop, object);
    json_add_integer(object, "idle_exit_s", loop->config->idle_exit_s);
    cJSON_AddStringToObject(object, "blas", linalg_description());
    cJSON_AddStringToObject(object, "kernels", linalg_kernels());
    cJSON_AddStringToObject(object, "kernels_chosen_by", blas_chosen_by());
    json_add_counter(object, "seq", store_feed_seq(store));
    json_add_integer(object, "runs_open", (int64_t)stats.runs_open);
    json_add_integer(object, "connections", (int64_t)feedhub_n_clients(loop->hub));
    json_add_integer(object, "subscriptions", (int64_t)feedhub_n_subscriptions(loop->hub));
    json_add_integer(object, "batches", (int64_t)stats.batches);
    json_add_integer(object, "rows", (int64_t)stats.rows);
    json_add_integer(object, "bytes", (int64_t)stats.bytes);
    json_add_integer(object, "batches_refused",
                     (int64_t)(stats.batches_refused + ingest_n_refused(loop->ingest)));
    json_add_integer(object, "trainers_refused", (int64_t)gate.refused);
    json_add_integer(object, "trainers_cut", (int64_t)gate.cut);
    json_add_integer(object, "points", (int64_t)stats.points);
    json_add_integer(object, "commits", (int64_t)store_commits(store));
    json_add_integer(object, "buffered_bytes", (int64_t)stats.buffered_bytes);
    json_add_integer(object, "budget_bytes", (int64_t)stats.budget_bytes);
    cJSON_AddStringToObject(object, "history", loop_history_state(loop));
    add_problems(loop, object);
    add_share(loop, object);
    add_relay(loop, object);
}
