#include "daemon/store/db.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/block.h"
#include "daemon/store/schema.h"
#include "daemon/store/spectrum_blob.h"
#include "daemon/store/sql.h"

/* A checkpoint: layers, totals, points with what was found in them, spectra, probes and
 * representations. */

/* The layer's key; the first message that names the layer makes it. Totals alone may come before
 * the shape. */
int store_layer_find(struct store *store, const struct record *record,
                     const struct layer_point *point, int64_t *key, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_LAYER_FIND];
    int64_t p = 0;
    int rc;

    SQL_BIND(statement, record->run_key);
    sql_bind_text(statement, 2, point->layer);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        statement = store->statement[SQL_LAYER_NEW];
        SQL_BIND(statement, record->run_key, point->point.p, point->point.c);
        sql_bind_text(statement, 4, point->layer);
        rc = sql_run(statement, err);
        *key = sqlite3_last_insert_rowid(store->db);
        return rc;
    }
    *key = sqlite3_column_int64(statement, 0);
    p = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    if (p != 0 || point->point.p == 0)
        return 0;
    statement = store->statement[SQL_LAYER_SHAPE];
    SQL_BIND(statement, *key, point->point.p, point->point.c);
    return sql_run(statement, err);
}

static int put_total(struct store *store, const struct record *record, int64_t layer_key,
                     const struct layer_point *point, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_TOTAL_PUT];

    SQL_BIND(statement, layer_key, record->attempt, (int64_t)point->batch_seq,
             (int64_t)point->rows_offered, (int64_t)point->rows_thinned);
    return sql_run(statement, err);
}

/* Deletes the spectrum of an older point of the same attempt and step, and writes this one's if it
 * has one. */
static int put_spectrum(struct store *store, const struct record *record, int64_t layer_key,
                        const struct spectrum *spectrum, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_SPECTRUM_DROP];
    size_t size;
    void *data;
    int rc;

    SQL_BIND(statement, layer_key, record->attempt, record->step);
    rc = sql_run(statement, err);
    if (rc < 0 || !spectrum)
        return rc;
    data = spectrum_encode(spectrum, &size);
    if (!data)
        return err_set(err, -ENOMEM, "out of memory");
    statement = store->statement[SQL_SPECTRUM_PUT];
    SQL_BIND(statement, layer_key, record->attempt, record->step, spectrum->rank,
             spectrum->rank_targets, spectrum->uncentred, spectrum->few_rows, spectrum->n_values);
    sql_bind_double(statement, 9, spectrum->total);
    sqlite3_bind_blob64(statement, 10, data, size, SQLITE_STATIC);
    rc = sql_run(statement, err);
    sqlite3_bind_null(statement, 10);
    free(data);
    return rc;
}

/* The layer has a point more, and it is the latest. */
static int note_latest(struct store *store, const struct record *record, int64_t layer_key,
                       int64_t is_new, struct err *err)
{
    const struct curve curve = {.key = layer_key, .attempt = record->attempt};
    sqlite3_stmt *statement = store->statement[SQL_LAYER_LATEST];
    int64_t n_points = 0;
    int rc;

    SQL_BIND(statement, layer_key, is_new, record->attempt, record->step);
    rc = sql_run(statement, err);
    if (rc == 0)
        rc = sql_integer_of(store->statement[SQL_LAYER_POINTS], layer_key, &n_points, err);
    return rc < 0 ? rc : store_block_advance(store, &curve, record->step, n_points, err);
}

/* Writes the point, in the place of the one of the same attempt and step if there is one; `*added`
 * counts the points that are new. */
int store_point_put(struct store *store, const struct record *record, int64_t layer_key,
                    struct layer_point *point, int64_t *added, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_POINT_FIND];
    int64_t is_new;
    int rc;

    assert(point->point.step == record->step);
    SQL_BIND(statement, layer_key, record->attempt, record->step);
    rc = sql_step(statement, err);
    if (rc < 0)
        return rc;
    is_new = rc == 0;
    sqlite3_reset(statement);
    *added += is_new;
    point->feed_seq = ++store->feed_seq;

    statement = store->statement[SQL_POINT_PUT];
    SQL_BIND(statement, layer_key, record->attempt, (int64_t)point->feed_seq);
    store_schema_bind_point(statement, 4, &point->point);
    rc = sql_run(statement, err);
    if (rc < 0)
        return rc;
    rc = note_latest(store, record, layer_key, is_new, err);
    for (size_t i = 0; rc == 0 && i < point->n_findings; i++)
        rc = store_finding_put(store, record, layer_key, &point->findings[i], err);
    return rc;
}

int store_checkpoint_put(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_CHECKPOINT];
    int64_t added = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_points; i++) {
        struct layer_point *point = &record->points[i];
        int64_t layer_key = 0;

        rc = store_layer_find(store, record, point, &layer_key, err);
        if (rc == 0 && record->n_senders == 0)
            rc = put_total(store, record, layer_key, point, err);
        if (rc == 0 && point->measured)
            rc = store_member_totals_put(store, record, i, layer_key, err);
        if (rc == 0 && point->measured)
            rc = store_point_put(store, record, layer_key, point, &added, err);
        if (rc == 0 && point->measured)
            rc = put_spectrum(store, record, layer_key, point->spectrum, err);
        if (rc == 0)
            rc = store_probe_put(store, layer_key, &point->probe, err);
        if (rc == 0 && point->measured)
            rc = store_representation_put(store, record, layer_key, &point->representation, err);
    }
    if (rc < 0)
        return rc;
    SQL_BIND(statement, record->run_key, record->step, added, record->implied);
    sql_bind_double(statement, 5, record->time);
    sqlite3_bind_int64(statement, 6, record->attempt);
    rc = sql_run(statement, err);
    return rc < 0 ? rc : store_attempt_advance(store, record, !record->implied, err);
}

int store_checkpoint_complete(struct store *store, struct record *record, struct err *err)
{
    struct layer_point *point = record->points;
    int64_t layer_key = 0, added = 0;
    int rc = store_layer_find(store, record, point, &layer_key, err);

    assert(record->n_points == 1 && point->spectrum);
    if (rc == 0)
        rc = store_point_put(store, record, layer_key, point, &added, err);
    if (rc == 0)
        rc = store_run_revise(store, record, err);
    return rc < 0 ? rc : put_spectrum(store, record, layer_key, point->spectrum, err);
}

static int count_points_at(struct store *store, const struct record *record, size_t *n,
                           struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_POINTS_AT];
    int rc;

    *n = 0;
    SQL_BIND(statement, record->run_key, record->attempt, record->step);
    while ((rc = sql_step(statement, err)) == 1)
        (*n)++;
    return rc;
}

int store_checkpoint_recall(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_POINTS_AT];
    size_t n = 0, i = 0;
    int rc;

    rc = count_points_at(store, record, &n, err);
    if (rc < 0)
        return rc;
    record_drop_points(record);
    record->points = calloc(n ? n : 1, sizeof *record->points);
    if (!record->points)
        return err_set(err, -ENOMEM, "out of memory");
    SQL_BIND(statement, record->run_key, record->attempt, record->step);
    while (i < n && (rc = sql_step(statement, err)) == 1) {
        struct layer_point *point = &record->points[i++];

        snprintf(point->layer, sizeof point->layer, "%s", sql_column_text(statement, 0));
        point->measured = true;
        point->feed_seq = store_schema_point(statement, 1, &point->point);
        rc = sql_row_check(statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    record->n_points = i;
    return rc < 0 ? rc : 0;
}
