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

static bool is_asked_for(const struct point_field *field, const struct selection *sel)
{
    return field->place == POINT_PLACE_ROW && (field->metric < 0 || sel->metrics[field->metric]);
}

static bool add_point_arrays(cJSON *columns, const struct selection *sel, struct row_arrays *out)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (!is_asked_for(&point_table[i], sel))
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

static bool push_point(struct row_arrays *arrays, sqlite3_stmt *q)
{
    struct point point;

    store_schema_point(q, 1, &point);
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        cJSON *value;

        if (!arrays->member[i])
            continue;
        value = point_member_to_json(&point, &point_table[i]);
        if (!value)
            return false;
        cJSON_AddItemToArray(arrays->member[i], value);
    }
    return json_push_integer(arrays->attempt, sqlite3_column_int64(q, 0));
}

static bool push_scalar(struct row_arrays *arrays, sqlite3_stmt *q)
{
    return json_push_integer(arrays->attempt, sqlite3_column_int64(q, 0)) &&
           json_push_integer(arrays->step, sqlite3_column_int64(q, 1)) &&
           json_push_double(arrays->time, sql_column_double(q, 2)) &&
           json_push_double(arrays->value, sql_column_double(q, 3));
}

/* What was logged at the place; null without. */
static int push_joined(struct history *h, const struct selection *sel, struct row_arrays *arrays,
                       const struct feed_place *place, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_SCALAR_AT];

    for (size_t i = 0; i < sel->n_scalars; i++) {
        double value = (double)NAN;
        int rc;

        SQL_BIND(q, sel->scalars[i].key, place->attempt, place->step);
        rc = sql_step(q, e);
        if (rc < 0)
            return rc;
        if (rc == 1)
            value = sql_column_double(q, 0);
        sqlite3_reset(q);
        if (!json_push_double(arrays->joined[i].values, value))
            return history_no_memory(e);
    }
    return 0;
}

static int push_row(struct history *h, const struct line *line, const struct selection *sel,
                    struct row_arrays *arrays, struct progress *progress, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->rows];
    int step_column = line->is_point ? 1 + SCHEMA_POINT_MEMBERS + POINT_step : 1;

    progress->n_rows++;
    progress->last =
        (struct feed_place){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, step_column)};
    if (!(line->is_point ? push_point(arrays, q) : push_scalar(arrays, q)))
        return history_no_memory(e);
    return line->is_point ? push_joined(h, sel, arrays, &progress->last, e) : 0;
}

/* Gives the rows of all attempts until the page is full. */
static int push_rows(struct history *h, const struct line *line, const struct selection *sel,
                     struct row_arrays *arrays, struct progress *progress, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->rows];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sel->n_ranges; i++) {
        line_bind(q, line, &sel->ranges[i]);
        while ((rc = sql_step(q, e)) == 1) {
            progress->more = progress->n_rows == sel->max_rows;
            rc = progress->more ? 0 : push_row(h, line, sel, arrays, progress, e);
            if (rc < 0 || progress->more) {
                sqlite3_reset(q);
                return rc;
            }
        }
    }
    return rc;
}

static int add_rows(struct history *h, const struct line *line, const struct selection *sel,
                    cJSON *columns, struct progress *progress, struct err *e)
{
    struct row_arrays arrays = {0};
    int rc;

    rc = add_arrays(columns, line, sel, &arrays) ? push_rows(h, line, sel, &arrays, progress, e)
                                                 : history_no_memory(e);
    free(arrays.joined);
    return rc;
}

/* ---- the object ---------------------------------------------------------------------------- */

/* How many rows there are, counted no further than one beyond the limit. */
static int count_rows(struct history *h, const struct line *line, const struct selection *sel,
                      int64_t *n, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->count];

    *n = 0;
    for (size_t i = 0; i < sel->n_ranges && *n <= sel->max_rows; i++) {
        int rc;

        line_bind(q, line, &sel->ranges[i]);
        sqlite3_bind_int64(q, 5, sel->max_rows + 1 - *n);
        rc = sql_step(q, e);
        if (rc < 0)
            return rc;
        *n += sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
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

int line_add(struct history *h, const struct line *line, const struct selection *sel, cJSON *object,
             struct err *e)
{
    bool is_page = sel->range->limit > 0, binned;
    struct progress progress = {0};
    cJSON *columns;
    int64_t n = 0;
    int rc = 0;

    assert(sel->max_rows > 0 && cJSON_IsObject(object));
    if (!is_page)
        rc = count_rows(h, line, sel, &n, e);
    if (rc < 0)
        return rc;
    binned = n > sel->max_rows;
    if (!cJSON_AddBoolToObject(object, "binned", binned))
        return history_no_memory(e);
    columns = cJSON_AddObjectToObject(object, "columns");
    if (!columns)
        return history_no_memory(e);
    rc = binned ? line_add_bins(h, line, sel, columns, e)
                : add_rows(h, line, sel, columns, &progress, e);
    if (rc == 0 && is_page && !add_next(object, &progress))
        return history_no_memory(e);
    return rc;
}
