#include <errno.h>

#include "daemon/format/model_json.h"
#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

static bool add_text(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    return cJSON_AddStringToObject(object, name, sql_column_text(q, column)) != NULL;
}

/* JSON that a trainer sent and the codec has checked. A newline between its members would end the
 * feed's line; JSON allows none inside a string. */
static bool add_json(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    const char *text = sql_column_text(q, column);
    cJSON *raw = cJSON_AddRawToObject(object, name, *text ? text : "null");

    if (!raw)
        return false;
    for (char *c = raw->valuestring; *c; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    }
    return true;
}

static bool add_integer_or_null(cJSON *object, const char *name, sqlite3_stmt *q, int column)
{
    if (sqlite3_column_type(q, column) == SQLITE_NULL)
        return cJSON_AddNullToObject(object, name) != NULL;
    return json_add_integer(object, name, sqlite3_column_int64(q, column));
}

/* The layer of the current row, as RUN OBJECT shows it. */
static bool add_run_layer(cJSON *array, sqlite3_stmt *q)
{
    struct point point;
    cJSON *o = json_push_object(array);

    store_schema_point(q, LAYERS_POINT, &point);
    return o && add_text(o, "layer", q, 1) &&
           json_add_integer(o, "p", sqlite3_column_int64(q, 2)) &&
           json_add_integer(o, "c", sqlite3_column_int64(q, 3)) &&
           add_integer_or_null(o, "step", q, LAYERS_POINT + SCHEMA_POINT_MEMBERS + POINT_step) &&
           json_add_double(o, "d_lr", point.value[METRIC_D_LR]);
}

static int add_run_layers(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    cJSON *array = cJSON_AddArrayToObject(run, "layers");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    sql_bind_text(q, 2, NULL);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_run_layer(array, q) || sql_row_check(q, e) < 0)
            return history_no_memory(e);
    }
    return rc;
}

static bool add_run_columns(cJSON *o, sqlite3_stmt *q)
{
    return add_text(o, "run", q, 1) && add_text(o, "name", q, 2) && add_text(o, "project", q, 3) &&
           add_text(o, "group", q, 4) && add_json(o, "tags", q, 5) && add_json(o, "config", q, 6) &&
           cJSON_AddStringToObject(o, "state", state_name(sqlite3_column_int(q, 7))) &&
           json_add_integer(o, "attempt", sqlite3_column_int64(q, 8)) &&
           json_add_double(o, "created", sql_column_double(q, 9)) &&
           json_add_double(o, "updated", sql_column_double(q, 10)) &&
           add_integer_or_null(o, "last_step", q, 11) &&
           json_add_integer(o, "n_points", sqlite3_column_int64(q, 12));
}

/* RUN OBJECT of the current row. */
static int add_run(struct history *h, cJSON *o, sqlite3_stmt *q, struct err *e)
{
    if (!o || !add_run_columns(o, q) || sql_row_check(q, e) < 0)
        return history_no_memory(e);
    return add_run_layers(h, sqlite3_column_int64(q, 0), o, e);
}

static void bind_filter(sqlite3_stmt *q, const struct feed_run_list *params)
{
    sql_bind_text(q, 1, params->project);
    sqlite3_bind_int(q, 2, params->state ? state_find(params->state) : -1);
    sql_bind_text(q, 3, params->group);
    sql_bind_text(q, 4, params->search);
}

static int run_list(struct history *h, const struct feed_run_list *params, cJSON **out,
                    struct err *e)
{
    sqlite3_stmt *count = h->statement[SQL_RUN_COUNT],
                 *q = h->statement[SQL_RUN_LIST + params->order];
    cJSON *runs;
    int rc;

    if (params->state && state_find(params->state) < 0)
        return err_set(e, -EINVAL, "\"state\": no state \"%.64s\"", params->state);
    bind_filter(count, params);
    rc = sql_step(count, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    if (!*out || !json_add_integer(*out, "total", sqlite3_column_int64(count, 0)))
        return history_no_memory(e);
    runs = cJSON_AddArrayToObject(*out, "runs");
    if (!runs)
        return history_no_memory(e);
    bind_filter(q, params);
    sql_bind_integers(q, 5, (int64_t[]){params->limit, params->offset}, 2);
    while ((rc = sql_step(q, e)) == 1) {
        rc = add_run(h, json_push_object(runs), q, e);
        if (rc < 0)
            break;
    }
    return rc;
}

static bool add_attempt(cJSON *array, sqlite3_stmt *q)
{
    cJSON *o = json_push_object(array);

    return o && json_add_integer(o, "attempt", sqlite3_column_int64(q, 0)) &&
           add_integer_or_null(o, "first_step", q, 1) &&
           json_add_double(o, "opened", sql_column_double(q, 2)) &&
           json_add_double(o, "closed", sql_column_double(q, 3)) &&
           cJSON_AddStringToObject(o, "state", state_name(sqlite3_column_int(q, 4)));
}

static int add_attempts(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_ATTEMPTS];
    cJSON *array = cJSON_AddArrayToObject(run, "attempts");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_attempt(array, q))
            return history_no_memory(e);
    }
    return rc;
}

static int add_names(struct history *h, int64_t run_key, cJSON *run, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_NAMES];
    cJSON *array = cJSON_AddArrayToObject(run, "scalars");
    int rc;

    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    while ((rc = sql_step(q, e)) == 1) {
        cJSON *name = cJSON_CreateString(sql_column_text(q, 1));

        if (!name)
            return history_no_memory(e);
        cJSON_AddItemToArray(array, name);
        if (sql_row_check(q, e) < 0)
            return -ENOMEM;
    }
    return rc;
}

static int run_get(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_RUN_GET];
    int64_t run_key = 0;
    int rc;

    rc = history_find_run(h, params->run, &run_key, e);
    if (rc < 0)
        return rc;
    SQL_BIND(q, run_key);
    rc = sql_step(q, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    rc = add_run(h, *out, q, e);
    if (rc == 0)
        rc = add_attempts(h, run_key, *out, e);
    return rc < 0 ? rc : add_names(h, run_key, *out, e);
}

/* The layer of the current row with its latest POINT. */
static bool add_layer(cJSON *array, const char *run, sqlite3_stmt *q)
{
    const char *name = sql_column_text(q, 1);
    cJSON *o = json_push_object(array), *last;
    struct point point;

    if (!o || !cJSON_AddStringToObject(o, "layer", name) ||
        !json_add_integer(o, "p", sqlite3_column_int64(q, 2)) ||
        !json_add_integer(o, "c", sqlite3_column_int64(q, 3)) ||
        !json_add_integer(o, "n_points", sqlite3_column_int64(q, 4)) ||
        !add_integer_or_null(o, "probe_rows", q, LAYERS_PROBE))
        return false;
    if (sqlite3_column_type(q, 5) == SQLITE_NULL)
        return cJSON_AddNullToObject(o, "last") != NULL;
    store_schema_point(q, LAYERS_POINT, &point);
    last = point_to_json(run, name, (uint32_t)sqlite3_column_int64(q, 5), &point);
    if (last && cJSON_AddItemToObject(o, "last", last))
        return true;
    cJSON_Delete(last);
    return false;
}

static int layer_list(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    char id[RUN_ID_MAX + 1];
    int64_t run_key = 0;
    cJSON *array;
    int rc;

    rc = history_resolve(h, params->run, &run_key, id, e);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    if (!*out || !cJSON_AddStringToObject(*out, "run", id))
        return history_no_memory(e);
    array = cJSON_AddArrayToObject(*out, "layers");
    if (!array)
        return history_no_memory(e);
    SQL_BIND(q, run_key);
    sql_bind_text(q, 2, NULL);
    while ((rc = sql_step(q, e)) == 1) {
        if (!add_layer(array, id, q) || sql_row_check(q, e) < 0)
            return history_no_memory(e);
    }
    return rc;
}

int history_run_list(struct history *h, const struct feed_run_list *params, cJSON **out,
                     struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = run_list(h, params, out, e);
    return history_end(h, rc, out);
}

int history_run_get(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = run_get(h, params, out, e);
    return history_end(h, rc, out);
}

int history_layer_list(struct history *h, const struct feed_run *params, cJSON **out, struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = layer_list(h, params, out, e);
    return history_end(h, rc, out);
}
