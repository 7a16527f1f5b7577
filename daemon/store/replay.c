#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* A run's past, shown to its watches: the points of each layer and the watched scalars, over all
 * attempts, but what a newer one has superseded, and what the attempt of the record is about to.
 * What the watches find is in the table already. */

/* The parameters of PAST_END. */
static void bind_attempt(sqlite3_stmt *statement, const struct record *record)
{
    const int64_t values[] = {record->run_key, record->attempt, record->step, INT64_MAX};

    sql_bind_integers(statement, 2, values, sizeof values / sizeof *values);
}

static int replay_points(struct store *store, const struct record *record, int64_t layer_key,
                         struct watch *watch, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_PAST_POINTS];
    struct finding found_before[RUN_WATCHED_MAX];
    struct point point;
    int rc;

    SQL_BIND(statement, layer_key);
    bind_attempt(statement, record);
    while ((rc = sql_step(statement, err)) == 1) {
        store_schema_point(statement, 1, &point);
        watch_feed(watch, (uint32_t)sqlite3_column_int64(statement, 0), &point, found_before);
    }
    return rc;
}

static int replay_scalar(struct store *store, const struct record *record, const char *name,
                         struct watch *watch, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_PAST_SCALARS];
    struct finding found_before[RUN_WATCHED_MAX];
    struct scalar scalar;
    int rc;

    snprintf(scalar.name, sizeof scalar.name, "%s", name);
    sql_bind_text(statement, 1, scalar.name);
    bind_attempt(statement, record);
    while ((rc = sql_step(statement, err)) == 1) {
        scalar.value = sql_column_double(statement, 3);
        watch_log_feed(watch, (uint32_t)sqlite3_column_int64(statement, 0),
                       sqlite3_column_int64(statement, 1), sql_column_double(statement, 2), &scalar,
                       1, found_before);
    }
    return rc;
}

static int replay_layer(struct store *store, struct record *record, int64_t layer_key,
                        struct stored_layer *layer, struct err *err)
{
    layer->watch = watch_new(&record->open.watched);
    if (!layer->watch)
        return err_set(err, -ENOMEM, "out of memory");
    return replay_points(store, record, layer_key, layer->watch, err);
}

static int replay_layers(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_LAYERS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(statement, record->run_key, record->attempt);
    while ((rc = sql_step(statement, err)) == 1) {
        struct stored_layer *layer = NULL;

        rc = store_read_layer(statement, &record->opened, &capacity, &layer, err);
        if (rc == 0)
            rc = replay_layer(store, record, sqlite3_column_int64(statement, 5), layer, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

int store_replay(struct store *store, struct record *record, struct err *err)
{
    const struct watch_list *watched = &record->open.watched;
    int rc = 0;

    record->opened.scalar_watch = watch_new_scalars(watched);
    if (!record->opened.scalar_watch)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < watched->n_scalars; i++)
        rc = replay_scalar(store, record, watched->scalars[i], record->opened.scalar_watch, err);
    return rc == 0 && watched->n > 0 ? replay_layers(store, record, err) : rc;
}
