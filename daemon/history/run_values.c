#include "daemon/history/run_values.h"

#include <math.h>
#include <string.h>

#include "daemon/history/line_parts.h"

/* The extremes come from the blocks of a line (line_blocks.c), in one bin that is as wide as all
 * steps: of a long series a few rows are read. The value up to a step is found from the newest
 * attempt backwards, in the index of the points. */

static int find_extreme(struct history *history, const struct line *line,
                        const struct selection *sel, const size_t *chosen, enum feed_at at,
                        double *out, struct err *err)
{
    struct bins *bins = bins_new(1, 2, SPACING_LINEAR, 0, INT64_MAX);
    size_t cursor = 0;
    struct bin bin;
    int rc;

    if (!bins)
        return history_no_memory(err);
    rc = line_fill_bins(history, line, sel, chosen, 1, bins, err);
    if (rc == 0 && bins_next(bins, &cursor, &bin))
        *out = at == FEED_AT_LEAST ? *bin.min : *bin.max;
    bins_free(bins);
    return rc;
}

static int prepare_latest(struct history *history, const struct line *line, const char *column,
                          sqlite3_stmt **out, struct err *err)
{
    char *sql = sqlite3_mprintf(
        "SELECT \"%w\" FROM %s = ?1 AND attempt = ?2"
        " AND step BETWEEN ?3 AND ?4 AND \"%w\" IS NOT NULL"
        " ORDER BY step DESC LIMIT 1",
        column, line->is_point ? "point WHERE layer_key" : "scalar WHERE name_key", column);
    int rc = sql ? sql_prepare(history->db, sql, out, err) : history_no_memory(err);

    sqlite3_free(sql);
    return rc;
}

static int find_latest(struct history *history, const struct line *line,
                       const struct selection *sel, const size_t *chosen, double *out,
                       struct err *err)
{
    sqlite3_stmt **kept = line_statement(history->latest, line, *chosen), *statement;
    int rc = *kept ? 0 : prepare_latest(history, line, line_value_name(line, *chosen), kept, err);

    statement = *kept;
    for (size_t i = sel->n_ranges; rc == 0 && i-- > 0;) {
        line_bind(statement, line, &sel->ranges[i]);
        rc = sql_step(statement, err);
        if (rc == 1)
            *out = sql_column_double(statement, 0);
        sqlite3_reset(statement);
    }
    return rc < 0 ? rc : 0;
}

static int find_in(struct history *history, const struct line *line, const struct selection *sel,
                   const size_t *chosen, enum feed_at at, double *out, struct err *err)
{
    return at == FEED_AT_STEP ? find_latest(history, line, sel, chosen, out, err)
                              : find_extreme(history, line, sel, chosen, at, out, err);
}

/* The layers of the run, the last one first, up to one that has the measure. */
static int find_measure(struct history *history, const struct selection *sel, size_t metric,
                        enum feed_at at, double *out, struct err *err)
{
    sqlite3_stmt *layers = history->statement[SQL_LAYER_KEYS];
    struct line line = POINT_LINE;
    int rc = 0;

    SQL_BIND(layers, sel->run_key);
    while (rc == 0 && isnan(*out) && (rc = sql_step(layers, err)) == 1) {
        line.key = sqlite3_column_int64(layers, 0);
        rc = find_in(history, &line, sel, &metric, at, out, err);
    }
    sqlite3_reset(layers);
    return rc < 0 ? rc : 0;
}

static int find_scalar(struct history *history, const struct selection *sel, const char *name,
                       enum feed_at at, double *out, struct err *err)
{
    sqlite3_stmt *names = history->statement[SQL_NAME_KEY];
    struct line line = SCALAR_LINE;
    size_t only = 0;
    int rc;

    SQL_BIND(names, sel->run_key);
    sql_bind_text(names, 2, name);
    rc = sql_step(names, err);
    if (rc == 1) {
        line.key = sqlite3_column_int64(names, 0);
        rc = find_in(history, &line, sel, &only, at, out, err);
    }
    sqlite3_reset(names);
    return rc < 0 ? rc : 0;
}

int run_value_at(struct history *history, int64_t run_key, const char *name, enum feed_at at,
                 int64_t step, double *out, struct err *err)
{
    struct feed_range range = {.to = at == FEED_AT_STEP ? step : INT64_MAX};
    size_t length = strlen(RUN_VALUE_SCALAR);
    struct selection sel = {0};
    int rc = selection_of_key(history, run_key, &range, &sel, err);

    *out = (double)NAN;
    if (rc == 0 && strncmp(name, RUN_VALUE_SCALAR, length) == 0)
        rc = find_scalar(history, &sel, name + length, at, out, err);
    else if (rc == 0)
        rc = find_measure(history, &sel, (size_t)metric_find(name), at, out, err);
    selection_release(&sel);
    return rc;
}
