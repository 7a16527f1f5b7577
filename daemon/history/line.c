#include "daemon/history/line.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* The values of a scalar beside the points. */
struct joined {
    cJSON *values;
};

/* The arrays of a line that is given row by row. Those of a point are by enum point_member, NULL
 * for what was not asked for or stands in the layer; those of the scalars that are joined follow
 * the selection. A scalar's own line has step, time and value. */
struct row_arrays {
    cJSON *attempt;
    cJSON *member[POINT_MEMBER_COUNT];
    struct joined *joined;
    cJSON *step, *time, *value;
};

/* How far a line has been given. */
struct progress {
    int64_t n_rows;
    struct feed_place last; /* the place of the last row */
    bool more;              /* there are rows behind it */
};

/* ---- arrays -------------------------------------------------------------------------------- */

static bool add_point_arrays(cJSON *columns, const struct selection *sel, struct row_arrays *out)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (!selection_has_member(sel, &point_table[i]))
            continue;
        out->member[i] = cJSON_AddArrayToObject(columns, point_table[i].name);
        if (!out->member[i])
            return false;
    }
    return true;
}

static bool add_joined_arrays(cJSON *columns, const struct selection *sel, struct row_arrays *out)
{
    cJSON *scalars;

    if (sel->n_scalars == 0)
        return true;
    scalars = cJSON_AddObjectToObject(columns, "scalars");
    out->joined = calloc(sel->n_scalars, sizeof *out->joined);
    if (!scalars || !out->joined)
        return false;
    for (size_t i = 0; i < sel->n_scalars; i++) {
        out->joined[i].values = cJSON_AddArrayToObject(scalars, sel->scalars[i].name);
        if (!out->joined[i].values)
            return false;
    }
    return true;
}

static bool add_arrays(cJSON *columns, const struct line *line, const struct selection *sel,
                       struct row_arrays *out)
{
    out->attempt = cJSON_AddArrayToObject(columns, "attempt");
    if (!out->attempt)
        return false;
    if (line->is_point)
        return add_point_arrays(columns, sel, out) && add_joined_arrays(columns, sel, out);
    out->step = cJSON_AddArrayToObject(columns, "step");
    out->time = cJSON_AddArrayToObject(columns, "time");
    out->value = cJSON_AddArrayToObject(columns, "value");
    return out->step && out->time && out->value;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool push_point(struct row_arrays *arrays, sqlite3_stmt *statement)
{
    struct point point;

    store_schema_point(statement, 1, &point);
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        cJSON *value;

        if (!arrays->member[i])
            continue;
        value = point_member_to_json(&point, &point_table[i]);
        if (!value)
            return false;
        cJSON_AddItemToArray(arrays->member[i], value);
    }
    return json_push_integer(arrays->attempt, sqlite3_column_int64(statement, 0));
}

static bool push_scalar(struct row_arrays *arrays, sqlite3_stmt *statement)
{
    return json_push_integer(arrays->attempt, sqlite3_column_int64(statement, 0)) &&
           json_push_integer(arrays->step, sqlite3_column_int64(statement, 1)) &&
           json_push_double(arrays->time, sql_column_double(statement, 2)) &&
           json_push_double(arrays->value, sql_column_double(statement, 3));
}

/* What was logged at the place; null without. */
static int push_joined(struct history *history, const struct selection *sel,
                       struct row_arrays *arrays, const struct feed_place *place, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_SCALAR_AT];

    for (size_t i = 0; i < sel->n_scalars; i++) {
        double value = (double)NAN;
        int rc;

        SQL_BIND(statement, sel->scalars[i].key, place->attempt, place->step);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        if (rc == 1)
            value = sql_column_double(statement, 0);
        sqlite3_reset(statement);
        if (!json_push_double(arrays->joined[i].values, value))
            return history_no_memory(err);
    }
    return 0;
}

static int push_row(struct history *history, const struct line *line, const struct selection *sel,
                    struct row_arrays *arrays, struct progress *progress, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->rows];
    int step_column = line->is_point ? 1 + SCHEMA_POINT_MEMBERS + POINT_step : 1;

    progress->n_rows++;
    progress->last = (struct feed_place){sqlite3_column_int64(statement, 0),
                                         sqlite3_column_int64(statement, step_column)};
    if (!(line->is_point ? push_point(arrays, statement) : push_scalar(arrays, statement)))
        return history_no_memory(err);
    return line->is_point ? push_joined(history, sel, arrays, &progress->last, err) : 0;
}

/* Gives the rows of all attempts until the page is full. */
static int push_rows(struct history *history, const struct line *line, const struct selection *sel,
                     struct row_arrays *arrays, struct progress *progress, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->rows];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sel->n_ranges; i++) {
        line_bind(statement, line, &sel->ranges[i]);
        while ((rc = sql_step(statement, err)) == 1) {
            progress->more = progress->n_rows == sel->max_rows;
            rc = progress->more ? 0 : push_row(history, line, sel, arrays, progress, err);
            if (rc < 0 || progress->more) {
                sqlite3_reset(statement);
                return rc;
            }
        }
    }
    return rc;
}

static int add_rows(struct history *history, const struct line *line, const struct selection *sel,
                    cJSON *columns, struct progress *progress, struct err *err)
{
    struct row_arrays arrays = {0};
    int rc;

    rc = add_arrays(columns, line, sel, &arrays)
             ? push_rows(history, line, sel, &arrays, progress, err)
             : history_no_memory(err);
    free(arrays.joined);
    return rc;
}

/* ---- the object ---------------------------------------------------------------------------- */

/* How many rows there are, counted no further than one beyond the limit. */
static int count_rows(struct history *history, const struct line *line, const struct selection *sel,
                      int64_t *n, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->count];

    *n = 0;
    for (size_t i = 0; i < sel->n_ranges && *n <= sel->max_rows; i++) {
        int rc;

        line_bind(statement, line, &sel->ranges[i]);
        sqlite3_bind_int64(statement, 5, sel->max_rows + 1 - *n);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        *n += sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    return 0;
}

static bool add_next(cJSON *object, const struct progress *progress)
{
    char text[FEED_PLACE_SIZE];

    if (!progress->more)
        return cJSON_AddNullToObject(object, "next") != NULL;
    feed_place_print(&progress->last, text);
    return cJSON_AddStringToObject(object, "next", text) != NULL;
}

int line_add(struct history *history, const struct line *line, const struct selection *sel,
             cJSON *object, struct err *err)
{
    bool is_page = sel->range->limit > 0, binned;
    struct progress progress = {0};
    cJSON *columns;
    int64_t n = 0;
    int rc = 0;

    assert(sel->max_rows > 0 && cJSON_IsObject(object));
    if (!is_page)
        rc = count_rows(history, line, sel, &n, err);
    if (rc < 0)
        return rc;
    binned = n > sel->max_rows;
    if (!cJSON_AddBoolToObject(object, "binned", binned))
        return history_no_memory(err);
    columns = cJSON_AddObjectToObject(object, "columns");
    if (!columns)
        return history_no_memory(err);
    rc = binned ? line_add_bins(history, line, sel, columns, err)
                : add_rows(history, line, sel, columns, &progress, err);
    if (rc == 0 && is_page && !add_next(object, &progress))
        return history_no_memory(err);
    return rc;
}
