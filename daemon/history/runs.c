#include <errno.h>

#include "daemon/core/measure/separation.h"
#include "daemon/format/model_json.h"
#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

static bool add_attempt(cJSON *array, sqlite3_stmt *statement)
{
    cJSON *object = json_push_object(array);

    return object && json_add_integer(object, "attempt", sqlite3_column_int64(statement, 0)) &&
           history_add_integer(object, "first_step", statement, 1) &&
           json_add_double(object, "opened", sql_column_double(statement, 2)) &&
           json_add_double(object, "closed", sql_column_double(statement, 3)) &&
           cJSON_AddStringToObject(object, "state", state_name(sqlite3_column_int(statement, 4))) &&
           history_add_ranks(object, statement, 5) &&
           history_add_text(object, "host", statement, 7);
}

static int add_attempts(struct history *history, int64_t run_key, cJSON *run, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_ATTEMPTS];
    cJSON *array = cJSON_AddArrayToObject(run, "attempts");
    int rc;

    if (!array)
        return history_no_memory(err);
    SQL_BIND(statement, run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!add_attempt(array, statement) || sql_row_check(statement, err) < 0)
            return history_no_memory(err);
    }
    return rc;
}

static int add_names(struct history *history, int64_t run_key, cJSON *run, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_NAMES];
    cJSON *array = cJSON_AddArrayToObject(run, "scalars");
    int rc;

    if (!array)
        return history_no_memory(err);
    SQL_BIND(statement, run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        cJSON *name = cJSON_CreateString(sql_column_text(statement, 1));

        if (!name)
            return history_no_memory(err);
        cJSON_AddItemToArray(array, name);
        if (sql_row_check(statement, err) < 0)
            return -ENOMEM;
    }
    return rc;
}

static int run_get(struct history *history, const struct feed_run *params, cJSON **out,
                   struct err *err)
{
    int64_t run_key = 0;
    int rc;

    rc = history_find_run(history, params->run, &run_key, err);
    if (rc < 0)
        return rc;
    *out = cJSON_CreateObject();
    rc = history_add_run(history, run_key, true, *out, err);
    if (rc == 0)
        rc = add_attempts(history, run_key, *out, err);
    return rc < 0 ? rc : add_names(history, run_key, *out, err);
}

static bool add_last(cJSON *object, const char *run, const char *layer, sqlite3_stmt *statement)
{
    struct point point;
    cJSON *last;

    if (sqlite3_column_type(statement, 5) == SQLITE_NULL)
        return cJSON_AddNullToObject(object, "last") != NULL;
    store_schema_point(statement, LAYERS_POINT, &point);
    last = point_to_json(run, layer, (uint32_t)sqlite3_column_int64(statement, 5), &point);
    if (last && cJSON_AddItemToObject(object, "last", last))
        return true;
    cJSON_Delete(last);
    return false;
}

/* The layer of the current row with its latest POINT; NULL without memory. */
static cJSON *layer_to_json(const char *run, sqlite3_stmt *statement)
{
    const char *name = sql_column_text(statement, 1);
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "layer", name) &&
        json_add_integer(object, "p", sqlite3_column_int64(statement, 2)) &&
        json_add_integer(object, "c", sqlite3_column_int64(statement, 3)) &&
        json_add_integer(object, "n_points", sqlite3_column_int64(statement, 4)) &&
        history_add_integer(object, "probe_rows", statement, LAYERS_PROBE) &&
        add_last(object, run, name, statement))
        return object;
    cJSON_Delete(object);
    return NULL;
}

/* The law of separation over the layers whose latest point is of the run's latest step. */
static int add_separation(struct history *history, int64_t run_key, cJSON *object, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LATEST_NC1];
    double nc1[HISTORY_SEPARATION_LAYERS];
    struct separation fit;
    cJSON *separation;
    size_t n = 0;
    int rc = 0;

    SQL_BIND(statement, run_key);
    while (n < HISTORY_SEPARATION_LAYERS && (rc = sql_step(statement, err)) == 1)
        nc1[n++] = sql_column_double(statement, 0);
    sqlite3_reset(statement);
    if (rc < 0)
        return rc;
    fit = separation_fit(n, nc1);
    separation = cJSON_AddObjectToObject(object, "separation");
    if (separation && json_add_integer(separation, "layers", (int64_t)fit.n_layers) &&
        json_add_double(separation, "slope", fit.slope) &&
        json_add_double(separation, "r2", fit.r2))
        return 0;
    return history_no_memory(err);
}

static int put_separation(struct history *history, int64_t run_key, struct answer *answer,
                          struct err *err)
{
    cJSON *tail = cJSON_CreateObject();
    int rc = tail ? add_separation(history, run_key, tail, err) : history_no_memory(err);

    answer_list_end(answer, tail);
    return rc;
}

static int layer_list(struct history *history, const struct feed_run *params, struct answer *answer,
                      struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    char id[RUN_ID_MAX + 1];
    int64_t run_key = 0;
    int rc;

    rc = history_resolve(history, params->run, &run_key, id, err);
    if (rc < 0)
        return rc;
    answer_list(answer, history_head(id), "layers");
    SQL_BIND(statement, run_key);
    sql_bind_text(statement, 2, NULL);
    while ((rc = sql_step(statement, err)) == 1) {
        answer_item(answer, layer_to_json(id, statement));
        if (sql_row_check(statement, err) < 0)
            return history_no_memory(err);
    }
    return rc < 0 ? rc : put_separation(history, run_key, answer, err);
}

int history_run_get(struct history *history, const struct feed_run *params, cJSON **out,
                    struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = run_get(history, params, out, err);
    return history_end(history, rc, out);
}

int history_layer_list(struct history *history, const struct feed_run *params,
                       struct answer *answer, struct err *err)
{
    int rc = history_begin_transaction(history, err);

    if (rc == 0)
        rc = layer_list(history, params, answer, err);
    return history_end_transaction(history, rc);
}
