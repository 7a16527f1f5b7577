#include "daemon/history/line_parts.h"

#include "daemon/history/bins.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* A line in bins: its rows are streamed into them, and they become the columns. */

/* The first and the last step there is. */
static int find_ends(struct history *history, const struct line *line, const struct selection *sel,
                     int64_t *from, int64_t *to, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->ends];

    *from = INT64_MAX;
    *to = 0;
    for (size_t i = 0; i < sel->n_ranges; i++) {
        int rc;

        line_bind(statement, line, &sel->ranges[i]);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL) {
            int64_t first = sqlite3_column_int64(statement, 0),
                    last = sqlite3_column_int64(statement, 1);

            *from = first < *from ? first : *from;
            *to = last > *to ? last : *to;
        }
        sqlite3_reset(statement);
    }
    return 0;
}

/* Streams all rows of the line into bins: memory for the bins, none for the rows. */
static int fill_bins(struct history *history, const struct line *line, const struct selection *sel,
                     struct bins *bins, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->values];
    double values[METRIC_COUNT];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sel->n_ranges; i++) {
        line_bind(statement, line, &sel->ranges[i]);
        while ((rc = sql_step(statement, err)) == 1) {
            for (size_t v = 0; v < line->n_values; v++)
                values[v] = sql_column_double(statement, 1 + (int)v);
            bins_add(bins, sqlite3_column_int64(statement, 0), values);
        }
    }
    return rc;
}

/* The three arrays of value `v`. */
static bool add_value_bins(cJSON *columns, const char *name, const struct bins *bins, size_t v)
{
    cJSON *object = cJSON_AddObjectToObject(columns, name);
    cJSON *min = cJSON_AddArrayToObject(object, "min");
    cJSON *max = cJSON_AddArrayToObject(object, "max");
    cJSON *last = cJSON_AddArrayToObject(object, "last");
    struct bin bin;
    size_t cursor = 0;

    if (!min || !max || !last)
        return false;
    while (bins_next(bins, &cursor, &bin)) {
        if (!json_push_double(min, bin.min[v]) || !json_push_double(max, bin.max[v]) ||
            !json_push_double(last, bin.last[v]))
            return false;
    }
    return true;
}

static bool add_bins(cJSON *columns, const struct line *line, const struct selection *sel,
                     const struct bins *bins)
{
    cJSON *step = cJSON_AddArrayToObject(columns, "step");
    cJSON *step_end = cJSON_AddArrayToObject(columns, "step_end");
    cJSON *count = cJSON_AddArrayToObject(columns, "count");
    struct bin bin;
    size_t cursor = 0;

    if (!step || !step_end || !count)
        return false;
    while (bins_next(bins, &cursor, &bin)) {
        if (!json_push_integer(step, bin.step) || !json_push_integer(step_end, bin.step_end) ||
            !json_push_integer(count, (int64_t)bin.count))
            return false;
    }
    for (size_t v = 0; v < line->n_values; v++) {
        const char *name = line_value_name(line, sel, v);

        if (name && !add_value_bins(columns, name, bins, v))
            return false;
    }
    return true;
}

int line_add_bins(struct history *history, const struct line *line, const struct selection *sel,
                  cJSON *columns, struct err *err)
{
    struct bins *bins;
    int64_t from = 0, to = 0;
    int rc;

    rc = find_ends(history, line, sel, &from, &to, err);
    if (rc < 0)
        return rc;
    bins = bins_new(line->n_values, (size_t)sel->max_rows,
                    sel->range->linear ? SPACING_LINEAR : SPACING_LOG, from, to);
    if (!bins)
        return history_no_memory(err);
    rc = fill_bins(history, line, sel, bins, err);
    if (rc == 0 && !add_bins(columns, line, sel, bins))
        rc = history_no_memory(err);
    bins_free(bins);
    return rc;
}
