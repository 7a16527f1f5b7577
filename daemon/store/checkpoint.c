#include "daemon/store/db.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/schema.h"
#include "daemon/store/spectrum_blob.h"
#include "daemon/store/sql.h"

/* A checkpoint: layers, totals, points with what was found in them, spectra and probes. */

/* The layer's key; the first message that names the layer makes it. Totals alone may come before
 * the shape. */
static int find_layer(struct store *s, const struct record *r, const struct layer_point *lp,
                      int64_t *key, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_LAYER_FIND];
    int64_t p = 0;
    int rc;

    SQL_BIND(q, r->run_key);
    sql_bind_text(q, 2, lp->layer);
    rc = sql_step(q, e);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        q = s->statement[SQL_LAYER_NEW];
        SQL_BIND(q, r->run_key, lp->point.p, lp->point.c);
        sql_bind_text(q, 4, lp->layer);
        rc = sql_run(q, e);
        *key = sqlite3_last_insert_rowid(s->db);
        return rc;
    }
    *key = sqlite3_column_int64(q, 0);
    p = sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    if (p != 0 || lp->point.p == 0)
        return 0;
    q = s->statement[SQL_LAYER_SHAPE];
    SQL_BIND(q, *key, lp->point.p, lp->point.c);
    return sql_run(q, e);
}

static int put_total(struct store *s, const struct record *r, int64_t layer_key,
                     const struct layer_point *lp, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_TOTAL_PUT];

    SQL_BIND(q, layer_key, r->attempt, (int64_t)lp->batch_seq, (int64_t)lp->rows_offered);
    return sql_run(q, e);
}

/* Deletes the spectrum of an older point of the same attempt and step, and writes this one's if it
 * has one. */
static int put_spectrum(struct store *s, const struct record *r, int64_t layer_key,
                        const struct spectrum *spectrum, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_SPECTRUM_DROP];
    size_t size;
    void *data;
    int rc;

    SQL_BIND(q, layer_key, r->attempt, r->step);
    rc = sql_run(q, e);
    if (rc < 0 || !spectrum)
        return rc;
    data = spectrum_encode(spectrum, &size);
    if (!data)
        return err_set(e, -ENOMEM, "out of memory");
    q = s->statement[SQL_SPECTRUM_PUT];
    SQL_BIND(q, layer_key, r->attempt, r->step, spectrum->rank, spectrum->rank_targets,
             spectrum->uncentred, spectrum->few_rows, spectrum->n_values);
    sql_bind_double(q, 9, spectrum->total);
    sqlite3_bind_blob64(q, 10, data, size, SQLITE_STATIC);
    rc = sql_run(q, e);
    sqlite3_bind_null(q, 10);
    free(data);
    return rc;
}

/* Writes the point, in the place of the one of the same attempt and step if there is one; `*added`
 * counts the points that are new. */
static int put_point(struct store *s, const struct record *r, int64_t layer_key,
                     struct layer_point *lp, int64_t *added, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_POINT_FIND];
    int64_t is_new;
    int rc;

    assert(lp->point.step == r->step);
    SQL_BIND(q, layer_key, r->attempt, r->step);
    rc = sql_step(q, e);
    if (rc < 0)
        return rc;
    is_new = rc == 0;
    sqlite3_reset(q);
    *added += is_new;
    lp->feed_seq = ++s->feed_seq;

    q = s->statement[SQL_POINT_PUT];
    SQL_BIND(q, layer_key, r->attempt, (int64_t)lp->feed_seq);
    store_schema_bind_point(q, 4, &lp->point);
    rc = sql_run(q, e);
    if (rc < 0)
        return rc;
    q = s->statement[SQL_LAYER_LATEST];
    SQL_BIND(q, layer_key, is_new, r->attempt, r->step);
    rc = sql_run(q, e);
    for (size_t i = 0; rc == 0 && i < lp->n_findings; i++)
        rc = store_finding_put(s, r, layer_key, &lp->findings[i], e);
    return rc;
}

int store_checkpoint_put(struct store *s, struct record *r, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_RUN_CHECKPOINT];
    int64_t added = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->n_points; i++) {
        struct layer_point *lp = &r->points[i];
        int64_t layer_key = 0;

        rc = find_layer(s, r, lp, &layer_key, e);
        if (rc == 0)
            rc = put_total(s, r, layer_key, lp, e);
        if (rc == 0 && lp->measured)
            rc = put_point(s, r, layer_key, lp, &added, e);
        if (rc == 0 && lp->measured)
            rc = put_spectrum(s, r, layer_key, lp->spectrum, e);
        if (rc == 0)
            rc = store_probe_put(s, layer_key, &lp->probe, e);
    }
    if (rc < 0)
        return rc;
    SQL_BIND(q, r->run_key, r->step, added);
    sql_bind_double(q, 4, r->time);
    rc = sql_run(q, e);
    return rc < 0 ? rc : store_attempt_advance(s, r, true, e);
}

static int count_points_at(struct store *s, const struct record *r, size_t *n, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_POINTS_AT];
    int rc;

    *n = 0;
    SQL_BIND(q, r->run_key, r->attempt, r->step);
    while ((rc = sql_step(q, e)) == 1)
        (*n)++;
    return rc;
}

int store_checkpoint_recall(struct store *s, struct record *r, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_POINTS_AT];
    size_t n = 0, i = 0;
    int rc;

    rc = count_points_at(s, r, &n, e);
    if (rc < 0)
        return rc;
    record_drop_points(r);
    r->points = calloc(n ? n : 1, sizeof *r->points);
    if (!r->points)
        return err_set(e, -ENOMEM, "out of memory");
    SQL_BIND(q, r->run_key, r->attempt, r->step);
    while (i < n && (rc = sql_step(q, e)) == 1) {
        struct layer_point *lp = &r->points[i++];

        snprintf(lp->layer, sizeof lp->layer, "%s", sql_column_text(q, 0));
        lp->measured = true;
        lp->feed_seq = store_schema_point(q, 1, &lp->point);
        rc = sql_row_check(q, e);
        if (rc < 0)
            break;
    }
    sqlite3_reset(q);
    r->n_points = i;
    return rc < 0 ? rc : 0;
}
