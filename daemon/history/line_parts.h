/* The inside of a line, shared by its files: its columns, and the statements that read it. line.c
 * finds the rows and gives them as columns of JSON, line_bins.c bins, line_blocks.c fills them,
 * line_csv.c either as rows of CSV. One thread at a time. Tested with its files by test_history.c.
 */
#pragma once

#include "daemon/history/bins.h"
#include "daemon/history/line.h"
#include "daemon/store/sql.h"

/* A value of a row: NUMBER, or an integer of any other kind. */
union cell {
    double number;
    int64_t integer;
};

struct column {
    const char *name;
    enum point_kind kind;
    const struct point_field *field; /* a member of the point; NULL: */
    int64_t joined;                  /*   the scalar that is joined; 0: */
    int at;                          /*   a column of the statement */
};

struct columns {
    struct column *column; /* free with free */
    size_t n;
    size_t n_own; /* those behind them are scalars that are joined */
};

/* Lists what the line's rows have. Returns 0 or -ENOMEM. */
int line_columns(const struct line *, const struct selection *, struct columns *out,
                 struct err *err);

/* Gets the values of a row; an error ends the walk. */
typedef int line_row_fn(void *arg, const union cell *cells, struct err *err);
/* Calls it for each row, up to the number that an answer may have, with the values of `n` columns;
 * `last` is then the place of the last row. */
int line_walk(struct history *, const struct line *, const struct selection *,
              const struct column *columns, size_t n, line_row_fn *on_row, void *arg,
              struct feed_place *last, struct err *err);

/* Bins of the values chosen[0..n-1] (line_values) of all rows. Free with bins_free. */
int line_bins(struct history *, const struct line *, const struct selection *, const size_t *chosen,
              size_t n, struct bins **out, struct err *err);
/* Puts all rows into the bins, which are theirs: those that are summed up already, and the others
 * one by one. */
int line_fill_bins(struct history *, const struct line *, const struct selection *,
                   const size_t *chosen, size_t n, struct bins *, struct err *err);
/* A list of their names, as JSON. */
void line_put_flags(FILE *out, uint32_t flags);
/* The members of a line in bins, as JSON. */
int line_put_bins(struct history *, const struct line *, const struct selection *, struct answer *,
                  struct err *err);

/* The values of a line that were asked for, by number: measures, or the one of a scalar. Returns
 * how many. */
size_t line_values(const struct line *, const struct selection *, size_t chosen[METRIC_COUNT]);
const char *line_value_name(const struct line *, size_t value);

/* Where the statement for one of them stands among those that a history keeps (db.h). */
sqlite3_stmt **line_statement(sqlite3_stmt **of_value, const struct line *, size_t value);

/* Binds what the line's statements begin with: its key, and an attempt with its steps. */
static inline void line_bind(sqlite3_stmt *q, const struct line *line,
                             const struct attempt_range *range)
{
    SQL_BIND(q, line->key, range->attempt, range->from, range->to);
}
