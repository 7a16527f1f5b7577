/* richctl status: the daemon's own facts. */
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/table.h"

enum show {
    SHOW_TEXT,
    SHOW_COUNT,
    SHOW_BYTES,
    SHOW_DURATION,
};

/* The facts that people ask for first, in this order; --json has all that the daemon sends. */
static const struct {
    const char *name;
    const char *label;
    enum show show;
} facts[] = {
    {"version", "version", SHOW_TEXT},
    {"pid", "process", SHOW_COUNT},
    {"uptime_s", "up for", SHOW_DURATION},
    {"state_dir", "state", SHOW_TEXT},
    {"ingest", "ingest", SHOW_TEXT},
    {"feed", "feed", SHOW_TEXT},
    {"page", "page", SHOW_TEXT},
    {"blas", "BLAS", SHOW_TEXT},
    {"kernels", "its kernels", SHOW_TEXT},
    {"kernels_chosen_by", "chosen by", SHOW_TEXT},
    {"runs_open", "open runs", SHOW_COUNT},
    {"connections", "connections", SHOW_COUNT},
    {"subscriptions", "subscriptions", SHOW_COUNT},
    {"batches", "batches", SHOW_COUNT},
    {"batches_refused", "batches refused", SHOW_COUNT},
    {"trainers_refused", "peers refused", SHOW_COUNT},
    {"trainers_cut", "peers cut", SHOW_COUNT},
    {"rows", "rows", SHOW_COUNT},
    {"bytes", "bytes", SHOW_BYTES},
    {"points", "points since its start", SHOW_COUNT},
    {"commits", "commits", SHOW_COUNT},
    {"seq", "items ever stored", SHOW_COUNT},
    {"history", "history", SHOW_TEXT},
    {"history_server", "shared history", SHOW_TEXT},
    {"history_lag_s", "it is behind for", SHOW_DURATION},
    {"history_waiting", "waiting for it", SHOW_COUNT},
    {"upstream", "goes on to", SHOW_TEXT},
    {"upstream_lag_s", "it is behind for", SHOW_DURATION},
    {"upstream_waiting", "waiting for it", SHOW_COUNT},
    {"buffered_bytes", "buffered", SHOW_BYTES},
    {"budget_bytes", "budget", SHOW_BYTES},
};

static void add_fact(struct table *table, const cJSON *value, enum show show)
{
    char text[TEXT_SIZE];

    if (cJSON_IsString(value))
        table_add(table, value->valuestring);
    else if (!cJSON_IsNumber(value))
        table_add(table, NULL);
    else if (show == SHOW_BYTES)
        table_add(table, text_bytes(value->valuedouble, text));
    else if (show == SHOW_DURATION)
        table_add(table, text_duration(value->valuedouble, text));
    else
        table_addf(table, "%.15g", value->valuedouble);
}

static void add_problems(struct table *table, const cJSON *problems)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, problems)
    {
        table_add(table, "PROBLEM");
        add_fact(table, problem, SHOW_TEXT);
    }
}

static int print_facts(const cJSON *status, struct err *err)
{
    struct table *table = table_new("ll");

    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        const cJSON *value = member(status, facts[i].name);

        if (!value || (cJSON_IsNull(value) && (strncmp(facts[i].name, "history_", 8) == 0 ||
                                               strncmp(facts[i].name, "upstream", 8) == 0)))
            continue; /* nothing is shared, or goes on */
        table_add(table, facts[i].label);
        add_fact(table, value, facts[i].show);
    }
    add_problems(table, member(status, "problems"));
    return table_finish(table, stdout, err);
}

int cmd_status(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *status;
    int rc = feedclient_call(feed, "server.status", params_none(), &status, err);

    if (rc < 0)
        return rc;
    rc = options->json ? jsonline_print(status, stdout, err) : print_facts(status, err);
    cJSON_Delete(status);
    return rc;
}
