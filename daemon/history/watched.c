#include <stdio.h>

#include "daemon/core/detect/watch.h"
#include "daemon/format/model_json.h"
#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* What a run watches for transitions, and of which series there are too few points to judge: a
 * detector is silent before TRANSITION_POINTS_MIN of them, and silence must not read as "nothing
 * happened". */

/* Points of a layer that are looked through at most, 4 ms: a measure that comes with every 40th of
 * them is still seen to be there. */
#define LOOKED_THROUGH_MAX 1000

/* The list of the run, as its newest opening said. */
static int read_list(struct history *history, int64_t run_key, struct watch_list *out,
                     struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_WATCHED];
    int rc;

    *out = (struct watch_list){0};
    SQL_BIND(statement, run_key);
    while ((rc = sql_step(statement, err)) == 1) {
        const char *name = sql_column_text(statement, 0);
        int metric = metric_find(name);

        if (out->n + out->n_scalars == RUN_WATCHED_MAX)
            continue;
        out->in_turn = out->in_turn || sqlite3_column_int(statement, 2);
        if (sqlite3_column_int(statement, 1))
            snprintf(out->scalars[out->n_scalars++], sizeof *out->scalars, "%s", name);
        else if (metric >= 0)
            out->metrics[out->n++] = (enum metric)metric;
        rc = sql_row_check(statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

/* `layer` NULL: of a scalar. */
static int add_series(cJSON *array, const char *layer, const char *metric, size_t n_points,
                      struct err *err)
{
    cJSON *object = json_push_object(array);

    if (object &&
        (layer ? cJSON_AddStringToObject(object, "layer", layer)
               : cJSON_AddNullToObject(object, "layer")) &&
        cJSON_AddStringToObject(object, "metric", metric) &&
        json_add_integer(object, "points", (int64_t)n_points) &&
        json_add_integer(object, "needed", TRANSITION_POINTS_MIN))
        return 0;
    return history_no_memory(err);
}

/* Counts a point for the series it belongs to; true when all have enough. */
static bool count_point(const struct watch_list *list, const struct point *point, size_t *count)
{
    size_t n_enough = 0;

    for (size_t i = 0; i < list->n; i++) {
        count[i] += count[i] < TRANSITION_POINTS_MIN && watch_takes(list->metrics[i], point);
        n_enough += count[i] == TRANSITION_POINTS_MIN;
    }
    return n_enough == (list->in_turn ? 1 : list->n);
}

static int count_points(struct history *history, int64_t run_key, int64_t layer_key,
                        const struct watch_list *list, size_t *count, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_WATCHED_POINTS];
    struct point point;
    int rc;

    SQL_BIND(statement, run_key, layer_key, LOOKED_THROUGH_MAX, 0, INT64_MAX);
    while ((rc = sql_step(statement, err)) == 1) {
        store_schema_point(statement, 0, &point);
        if (count_point(list, &point, count))
            break;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* Of metrics that stand in for each other: the first that is there. */
static size_t find_in_turn(const struct watch_list *list, const size_t *count)
{
    for (size_t i = 0; i < list->n; i++) {
        if (count[i] > 0)
            return i;
    }
    return 0;
}

static int add_layer(struct history *history, int64_t run_key, int64_t layer_key, const char *layer,
                     const struct watch_list *list, cJSON *array, struct err *err)
{
    size_t count[RUN_WATCHED_MAX] = {0}, first = 0, n = list->n;
    int rc = count_points(history, run_key, layer_key, list, count, err);

    if (list->in_turn) {
        first = find_in_turn(list, count);
        n = first + 1;
    }
    for (size_t i = first; rc == 0 && i < n; i++)
        rc = add_series(array, layer, metric_table[list->metrics[i]].name, count[i], err);
    return rc;
}

static int add_layers(struct history *history, int64_t run_key, const char *layer,
                      const struct watch_list *list, cJSON *array, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_LAYERS];
    int rc;

    if (list->n == 0)
        return 0;
    SQL_BIND(statement, run_key);
    sql_bind_text(statement, 2, layer);
    while ((rc = sql_step(statement, err)) == 1) {
        rc = add_layer(history, run_key, sqlite3_column_int64(statement, 0),
                       sql_column_text(statement, 1), list, array, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

static int add_scalars(struct history *history, int64_t run_key, const struct watch_list *list,
                       cJSON *array, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_WATCHED_SCALARS];
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < list->n_scalars; i++) {
        SQL_BIND(statement, run_key, 0, TRANSITION_POINTS_MIN, 0, INT64_MAX);
        sql_bind_text(statement, 2, list->scalars[i]);
        rc = sql_step(statement, err);
        if (rc == 1)
            rc = add_series(array, NULL, list->scalars[i],
                            (size_t)sqlite3_column_int64(statement, 0), err);
        sqlite3_reset(statement);
    }
    return rc < 0 ? rc : 0;
}

int history_watched(struct history *history, int64_t run_key, const char *layer, cJSON *array,
                    struct err *err)
{
    struct watch_list list;
    int rc = read_list(history, run_key, &list, err);

    if (rc == 0)
        rc = add_layers(history, run_key, layer, &list, array, err);
    return rc < 0 || layer ? rc : add_scalars(history, run_key, &list, array, err);
}
