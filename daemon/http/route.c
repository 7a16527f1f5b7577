#include "daemon/http/route.h"

#include <stdio.h>
#include <string.h>

#include "daemon/format/openmetrics.h"
#include "daemon/http/words.h"
#include "proto/feed.h"
#include "proto/json.h"

#define API  "/api/v1/"
#define RUNS "runs/"

#define JSON_TYPE   "application/json"
#define CSV_TYPE    "text/csv; charset=utf-8; header=present"
#define EVENTS_TYPE "text/event-stream"

/* One row a path. Of a name with two rows, the second is for CSV. */
#define JSON_ROW(name, method)                                                                     \
    {                                                                                              \
        name, method, &http_json, JSON_TYPE, false, NULL, NULL                                     \
    }
#define CSV_ROW(name, method)                                                                      \
    {                                                                                              \
        name, method, &http_csv, CSV_TYPE, false, NULL, NULL                                       \
    }

static const struct http_route whole_paths[] = {
    {"/metrics", "server.status", &http_metrics, OPENMETRICS_TYPE, false, NULL, NULL},
    {"/metrics/runs", "run.list", &http_run_metrics, OPENMETRICS_TYPE, false, "state", "open"},
};

static const struct http_route api_paths[] = {
    JSON_ROW("status", "server.status"),
    JSON_ROW("measures", "metric.list"),
    CSV_ROW("measures", "metric.list"),
    JSON_ROW("views", "view.list"),
    JSON_ROW("runs", "run.list"),
    CSV_ROW("runs", "run.list"),
    {"stream", "series.subscribe", &http_events, EVENTS_TYPE, true, NULL, NULL},
    {"stream/events", "event.subscribe", &http_events, EVENTS_TYPE, true, NULL, NULL},
};

/* Behind runs/RUN/. */
static const struct http_route run_paths[] = {
    JSON_ROW("layers", "layer.list"),
    CSV_ROW("layers", "layer.list"),
    JSON_ROW("series", "series.query"),
    CSV_ROW("series", "series.query"),
    JSON_ROW("scalars", "scalars.query"),
    CSV_ROW("scalars", "scalars.query"),
    JSON_ROW("events", "event.query"),
    CSV_ROW("events", "event.query"),
    JSON_ROW("spectrum", "spectrum.query"),
    CSV_ROW("spectrum", "spectrum.query"),
    JSON_ROW("representations", "representation.list"),
    CSV_ROW("representations", "representation.list"),
    JSON_ROW("map", "representation.map"),
};

static const struct http_route one_run = JSON_ROW("", "run.get");

/* ---- paths ----------------------------------------------------------------------------------- */

#define N_ROWS(rows) (sizeof(rows) / sizeof *(rows))

/* "series" as `wants_csv` has it, "series.csv" as CSV. */
static const struct http_route *find(const struct http_route *rows, size_t n, const char *name,
                                     bool wants_csv)
{
    size_t size = strlen(name);
    bool says_csv = size > 4 && strcmp(name + size - 4, ".csv") == 0;
    const struct http_route *found = NULL;

    if (says_csv)
        size -= 4;
    for (size_t i = 0; i < n; i++) {
        bool is_csv = rows[i].words == &http_csv;

        if (strlen(rows[i].name) != size || strncmp(rows[i].name, name, size) != 0)
            continue;
        if (is_csv ? says_csv || wants_csv : !says_csv)
            found = &rows[i];
    }
    return found;
}

/* RUN may be project/name, so the last part decides: what is no row of the table belongs to RUN. */
static const struct http_route *find_of_run(const char *path, bool wants_csv, const char **run,
                                            size_t *run_size)
{
    const char *slash = strrchr(path, '/');
    const struct http_route *r =
        slash ? find(run_paths, N_ROWS(run_paths), slash + 1, wants_csv) : NULL;

    *run = path;
    *run_size = r ? (size_t)(slash - path) : strlen(path);
    return *run_size == 0 ? NULL : r ? r : &one_run;
}

const struct http_route *http_route_find(const char *path, bool wants_csv, const char **run,
                                         size_t *run_size)
{
    const char *rest = path + strlen(API);

    *run_size = 0;
    if (strncmp(path, API, strlen(API)) != 0)
        return find(whole_paths, N_ROWS(whole_paths), path, false);
    if (strncmp(rest, RUNS, strlen(RUNS)) == 0)
        return find_of_run(rest + strlen(RUNS), wants_csv, run, run_size);
    return find(api_paths, N_ROWS(api_paths), rest, wants_csv);
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* Those that FEED.md has as arrays, here given once for each element. */
static bool is_list(const char *name)
{
    return strcmp(name, "metrics") == 0 || strcmp(name, "names") == 0 ||
           strcmp(name, "scalars") == 0 || strcmp(name, "layers") == 0 || strcmp(name, "tags") == 0;
}

static bool push_text(cJSON *params, const char *name, const char *value)
{
    cJSON *array = cJSON_GetObjectItemCaseSensitive(params, name), *item;

    if (!array)
        array = cJSON_AddArrayToObject(params, name);
    item = array ? cJSON_CreateString(value) : NULL;
    return item && cJSON_AddItemToArray(array, item);
}

/* What a configuration has to have is JSON, as in FEED.md. */
static enum http_code add_object(cJSON *params, const char *name, const char *text, struct err *err)
{
    struct err why;
    cJSON *object = json_parse(text, strlen(text), &why);

    if (!object)
        return err_set(err, HTTP_BAD_REQUEST, "\"%s\": %s", name, why.text);
    if (cJSON_AddItemToObject(params, name, object))
        return HTTP_OK;
    cJSON_Delete(object);
    return err_set(err, HTTP_FAILED, "out of memory");
}

/* Numbers go as texts, which the feed takes for numbers where it wants some. */
static enum http_code add_arg(cJSON *params, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    char name[64];
    int n = equals ? (int)(equals - text) : -1;
    bool done;

    if (n < 1 || n >= (int)sizeof name)
        return err_set(err, HTTP_BAD_REQUEST, "\"%.64s\" is not name=value", text);
    snprintf(name, sizeof name, "%.*s", n, text);
    if (!json_utf8_valid(text, strlen(text)))
        return err_set(err, HTTP_BAD_REQUEST, "a parameter is not UTF-8");
    if (!is_list(name) && cJSON_GetObjectItemCaseSensitive(params, name))
        return err_set(err, HTTP_BAD_REQUEST, "\"%s\" is given twice, or by the path", name);
    if (strcmp(name, "config") == 0 && equals[1] == '{')
        return add_object(params, name, equals + 1, err);
    done = is_list(name) ? push_text(params, name, equals + 1)
                         : cJSON_AddStringToObject(params, name, equals + 1) != NULL;
    return done ? HTTP_OK : err_set(err, HTTP_FAILED, "out of memory");
}

static enum http_code add_params(cJSON *params, const char *run, size_t run_size,
                                 const struct http_args *args, struct err *err)
{
    char text[FEED_RUN_MAX + 8];
    enum http_code rc = HTTP_OK;

    if (run_size > FEED_RUN_MAX)
        return err_set(err, HTTP_BAD_REQUEST, "the run's name is too long");
    snprintf(text, sizeof text, "run=%.*s", (int)run_size, run);
    if (run_size > 0)
        rc = add_arg(params, text, err);
    for (size_t i = 0; rc == HTTP_OK && i < args->n; i++) {
        if (*args->text[i]) /* as between two ampersands, or behind the last */
            rc = add_arg(params, args->text[i], err);
    }
    return rc;
}

/* The envelope around the parameters, which it takes. */
static char *print_request(const struct http_route *route, cJSON *params)
{
    cJSON *object = cJSON_CreateObject();
    char *text = NULL;

    if (object && cJSON_AddStringToObject(object, "jsonrpc", "2.0") &&
        json_add_integer(object, "id", 0) &&
        cJSON_AddStringToObject(object, "method", route->method) &&
        cJSON_AddItemToObject(object, "params", params)) {
        params = NULL;
        text = json_print(object);
    }
    cJSON_Delete(params);
    cJSON_Delete(object);
    return text;
}

enum http_code http_route_request(const struct http_route *r, const char *run, size_t run_size,
                                  const struct http_args *args, const char *since, char **out,
                                  struct err *e)
{
    cJSON *params = cJSON_CreateObject();
    enum http_code rc = params ? HTTP_OK : err_set(e, HTTP_FAILED, "out of memory");

    *out = NULL;
    if (rc == HTTP_OK && r->fixed && !cJSON_AddStringToObject(params, r->fixed, r->fixed_value))
        rc = err_set(e, HTTP_FAILED, "out of memory");
    if (rc == HTTP_OK)
        rc = add_params(params, run, run_size, args, e);
    if (rc == HTTP_OK && since) {
        cJSON_DeleteItemFromObjectCaseSensitive(params, "since_seq");
        if (!cJSON_AddStringToObject(params, "since_seq", since))
            rc = err_set(e, HTTP_FAILED, "out of memory");
    }
    if (rc != HTTP_OK) {
        cJSON_Delete(params);
        return rc;
    }
    *out = print_request(r, params);
    return *out ? HTTP_OK : err_set(e, HTTP_FAILED, "out of memory");
}

enum http_code http_route_status(int feed_code)
{
    switch (feed_code) {
    case 0:
        return HTTP_OK;
    case FEED_NOT_FOUND:
    case FEED_NO_METHOD:
        return HTTP_NOT_FOUND;
    case FEED_BAD_PARAMS:
    case FEED_NOT_A_REQUEST:
    case FEED_NOT_JSON:
        return HTTP_BAD_REQUEST;
    case FEED_TOO_MANY:
        return HTTP_TOO_MANY;
    case FEED_NOT_ALLOWED:
        return HTTP_UNAUTHORIZED;
    default:
        return HTTP_FAILED;
    }
}
