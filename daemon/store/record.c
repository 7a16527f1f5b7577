#include "daemon/store/db.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/schema.h"
#include "daemon/store/spectrum_blob.h"
#include "daemon/store/sql.h"

/* What the store knows of the attempt that a record belongs to. */
struct attempt {
    bool exists;
    int64_t newest; /* attempt of the run */
    uint64_t last_seq;
    enum state state;
    char writer[RUN_ID_MAX + 1];
};

int store_record_refuse(struct record *r, int code, const char *format, ...)
{
    va_list args;

    r->rc = code;
    va_start(args, format);
    vsnprintf(r->error, sizeof r->error, format, args);
    va_end(args);
    return 0;
}

/* ---- attempts ------------------------------------------------------------------------------ */

/* 1 when the run exists, 0 when not, -errno. */
static int find_attempt(struct store *s, int64_t run_key, uint32_t attempt, struct attempt *out,
                        struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_ATTEMPT_FIND];
    int rc;

    memset(out, 0, sizeof *out);
    SQL_BIND(q, run_key, attempt);
    rc = sql_step(q, e);
    if (rc < 1)
        return rc;
    out->newest = sqlite3_column_int64(q, 0);
    out->exists = sqlite3_column_type(q, 1) != SQLITE_NULL;
    out->last_seq = (uint64_t)sqlite3_column_int64(q, 1);
    out->state = (enum state)sqlite3_column_int(q, 2);
    snprintf(out->writer, sizeof out->writer, "%s", sql_column_text(q, 3));
    rc = sql_row_check(q, e);
    sqlite3_reset(q);
    return rc < 0 ? rc : 1;
}

/* Moves the newest attempt, and the run with it. */
static int set_state(struct store *s, const struct record *r, uint32_t attempt, enum state state,
                     struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_ATTEMPT_STATE];
    int rc;

    SQL_BIND(q, r->run_key, attempt, state);
    sql_bind_double(q, 4, state == STATE_OPEN ? (double)NAN : r->time);
    rc = sql_run(q, e);
    if (rc < 0)
        return rc;
    q = s->statement[SQL_RUN_STATE];
    SQL_BIND(q, r->run_key, attempt, state);
    sql_bind_double(q, 4, r->time);
    return sql_run(q, e);
}

/* Notes that the record is stored: it is what a resend is compared with. */
static int advance(struct store *s, const struct record *r, bool has_step, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_ATTEMPT_ADVANCE];

    SQL_BIND(q, r->run_key, r->attempt, (int64_t)r->seq, r->step);
    if (!has_step)
        sqlite3_bind_null(q, 4);
    return sql_run(q, e);
}

/* ---- open ---------------------------------------------------------------------------------- */

static int find_run(struct store *s, const struct record *r, struct open_result *out,
                    int64_t *newest, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_RUN_FIND];
    int rc;

    sql_bind_text(q, 1, r->run);
    rc = sql_step(q, e);
    if (rc < 1)
        return rc;
    out->run_key = sqlite3_column_int64(q, 0);
    *newest = sqlite3_column_int64(q, 1);
    out->has_last_step = sqlite3_column_type(q, 2) != SQLITE_NULL;
    out->last_step = sqlite3_column_int64(q, 2);
    sqlite3_reset(q);
    return 1;
}

/* Writes what the trainer says of its run; the newest attempt's word counts. */
static int describe_run(struct store *s, struct record *r, struct err *e)
{
    const struct record_open *open = &r->open;
    sqlite3_stmt *q = s->statement[r->opened.created ? SQL_RUN_NEW : SQL_RUN_RENEW];
    int rc;

    sql_bind_text(q, 1, r->run);
    sql_bind_text(q, 2, open->name);
    sql_bind_text(q, 3, open->project);
    sql_bind_text(q, 4, open->group);
    sql_bind_text(q, 5, open->tags);
    if (r->opened.created)
        sql_bind_double(q, 6, r->time);
    rc = sql_run(q, e);
    if (rc < 0)
        return rc;
    if (r->opened.created)
        r->opened.run_key = sqlite3_last_insert_rowid(s->db);
    if (!open->config && !r->opened.created)
        return 0;
    q = s->statement[SQL_CONFIG_PUT];
    SQL_BIND(q, r->opened.run_key);
    sql_bind_text(q, 2, open->config ? open->config : "{}");
    return sql_run(q, e);
}

/* Begins attempt `newest` + 1; the one before, if it still counts as open, is lost to it. */
static int begin_attempt(struct store *s, struct record *r, int64_t newest, struct err *e)
{
    struct attempt previous = {0};
    sqlite3_stmt *q;
    int rc;

    rc = describe_run(s, r, e);
    r->run_key = r->opened.run_key;
    if (rc == 0 && newest > 0)
        rc = find_attempt(s, r->run_key, (uint32_t)newest, &previous, e);
    if (rc == 1 && previous.exists && previous.state == STATE_OPEN)
        rc = set_state(s, r, (uint32_t)newest, STATE_LOST, e);
    if (rc < 0)
        return rc;
    r->opened.attempt = (uint32_t)newest + 1;
    q = s->statement[SQL_ATTEMPT_NEW];
    SQL_BIND(q, r->run_key, r->opened.attempt);
    sql_bind_text(q, 3, r->open.writer);
    sql_bind_double(q, 4, r->time);
    rc = sql_run(q, e);
    return rc < 0 ? rc : set_state(s, r, r->opened.attempt, STATE_OPEN, e);
}

/* Goes on with attempt `found`. One that is closed stays so: what follows is the resend of a close
 * whose acknowledgement was lost. */
static int resume_attempt(struct store *s, struct record *r, const struct attempt *found,
                          struct err *e)
{
    r->run_key = r->opened.run_key;
    r->opened.attempt = (uint32_t)found->newest;
    r->opened.last_seq = found->last_seq;
    if (found->state == STATE_FINISHED || found->state == STATE_FAILED)
        return 0;
    return set_state(s, r, r->opened.attempt, STATE_OPEN, e);
}

/* Adds the layer of the row at hand; doubles the array when `*capacity` is used up. */
static int read_layer(sqlite3_stmt *q, struct open_result *out, size_t *capacity, struct err *e)
{
    struct stored_layer *layer;

    if (out->n_layers == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 8;
        layer = realloc(out->layers, *capacity * sizeof *layer);
        if (!layer)
            return err_set(e, -ENOMEM, "out of memory");
        out->layers = layer;
    }
    layer = &out->layers[out->n_layers++];
    snprintf(layer->name, sizeof layer->name, "%s", sql_column_text(q, 0));
    layer->p = (uint32_t)sqlite3_column_int64(q, 1);
    layer->c = (uint32_t)sqlite3_column_int64(q, 2);
    layer->batch_seq = (uint64_t)sqlite3_column_int64(q, 3);
    layer->rows_offered = (uint64_t)sqlite3_column_int64(q, 4);
    layer->watch = NULL;
    layer->probe = (struct probe){0};
    return sql_row_check(q, e);
}

/* What else is known of the layer of the row at hand. */
static int read_layer_past(struct store *s, const struct record *r, int64_t layer_key,
                           struct stored_layer *layer, struct err *e)
{
    int rc = store_finding_replay(s, r, layer_key, &layer->watch, e);

    if (rc < 0 || r->open.probe_bytes <= 0)
        return rc;
    return store_probe_read(s, layer_key, &layer->probe, e);
}

static int read_layers(struct store *s, struct record *r, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_LAYERS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(q, r->opened.run_key, r->opened.attempt);
    while ((rc = sql_step(q, e)) == 1) {
        rc = read_layer(q, &r->opened, &capacity, e);
        if (rc == 0)
            rc = read_layer_past(s, r, sqlite3_column_int64(q, 5),
                                 &r->opened.layers[r->opened.n_layers - 1], e);
        if (rc < 0)
            break;
    }
    sqlite3_reset(q);
    return rc;
}

/* Which attempt of an existing run the trainer gets. */
static int open_existing(struct store *s, struct record *r, int64_t newest, struct err *e)
{
    const char *writer = r->open.writer ? r->open.writer : "";
    struct attempt found;
    bool same_writer;
    int rc;

    if (r->open.attempt > newest)
        return store_record_refuse(r, -ENOENT,
                                   "run \"%s\" has no attempt %" PRIu32 ", the newest is %" PRId64,
                                   r->run, r->open.attempt, newest);
    if (r->open.attempt != 0 && r->open.attempt < newest)
        return store_record_refuse(r, -ESTALE,
                                   "run \"%s\": attempt %" PRIu32 " was superseded by %" PRId64,
                                   r->run, r->open.attempt, newest);
    rc = find_attempt(s, r->opened.run_key, (uint32_t)newest, &found, e);
    if (rc < 0)
        return rc;
    same_writer = found.exists && strcmp(found.writer, writer) == 0;
    if (r->open.attempt != 0) {
        if (!same_writer)
            return store_record_refuse(r, -EBUSY,
                                       "run \"%s\": attempt %" PRIu32 " is held by writer \"%s\"",
                                       r->run, r->open.attempt, found.writer);
        return resume_attempt(s, r, &found, e);
    }
    if (same_writer && *writer && found.last_seq == 0) {
        r->opened.created = newest == 1;
        return resume_attempt(s, r, &found, e);
    }
    if (r->open.resume == RESUME_NEVER)
        return store_record_refuse(r, -EEXIST, "run \"%s\" exists, and resume is \"never\"",
                                   r->run);
    if (newest >= UINT32_MAX)
        return store_record_refuse(r, -EEXIST, "run \"%s\" has no attempt left", r->run);
    return begin_attempt(s, r, newest, e);
}

/* Whether the probes of an existing run fit into the memory that is left for them. Seen before
 * anything is written: one run that asks for too much must not undo what others store with it. */
static int check_room(struct store *s, struct record *r, struct err *e)
{
    double size_bytes = 0;
    int rc = r->open.probe_bytes > 0 ? store_probe_size(s, r->opened.run_key, &size_bytes, e) : 0;

    if (rc < 0 || size_bytes <= r->open.probe_bytes)
        return rc;
    return store_record_refuse(r, -ENOMEM, "run \"%s\": its probes need %.1f MiB, %.1f are left",
                               r->run, size_bytes / 0x1p20, r->open.probe_bytes / 0x1p20);
}

static int apply_open(struct store *s, struct record *r, struct err *e)
{
    int64_t newest = 0;
    int rc;

    rc = find_run(s, r, &r->opened, &newest, e);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        rc = check_room(s, r, e);
        if (rc == 0 && r->rc == 0)
            rc = open_existing(s, r, newest, e);
    } else if (r->open.resume == RESUME_MUST || r->open.attempt != 0)
        return store_record_refuse(r, -ENOENT, "run \"%s\" does not exist", r->run);
    else {
        r->opened.created = true;
        rc = begin_attempt(s, r, 0, e);
    }
    if (rc < 0 || r->rc < 0)
        return rc;
    return read_layers(s, r, e);
}

/* ---- checkpoint ---------------------------------------------------------------------------- */

/* The layer's key, made with the first word of it. Totals alone may come before the shape. */
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

/* Writes the point's spectrum; that of an older point of the same attempt and step goes with it. */
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

/* Writes the point, over the one of the same attempt and step if there is one; `*added` counts the
 * points that are new. */
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
    s->n_new_points++;
    rc = sql_run(q, e);
    for (size_t i = 0; rc == 0 && i < lp->n_findings; i++)
        rc = store_finding_put(s, r, layer_key, &lp->findings[i], e);
    return rc;
}

static int put_checkpoint(struct store *s, struct record *r, struct err *e)
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
    return rc < 0 ? rc : advance(s, r, true, e);
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

/* Puts the stored points of the record's step in the place of its own. */
static int recall_points(struct store *s, struct record *r, struct err *e)
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

/* ---- log ----------------------------------------------------------------------------------- */

static int find_name(struct store *s, const struct record *r, const char *name, int64_t *key,
                     struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_NAME_FIND];
    int rc;

    SQL_BIND(q, r->run_key);
    sql_bind_text(q, 2, name);
    rc = sql_step(q, e);
    if (rc == 1)
        *key = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    q = s->statement[SQL_NAME_NEW];
    SQL_BIND(q, r->run_key);
    sql_bind_text(q, 2, name);
    rc = sql_run(q, e);
    *key = sqlite3_last_insert_rowid(s->db);
    return rc;
}

static int put_scalar(struct store *s, struct record *r, size_t i, struct err *e)
{
    sqlite3_stmt *q;
    int64_t key = 0;
    int rc;

    rc = find_name(s, r, r->scalars[i].name, &key, e);
    if (rc < 0)
        return rc;
    r->scalar_feed_seqs[i] = ++s->feed_seq;
    q = s->statement[SQL_SCALAR_PUT];
    SQL_BIND(q, key, r->attempt, r->step, (int64_t)s->feed_seq);
    sql_bind_double(q, 5, r->time);
    sql_bind_double(q, 6, r->scalars[i].value);
    rc = sql_run(q, e);
    if (rc < 0)
        return rc;
    q = s->statement[SQL_NAME_LATEST];
    SQL_BIND(q, key, r->attempt, r->step);
    return sql_run(q, e);
}

static int reserve_scalar_seqs(struct record *r, struct err *e)
{
    if (!r->scalar_feed_seqs)
        r->scalar_feed_seqs = calloc(r->n_scalars ? r->n_scalars : 1, sizeof(uint64_t));
    if (!r->scalar_feed_seqs)
        return err_set(e, -ENOMEM, "out of memory");
    memset(r->scalar_feed_seqs, 0, r->n_scalars * sizeof(uint64_t));
    return 0;
}

static int put_log(struct store *s, struct record *r, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_RUN_TOUCH];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->n_scalars; i++)
        rc = put_scalar(s, r, i, e);
    if (rc < 0)
        return rc;
    SQL_BIND(q, r->run_key);
    sql_bind_double(q, 2, r->time);
    rc = sql_run(q, e);
    return rc < 0 ? rc : advance(s, r, true, e);
}

/* ---- records ------------------------------------------------------------------------------- */

static int put_close(struct store *s, struct record *r, struct err *e)
{
    int rc = set_state(s, r, r->attempt, r->failed ? STATE_FAILED : STATE_FINISHED, e);

    return rc < 0 ? rc : advance(s, r, false, e);
}

/* Finds the attempt of a record other than OPEN: 1 when it is the run's newest; else the record is
 * refused and the answer is 0. */
static int admit(struct store *s, struct record *r, struct attempt *attempt, struct err *e)
{
    int rc = find_attempt(s, r->run_key, r->attempt, attempt, e);

    if (rc < 0)
        return rc;
    if (rc == 0 || r->attempt > attempt->newest || !attempt->exists)
        return store_record_refuse(r, -ENOENT, "run \"%s\" has no attempt %" PRIu32 " in the store",
                                   r->run, r->attempt);
    if (r->attempt < attempt->newest)
        return store_record_refuse(r, -ESTALE,
                                   "run \"%s\": attempt %" PRIu32 " was superseded by %" PRId64,
                                   r->run, r->attempt, attempt->newest);
    return 1;
}

int store_record_apply(struct store *s, struct record *r, struct err *e)
{
    struct attempt attempt;
    bool stored_before;
    int rc;

    if (r->kind == RECORD_OPEN)
        return apply_open(s, r, e);
    if (r->kind == RECORD_LOG) {
        rc = reserve_scalar_seqs(r, e);
        if (rc < 0)
            return rc;
    }
    rc = admit(s, r, &attempt, e);
    if (rc < 1)
        return rc;
    stored_before = r->seq <= attempt.last_seq;
    switch (r->kind) {
    case RECORD_CHECKPOINT:
        return stored_before ? recall_points(s, r, e) : put_checkpoint(s, r, e);
    case RECORD_RECALL:
        return recall_points(s, r, e);
    case RECORD_LOG:
        return stored_before ? 0 : put_log(s, r, e);
    case RECORD_CLOSE:
        return stored_before ? 0 : put_close(s, r, e);
    case RECORD_LOST:
        return attempt.state == STATE_OPEN ? set_state(s, r, r->attempt, STATE_LOST, e) : 0;
    case RECORD_OPEN:
        break;
    }
    return 0;
}
