#include "daemon/history/history.h"

#include <errno.h>

#include "daemon/history/line.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* attempt, step, time, value */
#define N_SCALAR_COLUMNS 4

/* ---- series.query -------------------------------------------------------------------------- */

/* Makes {"run":id, NAME:[]}; returns the array, NULL without memory. */
static cJSON *start_answer(const struct selection *sel, const char *name, cJSON **out)
{
    *out = cJSON_CreateObject();
    if (!*out || !cJSON_AddStringToObject(*out, "run", sel->run))
        return NULL;
    return cJSON_AddArrayToObject(*out, name);
}

/* Appends the layer of the current row, without its columns: how many points they may have depends
 * on how many layers there are. */
static bool push_layer(cJSON *array, sqlite3_stmt *statement)
{
    cJSON *object = json_push_object(array);

    return object && cJSON_AddStringToObject(object, "layer", sql_column_text(statement, 1)) &&
           json_add_integer(object, "p", sqlite3_column_int64(statement, 2)) &&
           json_add_integer(object, "c", sqlite3_column_int64(statement, 3));
}

/* Collects the layers asked for. */
static int list_layers(struct history *history, const struct feed_series_query *params,
                       const struct selection *sel, cJSON *array, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    int rc;

    SQL_BIND(statement, sel->run_key);
    sql_bind_text(statement, 2, params->layer);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!push_layer(array, statement) || sql_row_check(statement, err) < 0)
            return history_no_memory(err);
    }
    if (rc == 0 && params->layer && cJSON_GetArraySize(array) == 0)
        return err_set(err, -ENOENT, "run \"%s\" has no layer \"%.128s\"", sel->run, params->layer);
    return rc;
}

static int fill_layers(struct history *history, const struct feed_series_query *params,
                       const struct selection *sel, cJSON *array, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    struct line line = POINT_LINE;
    cJSON *object;
    int rc;

    SQL_BIND(statement, sel->run_key);
    sql_bind_text(statement, 2, params->layer);
    cJSON_ArrayForEach(object, array)
    {
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        line.key = sqlite3_column_int64(statement, 0);
        rc = line_add(history, &line, sel, object, err);
        if (rc < 0)
            return rc;
    }
    sqlite3_reset(statement);
    return 0;
}

static int query_series(struct history *history, const struct feed_series_query *params,
                        struct selection *sel, cJSON **out, struct err *err)
{
    cJSON *array;
    int rc;

    rc = selection_of_metrics(sel, params->metrics, err);
    if (rc == 0)
        rc = selection_of_run(history, params->run, &params->range, sel, err);
    if (rc == 0 && (params->scalars || params->all_scalars))
        rc = selection_of_scalars(history, sel, params->scalars, err);
    if (rc == 0 && sel->n_scalars > FEED_NAMES_MAX)
        rc = err_set(err, -EINVAL, "\"scalars\": the run has %zu, at most %d can be joined",
                     sel->n_scalars, FEED_NAMES_MAX);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "layers", out);
    if (!array)
        return history_no_memory(err);
    rc = list_layers(history, params, sel, array, err);
    if (rc < 0)
        return rc;
    selection_share_rows(sel, (size_t)cJSON_GetArraySize(array), selection_point_columns(sel));
    return fill_layers(history, params, sel, array, err);
}

static int series(struct history *history, const struct feed_series_query *params, cJSON **out,
                  struct err *err)
{
    struct selection sel = {0};
    int rc = query_series(history, params, &sel, out, err);

    selection_release(&sel);
    return rc;
}

int history_series(struct history *history, const struct feed_series_query *params, cJSON **out,
                   struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = series(history, params, out, err);
    return history_end(history, rc, out);
}

/* ---- scalars.query ------------------------------------------------------------------------- */

static int add_scalar(struct history *history, const struct scalar_name *scalar,
                      const struct selection *sel, cJSON *array, struct err *err)
{
    struct line line = SCALAR_LINE;
    cJSON *object = json_push_object(array);

    line.key = scalar->key;
    if (!object || !cJSON_AddStringToObject(object, "name", scalar->name))
        return history_no_memory(err);
    return line_add(history, &line, sel, object, err);
}

static int query_scalars(struct history *history, const struct feed_scalars_query *params,
                         struct selection *sel, cJSON **out, struct err *err)
{
    cJSON *array;
    int rc;

    rc = selection_of_run(history, params->run, &params->range, sel, err);
    if (rc == 0)
        rc = selection_of_scalars(history, sel, params->names, err);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "scalars", out);
    if (!array)
        return history_no_memory(err);
    selection_share_rows(sel, sel->n_scalars, N_SCALAR_COLUMNS);
    for (size_t i = 0; rc == 0 && i < sel->n_scalars; i++)
        rc = add_scalar(history, &sel->scalars[i], sel, array, err);
    return rc;
}

static int scalars(struct history *history, const struct feed_scalars_query *params, cJSON **out,
                   struct err *err)
{
    struct selection sel = {0};
    int rc = query_scalars(history, params, &sel, out, err);

    selection_release(&sel);
    return rc;
}

int history_scalars(struct history *history, const struct feed_scalars_query *params, cJSON **out,
                    struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = scalars(history, params, out, err);
    return history_end(history, rc, out);
}
