#include "daemon/history/history.h"

#include <errno.h>

#include "daemon/history/line.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

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
static bool push_layer(cJSON *array, sqlite3_stmt *q)
{
    cJSON *o = json_push_object(array);

    return o && cJSON_AddStringToObject(o, "layer", sql_column_text(q, 1)) &&
           json_add_integer(o, "p", sqlite3_column_int64(q, 2)) &&
           json_add_integer(o, "c", sqlite3_column_int64(q, 3));
}

/* Collects the layers asked for. */
static int list_layers(struct history *h, const struct feed_series_query *params,
                       const struct selection *sel, cJSON *array, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    int rc;

    SQL_BIND(q, sel->run_key);
    sql_bind_text(q, 2, params->layer);
    while ((rc = sql_step(q, e)) == 1) {
        if (!push_layer(array, q) || sql_row_check(q, e) < 0)
            return history_no_memory(e);
    }
    if (rc == 0 && params->layer && cJSON_GetArraySize(array) == 0)
        return err_set(e, -ENOENT, "run \"%s\" has no layer \"%.128s\"", sel->run, params->layer);
    return rc;
}

static int fill_layers(struct history *h, const struct feed_series_query *params,
                       const struct selection *sel, cJSON *array, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_LAYERS];
    struct line line = POINT_LINE;
    cJSON *object;
    int rc;

    SQL_BIND(q, sel->run_key);
    sql_bind_text(q, 2, params->layer);
    cJSON_ArrayForEach(object, array)
    {
        rc = sql_step(q, e);
        if (rc < 0)
            return rc;
        line.key = sqlite3_column_int64(q, 0);
        rc = line_add(h, &line, sel, object, e);
        if (rc < 0)
            return rc;
    }
    sqlite3_reset(q);
    return 0;
}

static int query_series(struct history *h, const struct feed_series_query *params,
                        struct selection *sel, cJSON **out, struct err *e)
{
    cJSON *array;
    int rc;

    rc = selection_of_metrics(sel, params->metrics, e);
    if (rc == 0)
        rc = selection_of_run(h, params->run, &params->range, sel, e);
    if (rc == 0 && (params->scalars || params->all_scalars))
        rc = selection_of_scalars(h, sel, params->scalars, e);
    if (rc == 0 && sel->n_scalars > FEED_NAMES_MAX)
        rc = err_set(e, -EINVAL, "\"scalars\": the run has %zu, at most %d can be joined",
                     sel->n_scalars, FEED_NAMES_MAX);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "layers", out);
    if (!array)
        return history_no_memory(e);
    rc = list_layers(h, params, sel, array, e);
    if (rc < 0)
        return rc;
    selection_share_rows(sel, (size_t)cJSON_GetArraySize(array), sel->n_scalars);
    return fill_layers(h, params, sel, array, e);
}

static int series(struct history *h, const struct feed_series_query *params, cJSON **out,
                  struct err *e)
{
    struct selection sel = {0};
    int rc = query_series(h, params, &sel, out, e);

    selection_release(&sel);
    return rc;
}

int history_series(struct history *h, const struct feed_series_query *params, cJSON **out,
                   struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = series(h, params, out, e);
    return history_end(h, rc, out);
}

/* ---- scalars.query ------------------------------------------------------------------------- */

static int add_scalar(struct history *h, const struct scalar_name *scalar,
                      const struct selection *sel, cJSON *array, struct err *e)
{
    struct line line = SCALAR_LINE;
    cJSON *object = json_push_object(array);

    line.key = scalar->key;
    if (!object || !cJSON_AddStringToObject(object, "name", scalar->name))
        return history_no_memory(e);
    return line_add(h, &line, sel, object, e);
}

static int query_scalars(struct history *h, const struct feed_scalars_query *params,
                         struct selection *sel, cJSON **out, struct err *e)
{
    cJSON *array;
    int rc;

    rc = selection_of_run(h, params->run, &params->range, sel, e);
    if (rc == 0)
        rc = selection_of_scalars(h, sel, params->names, e);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "scalars", out);
    if (!array)
        return history_no_memory(e);
    selection_share_rows(sel, sel->n_scalars, 0);
    for (size_t i = 0; rc == 0 && i < sel->n_scalars; i++)
        rc = add_scalar(h, &sel->scalars[i], sel, array, e);
    return rc;
}

static int scalars(struct history *h, const struct feed_scalars_query *params, cJSON **out,
                   struct err *e)
{
    struct selection sel = {0};
    int rc = query_scalars(h, params, &sel, out, e);

    selection_release(&sel);
    return rc;
}

int history_scalars(struct history *h, const struct feed_scalars_query *params, cJSON **out,
                    struct err *e)
{
    int rc = history_begin(h, out, e);

    if (rc == 0)
        rc = scalars(h, params, out, e);
    return history_end(h, rc, out);
}
