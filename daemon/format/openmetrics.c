#include "daemon/format/openmetrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

/* One row for each family: its name (base units, no suffix), the member of server.status, and what
 * it is. */
static const struct family {
    const char *name;
    const char *type;
    const char *unit; /* NULL: a number of things */
    const char *member;
    const char *help;
} families[] = {
    {"richd_uptime_seconds", "gauge", "seconds", "uptime_s", "Time since the daemon started."},
    {"richd_runs_open", "gauge", NULL, "runs_open", "Runs whose trainers are connected."},
    {"richd_feed_connections", "gauge", NULL, "connections", "Readers that are connected."},
    {"richd_feed_subscriptions", "gauge", NULL, "subscriptions", "Subscriptions of readers."},
    {"richd_batches", "counter", NULL, "batches", "Batches received from trainers."},
    {"richd_batches_refused", "counter", NULL, "batches_refused", "Batches refused."},
    {"richd_trainers_refused", "counter", NULL, "trainers_refused",
     "Trainers without a descriptor."},
    {"richd_trainers_cut", "counter", NULL, "trainers_cut", "Trainers of which too much waited."},
    {"richd_rows", "counter", NULL, "rows", "Rows received."},
    {"richd_received_bytes", "counter", "bytes", "bytes", "Bytes of the batches received."},
    {"richd_points", "counter", NULL, "points", "Points measured."},
    {"richd_commits", "counter", NULL, "commits", "Transactions committed to disk."},
    {"richd_buffered_bytes", "gauge", "bytes", "buffered_bytes", "Rows that wait in memory."},
    {"richd_budget_bytes", "gauge", "bytes", "budget_bytes", "Rows that may wait in memory."},
    {"richd_history_lag_seconds", "gauge", "seconds", "history_lag_s",
     "For so long something waits for the shared history."},
    {"richd_history_waiting", "gauge", NULL, "history_waiting",
     "Points, values and events that wait for the shared history."},
    {"richd_upstream_lag_seconds", "gauge", "seconds", "upstream_lag_s",
     "For so long something waits for the daemon behind this relay."},
    {"richd_upstream_waiting", "gauge", NULL, "upstream_waiting",
     "Points, values and events that wait for the daemon behind this relay."},
};

/* Our numbers are raw text; a null gives no sample. */
static const char *number_text(const cJSON *item, char buffer[JSON_DOUBLE_SIZE])
{
    if (cJSON_IsRaw(item) || cJSON_IsString(item))
        return strcmp(item->valuestring, "null") == 0 ? NULL : item->valuestring;
    if (!cJSON_IsNumber(item))
        return NULL;
    json_double_text(item->valuedouble, buffer);
    return buffer;
}

/* Backslash, quote and newline are what a label's value escapes. */
static void put_label(FILE *out, const char *name, const cJSON *value)
{
    fprintf(out, "%s=\"", name);
    for (const char *c = cJSON_IsString(value) ? value->valuestring : ""; *c; c++) {
        if (*c == '\n')
            fputs("\\n", out);
        else
            fprintf(out, *c == '\\' || *c == '"' ? "\\%c" : "%c", *c);
    }
    fputc('"', out);
}

static void put_head(FILE *out, const char *name, const char *type, const char *unit,
                     const char *help)
{
    fprintf(out, "# TYPE %s %s\n", name, type);
    if (unit)
        fprintf(out, "# UNIT %s %s\n", name, unit);
    fprintf(out, "# HELP %s %s\n", name, help);
}

static void put_families(FILE *out, const cJSON *status)
{
    char buffer[JSON_DOUBLE_SIZE];

    put_head(out, "richd", "info", NULL, "The daemon's version.");
    fputs("richd_info{", out);
    put_label(out, "version", cJSON_GetObjectItemCaseSensitive(status, "version"));
    fputs("} 1\n", out);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *family = &families[i];
        const char *value =
            number_text(cJSON_GetObjectItemCaseSensitive(status, family->member), buffer);

        put_head(out, family->name, family->type, family->unit, family->help);
        if (value)
            fprintf(out, "%s%s %s\n", family->name,
                    strcmp(family->type, "counter") == 0 ? "_total" : "", value);
    }
}

/* Returns whether the layer had a value. */
static bool put_gauge(FILE *out, const cJSON *run, const cJSON *layer)
{
    static const char *const labels[] = {"run", "project", "name"};
    char buffer[JSON_DOUBLE_SIZE];
    const char *value = number_text(cJSON_GetObjectItemCaseSensitive(layer, "d_lr"), buffer);

    if (!value)
        return false;
    fputs("richd_d_lr_ratio{", out);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        put_label(out, labels[i], cJSON_GetObjectItemCaseSensitive(run, labels[i]));
        fputc(',', out);
    }
    put_label(out, "layer", cJSON_GetObjectItemCaseSensitive(layer, "layer"));
    fprintf(out, "} %s\n", value);
    return true;
}

void openmetrics_start_runs(FILE *out, struct openmetrics_runs *runs)
{
    *runs = (struct openmetrics_runs){0};
    put_head(out, "richd_d_lr_ratio", "gauge", "ratio", "Latest D_LR: 0 is rich, 1 is lazy.");
}

void openmetrics_put_run(FILE *out, struct openmetrics_runs *runs, const cJSON *run)
{
    const cJSON *layer;

    cJSON_ArrayForEach(layer, cJSON_GetObjectItemCaseSensitive(run, "layers"))
    {
        if (runs->n_gauges < OPENMETRICS_MAX_GAUGES)
            runs->n_gauges += put_gauge(out, run, layer);
        else
            runs->n_left_out++;
    }
}

void openmetrics_end_runs(FILE *out, const struct openmetrics_runs *runs)
{
    put_head(out, "richd_layers_left_out", "gauge", NULL, "Layers beyond the limit of one scrape.");
    fprintf(out, "richd_layers_left_out %zu\n# EOF\n", runs->n_left_out);
}

char *openmetrics_status(const cJSON *status, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    bool good;

    if (!out)
        return NULL;
    put_families(out, status);
    fputs("# EOF\n", out);
    good = !ferror(out);
    if (fclose(out) == 0 && good)
        return text;
    free(text);
    return NULL;
}
