/* The inside of a history, shared by its files: the connection and its statements. Threads as in
 * history.h, which describes the way of a query. Tested with its files by test_history.c. */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>

#include "daemon/format/jsontext.h"
#include "daemon/history/history.h"
#include "daemon/history/run_cache.h"
#include "proto/base/metric.h"

enum history_sql {
    SQL_BEGIN,
    SQL_END,
    SQL_FEED_SEQ,
    SQL_FIND_ID,
    SQL_FIND_PATH,
    SQL_FIND_NAME,
    SQL_RUN_GET,
    SQL_RUN_CONFIG,
    SQL_VIEWS,
    SQL_ATTEMPTS,
    SQL_LAYERS,
    SQL_LAYER_KEYS,
    SQL_RUN_LAYERS,
    SQL_LATEST_NC1,
    SQL_NAMES,
    SQL_NAME_KEY,
    SQL_LATEST_POINTS,
    SQL_LATEST_SCALARS,
    SQL_NEW_POINTS,
    SQL_NEW_SCALARS,
    SQL_LATEST_FINDINGS,
    SQL_NEW_FINDINGS,
    SQL_FINDINGS,
    SQL_WATCHED,
    SQL_WATCHED_POINTS,
    SQL_WATCHED_SCALARS,
    SQL_POINTS,
    SQL_POINT_COUNT,
    SQL_POINT_ENDS,
    SQL_BLOCK_AT,
    SQL_BLOCK_COUNT,
    SQL_SCALARS,
    SQL_SCALAR_AT,
    SQL_SCALAR_COUNT,
    SQL_SCALAR_ENDS,
    SQL_SPECTRUM,
    SQL_REPRESENTATIONS,
    SQL_REPRESENTATION,
    SQL_COUNT,
};

struct history {
    sqlite3 *db;
    atomic_bool is_cancelled;
    bool is_damaged; /* a query has met damage since it was asked last */
    sqlite3_stmt *statement[SQL_COUNT];
    /* Of one value, the last of them that of scalars, for as long as a query: a list of runs asks
     * for it of each. The values between two steps, and the latest of them. */
    sqlite3_stmt *between[METRIC_COUNT + 1], *latest[METRIC_COUNT + 1];
    struct jsontext scratch; /* of the run that is written */
    struct run_cache *runs;  /* NULL: no memory for it */
};

/* Columns of SQL_LAYERS: key, name, p, c, n_points, attempt of the latest point, rows of the
 * probe, @point. */
#define LAYERS_PROBE 6
#define LAYERS_POINT 7

/* Begins the read transaction of a query, and ends it: an answer shows one instant of the store.
 * Those with `out` are for answers that are a tree: after a failure (`rc`) what was made of the
 * answer is freed. Returns 0, or `rc`. */
int history_begin(struct history *, cJSON **out, struct err *err);
int history_end(struct history *, int rc, cJSON **out);

int history_begin_transaction(struct history *, struct err *err);
/* A statement that an error left in mid-row is reset first: it would keep the snapshot alive. Notes
 * the damage that `rc`, the query's, tells of. Returns `rc`. */
int history_end_transaction(struct history *, int rc);

/* The id of a run, into RUN_ID_MAX + 1 bytes, and its key: of `run` as FEED.md's RUN. */
int history_resolve(struct history *, const char *run, int64_t *run_key, char *id, struct err *err);

/* Adds to `array` what the run watches, in that layer or (NULL) in all and of scalars, with the
 * points that each series has, as event.query gives it. */
int history_watched(struct history *, int64_t run_key, const char *layer, cJSON *array,
                    struct err *err);

/* RUN OBJECT of a run that exists, with its configuration or not: appended to the text, as it is at
 * that revision and without its closing brace, or into the empty `object`. */
int history_put_run(struct history *, int64_t run_key, int64_t revision, bool config,
                    struct jsontext *out, struct err *err);
int history_add_run(struct history *, int64_t run_key, bool config, cJSON *object, struct err *err);

/* An integer or null; a text or null; {"world","open"} of the two columns that begin there, or null
 * as "ranks". */
bool history_add_integer(cJSON *object, const char *name, sqlite3_stmt *, int column);
bool history_add_text(cJSON *object, const char *name, sqlite3_stmt *, int column);
bool history_add_ranks(cJSON *object, sqlite3_stmt *, int column);

/* {"run":id}, NULL without memory. */
cJSON *history_head(const char *run);

/* -ENOMEM with its sentence. */
int history_no_memory(struct err *err);
