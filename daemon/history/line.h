/* A line: one layer's points or one scalar's values, row by row, whole or as a page, or in bins
 * when there are more than an answer may have. Written down as columns of JSON or as rows of CSV,
 * while it is read: what JSON needs of the rows at a time has a limit (line.c). One thread at a
 * time. Tested by test_history.c. */
#pragma once

#include <assert.h>

#include "daemon/format/answer.h"
#include "daemon/history/selection.h"
#include "proto/base/metric.h"

/* The statements that read a line, and where it is. */
struct line {
    enum history_sql rows, count, ends;
    bool is_point;
    int64_t key; /* of the layer or the scalar */
    char name[LAYER_NAME_MAX + 1];
    uint32_t p, c; /* of a layer */
    int64_t n;     /* rows, counted no further than one beyond what an answer may have */
    bool binned;
};
static_assert(LAYER_NAME_MAX >= SCALAR_NAME_MAX, "a line's name may be a scalar's");

#define POINT_LINE                                                                                 \
    {                                                                                              \
        .rows = SQL_POINTS, .count = SQL_POINT_COUNT, .ends = SQL_POINT_ENDS, .is_point = true     \
    }
#define SCALAR_LINE                                                                                \
    {                                                                                              \
        .rows = SQL_SCALARS, .count = SQL_SCALAR_COUNT, .ends = SQL_SCALAR_ENDS                    \
    }

/* Fills in `n` and `binned`. */
int line_count(struct history *, struct line *, const struct selection *, struct err *err);

/* Puts "binned", "columns" and, of a page, "next" behind the members of an open item. */
int line_put_json(struct history *, const struct line *, const struct selection *, struct answer *,
                  struct err *err);
/* The rows of all lines, which are of one kind and counted, below one header. `first` is what the
 * lines are: "layer" or "name". */
int lines_put_csv(struct history *, const struct line *, size_t n, const struct selection *,
                  const char *first, struct answer *, struct err *err);
