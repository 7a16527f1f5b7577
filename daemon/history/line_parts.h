/* The inside of a line, shared by its files: the statements that read it. line.c gives it row by
 * row, line_bins.c in bins. One thread at a time. Tested with its files by test_history.c. */
#pragma once

#include "daemon/history/selection.h"
#include "daemon/store/sql.h"
#include "proto/base/metric.h"

/* The statements that read a line, and how many values a row has. */
struct line {
    enum history_sql rows, count, ends, values;
    bool is_point;
    int64_t key; /* of the layer or the scalar */
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

/* Fills `columns` with bins. */
int line_add_bins(struct history *, const struct line *, const struct selection *, cJSON *columns,
                  struct err *err);
/* Binds what the line's statements begin with: its key, and an attempt with its steps. */
static inline void line_bind(sqlite3_stmt *q, const struct line *line,
                             const struct attempt_range *range)
{
    SQL_BIND(q, line->key, range->attempt, range->from, range->to);
}

/* The name of the i-th value, or NULL when it was not asked for. */
static inline const char *line_value_name(const struct line *line, const struct selection *sel,
                                          size_t i)
{
    if (!line->is_point)
        return "value";
    return sel->metrics[i] ? metric_table[i].name : NULL;
}
