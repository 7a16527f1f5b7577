#include "daemon/history/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/history/bins.h"
#include "daemon/history/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* The steps of one attempt that are asked for. */
struct segment {
    int64_t attempt;
    int64_t from;
    int64_t to;
};

/* What a query is about, once its words are resolved. */
struct selection {
    const struct feed_range *range;
    int64_t run_key;
    char run[RUN_ID_MAX + 1];
    struct segment *segments; /* in the order of the attempts; owned */
    size_t n_segments;
    int64_t n_points; /* of one line, at most */
    bool metrics[METRIC_COUNT];
};

/* A line is one layer's points or one scalar's values: the statements that read it, and its
 * columns. */
struct line {
    enum history_sql rows, count, ends, values;
    bool is_point;
    int64_t key;
    size_t n_values;
};

#define POINT_LINE                                                                                 \
    {                                                                                              \
        .rows = SQL_POINTS, .count = SQL_POINT_COUNT, .ends = SQL_POINT_ENDS,                      \
        .values = SQL_POINT_VALUES, .is_point = true, .n_values = METRIC_COUNT                     \
    }
#define SCALAR_LINE                                                                                \
    {                                                                                              \
        .rows = SQL_SCALARS, .count = SQL_SCALAR_COUNT, .ends = SQL_SCALAR_ENDS,                   \
        .values = SQL_SCALAR_VALUES, .n_values = 1                                                 \
    }

/* ---- what is asked for --------------------------------------------------------------------- */

static int read_segments(struct history *h, struct selection *sel, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_ATTEMPTS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(q, sel->run_key);
    while ((rc = sql_step(q, e)) == 1) {
        bool has_first = sqlite3_column_type(q, 1) != SQLITE_NULL;

        if (sel->n_segments == capacity) {
            struct segment *grown;

            capacity = capacity ? 2 * capacity : 8;
            grown = realloc(sel->segments, capacity * sizeof *grown);
            if (!grown)
                return history_no_memory(e);
            sel->segments = grown;
        }
        /* `from` holds the attempt's first step until cut_segments() has used it. */
        sel->segments[sel->n_segments++] = (struct segment){
            .attempt = sqlite3_column_int64(q, 0),
            .from = has_first ? sqlite3_column_int64(q, 1) : INT64_MAX,
            .to = sel->range->to,
        };
    }
    return rc;
}

/* Ends each attempt before the first step of every newer one: what follows is superseded. An
 * attempt that has stored nothing supersedes nothing. */
static void cut_segments(struct selection *sel)
{
    int64_t next_first = INT64_MAX;

    for (size_t i = sel->n_segments; i-- > 0;) {
        struct segment *s = &sel->segments[i];
        int64_t first = s->from;

        s->from = sel->range->from;
        if (!sel->range->all_attempts && next_first <= s->to)
            s->to = next_first - 1;
        if (first < next_first)
            next_first = first;
    }
}

static int select_run(struct history *h, const char *run, const struct feed_range *range,
                      struct selection *sel, struct err *e)
{
    int rc;

    sel->range = range;
    rc = history_resolve(h, run, &sel->run_key, sel->run, e);
    if (rc == 0)
        rc = read_segments(h, sel, e);
    if (rc == 0)
        cut_segments(sel);
    return rc;
}

static int select_metrics(const cJSON *names, struct selection *sel, struct err *e)
{
    const cJSON *name;

    for (int i = 0; i < METRIC_COUNT; i++)
        sel->metrics[i] = !names;
    cJSON_ArrayForEach(name, names)
    {
        int metric = metric_find(name->valuestring);

        if (metric < 0)
            return err_set(e, -EINVAL, "\"metrics\": no measure \"%.64s\"", name->valuestring);
        sel->metrics[metric] = true;
    }
    return 0;
}

/* Shares HISTORY_ANSWER_POINTS out among the lines. */
static void limit_points(struct selection *sel, size_t n_lines)
{
    int64_t share = HISTORY_ANSWER_POINTS / (int64_t)(n_lines ? n_lines : 1);

    if (share < FEED_POINTS_MIN)
        share = FEED_POINTS_MIN;
    sel->n_points = sel->range->points < share ? sel->range->points : share;
}

/* ---- columns ------------------------------------------------------------------------------- */

/* The name of the i-th value, or NULL when it was not asked for. */
static const char *value_name(const struct line *line, const struct selection *sel, size_t i)
{
    if (!line->is_point)
        return "value";
    return sel->metrics[i] ? metric_table[i].name : NULL;
}

static void bind_segment(sqlite3_stmt *q, const struct line *line, const struct segment *s)
{
    SQL_BIND(q, line->key, s->attempt, s->from, s->to);
}

/* How many rows there are, counted no further than one beyond the limit. */
static int count_rows(struct history *h, const struct line *line, const struct selection *sel,
                      int64_t *n, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->count];

    *n = 0;
    for (size_t i = 0; i < sel->n_segments && *n <= sel->n_points; i++) {
        int rc;

        bind_segment(q, line, &sel->segments[i]);
        sqlite3_bind_int64(q, 5, sel->n_points + 1 - *n);
        rc = sql_step(q, e);
        if (rc < 0)
            return rc;
        *n += sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
    }
    return 0;
}

/* The first and the last step there is. */
static int find_ends(struct history *h, const struct line *line, const struct selection *sel,
                     int64_t *from, int64_t *to, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->ends];

    *from = INT64_MAX;
    *to = 0;
    for (size_t i = 0; i < sel->n_segments; i++) {
        int rc;

        bind_segment(q, line, &sel->segments[i]);
        rc = sql_step(q, e);
        if (rc < 0)
            return rc;
        if (sqlite3_column_type(q, 0) != SQLITE_NULL) {
            int64_t first = sqlite3_column_int64(q, 0), last = sqlite3_column_int64(q, 1);

            *from = first < *from ? first : *from;
            *to = last > *to ? last : *to;
        }
        sqlite3_reset(q);
    }
    return 0;
}

/* Streams all rows of the line into bins: memory for the bins, none for the rows. */
static int fill_bins(struct history *h, const struct line *line, const struct selection *sel,
                     struct series *series, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->values];
    double values[METRIC_COUNT];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sel->n_segments; i++) {
        bind_segment(q, line, &sel->segments[i]);
        while ((rc = sql_step(q, e)) == 1) {
            for (size_t v = 0; v < line->n_values; v++)
                values[v] = sql_column_double(q, 1 + (int)v);
            series_add(series, sqlite3_column_int64(q, 0), values);
        }
    }
    return rc;
}

/* The three arrays of value `v`. */
static bool add_value_bins(cJSON *columns, const char *name, const struct series *series, size_t v)
{
    cJSON *o = cJSON_AddObjectToObject(columns, name);
    cJSON *min = cJSON_AddArrayToObject(o, "min");
    cJSON *max = cJSON_AddArrayToObject(o, "max");
    cJSON *last = cJSON_AddArrayToObject(o, "last");
    struct series_bin bin;
    size_t cursor = 0;

    if (!min || !max || !last)
        return false;
    while (series_next(series, &cursor, &bin)) {
        if (!json_push_double(min, bin.min[v]) || !json_push_double(max, bin.max[v]) ||
            !json_push_double(last, bin.last[v]))
            return false;
    }
    return true;
}

static bool add_bins(cJSON *columns, const struct line *line, const struct selection *sel,
                     const struct series *series)
{
    cJSON *step = cJSON_AddArrayToObject(columns, "step");
    cJSON *step_end = cJSON_AddArrayToObject(columns, "step_end");
    cJSON *count = cJSON_AddArrayToObject(columns, "count");
    struct series_bin bin;
    size_t cursor = 0;

    if (!step || !step_end || !count)
        return false;
    while (series_next(series, &cursor, &bin)) {
        if (!json_push_integer(step, bin.step) || !json_push_integer(step_end, bin.step_end) ||
            !json_push_integer(count, (int64_t)bin.count))
            return false;
    }
    for (size_t v = 0; v < line->n_values; v++) {
        const char *name = value_name(line, sel, v);

        if (name && !add_value_bins(columns, name, series, v))
            return false;
    }
    return true;
}

static int add_binned_columns(struct history *h, const struct line *line,
                              const struct selection *sel, cJSON *columns, struct err *e)
{
    struct series *series;
    int64_t from = 0, to = 0;
    int rc;

    rc = find_ends(h, line, sel, &from, &to, e);
    if (rc < 0)
        return rc;
    series = series_new(line->n_values, (size_t)sel->n_points,
                        sel->range->linear ? SPACING_LINEAR : SPACING_LOG, from, to);
    if (!series)
        return history_no_memory(e);
    rc = fill_bins(h, line, sel, series, e);
    if (rc == 0 && !add_bins(columns, line, sel, series))
        rc = history_no_memory(e);
    series_free(series);
    return rc;
}

/* The arrays of a series that is given row by row. Those of a point are by enum point_member; NULL
 * for what was not asked for, or stands in the layer. A scalar has three. */
struct rows {
    cJSON *attempt;
    cJSON *member[POINT_MEMBER_COUNT];
    cJSON *step, *time, *value;
};

static bool is_asked_for(const struct point_field *field, const struct selection *sel)
{
    return field->place == POINT_PLACE_ROW && (field->metric < 0 || sel->metrics[field->metric]);
}

static bool add_point_arrays(cJSON *columns, const struct selection *sel, struct rows *out)
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

static bool add_arrays(cJSON *columns, const struct line *line, const struct selection *sel,
                       struct rows *out)
{
    memset(out, 0, sizeof *out);
    out->attempt = cJSON_AddArrayToObject(columns, "attempt");
    if (!out->attempt)
        return false;
    if (line->is_point)
        return add_point_arrays(columns, sel, out);
    out->step = cJSON_AddArrayToObject(columns, "step");
    out->time = cJSON_AddArrayToObject(columns, "time");
    out->value = cJSON_AddArrayToObject(columns, "value");
    return out->step && out->time && out->value;
}

static bool push_point(struct rows *rows, sqlite3_stmt *q)
{
    struct point point;

    store_schema_point(q, 1, &point);
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        cJSON *value;

        if (!rows->member[i])
            continue;
        value = point_member_to_json(&point, &point_table[i]);
        if (!value)
            return false;
        cJSON_AddItemToArray(rows->member[i], value);
    }
    return json_push_integer(rows->attempt, sqlite3_column_int64(q, 0));
}

static bool push_scalar(struct rows *rows, sqlite3_stmt *q)
{
    return json_push_integer(rows->attempt, sqlite3_column_int64(q, 0)) &&
           json_push_integer(rows->step, sqlite3_column_int64(q, 1)) &&
           json_push_double(rows->time, sql_column_double(q, 2)) &&
           json_push_double(rows->value, sql_column_double(q, 3));
}

static int add_row_columns(struct history *h, const struct line *line, const struct selection *sel,
                           cJSON *columns, struct err *e)
{
    sqlite3_stmt *q = h->statement[line->rows];
    struct rows rows;
    int rc = 0;

    if (!add_arrays(columns, line, sel, &rows))
        return history_no_memory(e);
    for (size_t i = 0; rc == 0 && i < sel->n_segments; i++) {
        bind_segment(q, line, &sel->segments[i]);
        while ((rc = sql_step(q, e)) == 1) {
            if (!(line->is_point ? push_point(&rows, q) : push_scalar(&rows, q)))
                return history_no_memory(e);
        }
    }
    return rc;
}

/* "binned" and "columns" of a line. */
static int add_line(struct history *h, const struct line *line, const struct selection *sel,
                    cJSON *object, struct err *e)
{
    cJSON *columns;
    int64_t n = 0;
    bool binned;
    int rc;

    rc = count_rows(h, line, sel, &n, e);
    if (rc < 0)
        return rc;
    binned = n > sel->n_points;
    if (!cJSON_AddBoolToObject(object, "binned", binned))
        return history_no_memory(e);
    columns = cJSON_AddObjectToObject(object, "columns");
    if (!columns)
        return history_no_memory(e);
    return binned ? add_binned_columns(h, line, sel, columns, e)
                  : add_row_columns(h, line, sel, columns, e);
}

/* ---- series.query -------------------------------------------------------------------------- */

/* Makes {"run":id, NAME:[]}; returns the array, NULL without memory. */
static cJSON *start_answer(const struct selection *sel, const char *name, cJSON **out)
{
    *out = cJSON_CreateObject();
    if (!*out || !cJSON_AddStringToObject(*out, "run", sel->run))
        return NULL;
    return cJSON_AddArrayToObject(*out, name);
}

/* Appends the layer of the row at hand, without its columns: how many points they may have depends
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
        rc = add_line(h, &line, sel, object, e);
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

    rc = select_metrics(params->metrics, sel, e);
    if (rc == 0)
        rc = select_run(h, params->run, &params->range, sel, e);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "layers", out);
    if (!array)
        return history_no_memory(e);
    rc = list_layers(h, params, sel, array, e);
    if (rc < 0)
        return rc;
    limit_points(sel, (size_t)cJSON_GetArraySize(array));
    return fill_layers(h, params, sel, array, e);
}

static int series(struct history *h, const void *params, cJSON **out, struct err *e)
{
    struct selection sel = {0};
    int rc = query_series(h, params, &sel, out, e);

    free(sel.segments);
    return rc;
}

int history_series(struct history *h, const struct feed_series_query *params, cJSON **out,
                   struct err *e)
{
    return history_read(h, series, params, out, e);
}

/* ---- scalars.query ------------------------------------------------------------------------- */

static bool wants_name(const cJSON *names, const char *name)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        if (strcmp(wanted->valuestring, name) == 0)
            return true;
    }
    return !names;
}

/* A name that the run has not logged is an error, not an empty series: it may be a typing mistake.
 */
static int check_names(const cJSON *names, const cJSON *array, const struct selection *sel,
                       struct err *e)
{
    const cJSON *wanted, *scalar;

    cJSON_ArrayForEach(wanted, names)
    {
        bool found = false;

        cJSON_ArrayForEach(scalar, array)
        {
            const cJSON *name = cJSON_GetObjectItemCaseSensitive(scalar, "name");

            found = found || strcmp(name->valuestring, wanted->valuestring) == 0;
        }
        if (!found)
            return err_set(e, -ENOENT, "run \"%s\" has no scalar \"%.128s\"", sel->run,
                           wanted->valuestring);
    }
    return 0;
}

static int list_scalars(struct history *h, const cJSON *names, const struct selection *sel,
                        cJSON *array, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_NAMES];
    int rc;

    SQL_BIND(q, sel->run_key);
    while ((rc = sql_step(q, e)) == 1) {
        const char *name = sql_column_text(q, 1);
        cJSON *o;

        rc = sql_row_check(q, e);
        if (rc < 0)
            return rc;
        if (!wants_name(names, name))
            continue;
        o = json_push_object(array);
        if (!o || !cJSON_AddStringToObject(o, "name", name))
            return history_no_memory(e);
    }
    return rc < 0 ? rc : check_names(names, array, sel, e);
}

/* The same rows again, in the same order and snapshot, now with their columns. */
static int fill_scalars(struct history *h, const cJSON *names, const struct selection *sel,
                        cJSON *array, struct err *e)
{
    sqlite3_stmt *q = h->statement[SQL_NAMES];
    struct line line = SCALAR_LINE;
    cJSON *object = array->child;
    int rc;

    SQL_BIND(q, sel->run_key);
    while ((rc = sql_step(q, e)) == 1) {
        const char *name = sql_column_text(q, 1);

        rc = sql_row_check(q, e);
        if (rc < 0)
            return rc;
        if (!wants_name(names, name))
            continue;
        line.key = sqlite3_column_int64(q, 0);
        rc = add_line(h, &line, sel, object, e);
        if (rc < 0)
            return rc;
        object = object->next;
    }
    return rc;
}

static int query_scalars(struct history *h, const struct feed_scalars_query *params,
                         struct selection *sel, cJSON **out, struct err *e)
{
    cJSON *array;
    int rc;

    rc = select_run(h, params->run, &params->range, sel, e);
    if (rc < 0)
        return rc;
    array = start_answer(sel, "scalars", out);
    if (!array)
        return history_no_memory(e);
    rc = list_scalars(h, params->names, sel, array, e);
    if (rc < 0)
        return rc;
    limit_points(sel, (size_t)cJSON_GetArraySize(array));
    return fill_scalars(h, params->names, sel, array, e);
}

static int scalars(struct history *h, const void *params, cJSON **out, struct err *e)
{
    struct selection sel = {0};
    int rc = query_scalars(h, params, &sel, out, e);

    free(sel.segments);
    return rc;
}

int history_scalars(struct history *h, const struct feed_scalars_query *params, cJSON **out,
                    struct err *e)
{
    return history_read(h, scalars, params, out, e);
}
