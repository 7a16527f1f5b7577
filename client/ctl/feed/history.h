/* The history of one layer or one scalar: asking the feed for it, page by page when it is long, and
 * walking through the columns that come back. Blocks on the feed; keeps nothing between calls. The
 * commands decide how the rows are shown. Tested end to end by test_richctl.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/ctl/feed/feedclient.h"
#include "proto/feed.h"

enum history_kind {
    HISTORY_LAYER,
    HISTORY_SCALAR,
};

struct history_query {
    enum history_kind kind;
    const char *run;
    const char *name;     /* of the layer or scalar */
    const char *metric;   /* NULL: all */
    const char *attempts; /* NULL: effective */
    const char *spacing;  /* NULL: log */
    int64_t from, to;     /* -1: unset */
    int64_t points;       /* -1: the daemon's default */
    bool scalars;         /* a layer's rows get the scalars of their step and attempt */
};

/* The array `name` among the columns, or in the object `in` among them: of bins {"d_lr", "min"}, of
 * joined scalars {"scalars", "loss"}. */
struct history_column {
    const char *in; /* NULL: not inside another */
    const char *name;
};

/* More columns than any walk asks for: a point's with all scalars, or bins of all measures. */
#define HISTORY_MAX_COLUMNS (128 + FEED_NAMES_MAX)

/* A walk through arrays of one length. A column that the answer lacks stays NULL. */
struct history_cursor {
    const cJSON *cells[HISTORY_MAX_COLUMNS]; /* of the row, in the order of the columns */
    size_t n;
    bool started;
};

/* Asks once. On 0 `*entry` is the object of that layer or scalar ("binned", "columns"), or NULL
 * when the daemon knows none; free with cJSON_Delete. */
int history_get(struct feedclient *, const struct history_query *, cJSON **entry, struct err *err);

/* The same for the form of a plain measure that is shown: the one that is corrected for few rows
 * (METRIC_CORRECTIONS), or the plain one where that is null throughout. A curve has one form: its
 * points shall compare with each other. Sets `query->metric` to the form's name. */
int history_get_shown(struct feedclient *, struct history_query *, int plain, cJSON **entry,
                      struct err *err);

/* The first row of a layer, as an entry with at most one row: where the run began. Steps that the
 * query names say nothing. */
int history_first(struct feedclient *, const struct history_query *, cJSON **entry,
                  struct err *err);

bool history_is_binned(const cJSON *entry);

/* Starts before the first row. */
void history_cursor_init(struct history_cursor *, const cJSON *entry,
                         const struct history_column columns[], size_t n);
/* Goes to the next row; false after the last row of the first column. */
bool history_cursor_next(struct history_cursor *);

/* Calls `on_row` for each row of an entry (may be NULL). Stops at the first error. */
typedef int history_row_fn(void *context, const cJSON *const cells[], struct err *e);
int history_walk(const cJSON *entry, const struct history_column columns[], size_t n,
                 history_row_fn *on_row, void *context, struct err *err);

/* The same for every row there is, never for bins: asks page by page. */
int history_each(struct feedclient *, const struct history_query *,
                 const struct history_column columns[], size_t n, history_row_fn *on_row,
                 void *context, struct err *err);

/* The layers of a run: the answer of layer.list, less those that are not `layer` (NULL: all).
 * -ENOENT, naming those there are, when none is left and one was asked for. */
int history_layers(struct feedclient *, const char *run, const char *layer, cJSON **answer,
                   struct err *err);

/* The answer of event.query between two steps (-1: unset): on 0 `*answer` is an object with the
 * array "events" (free with cJSON_Delete). `layer` may be NULL. */
int history_events(struct feedclient *, const char *run, const char *layer, int64_t from,
                   int64_t to, cJSON **answer, struct err *err);
