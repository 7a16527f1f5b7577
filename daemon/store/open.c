#include "daemon/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/sql.h"

/* Opening a run: which attempt its trainer gets, and what the store knows of it. */

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

/* Writes what the trainer says about its run. What the newest attempt says replaces the older. */
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

/* Begins attempt `newest` + 1. The attempt before it becomes lost if it still counts as open. */
static int begin_attempt(struct store *s, struct record *r, int64_t newest, struct err *e)
{
    struct attempt_row previous = {0};
    sqlite3_stmt *q;
    int rc;

    rc = describe_run(s, r, e);
    r->run_key = r->opened.run_key;
    if (rc == 0 && newest > 0)
        rc = store_attempt_find(s, r->run_key, (uint32_t)newest, &previous, e);
    if (rc == 1 && previous.exists && previous.state == STATE_OPEN)
        rc = store_attempt_move(s, r, (uint32_t)newest, STATE_LOST, e);
    if (rc < 0)
        return rc;
    r->opened.attempt = (uint32_t)newest + 1;
    q = s->statement[SQL_ATTEMPT_NEW];
    SQL_BIND(q, r->run_key, r->opened.attempt);
    sql_bind_text(q, 3, r->open.writer);
    sql_bind_double(q, 4, r->time);
    rc = sql_run(q, e);
    return rc < 0 ? rc : store_attempt_move(s, r, r->opened.attempt, STATE_OPEN, e);
}

/* Goes on with attempt `found`. A closed attempt stays closed: what follows is a close that is sent
 * again because its acknowledgement was lost. */
static int resume_attempt(struct store *s, struct record *r, const struct attempt_row *found,
                          struct err *e)
{
    r->run_key = r->opened.run_key;
    r->opened.attempt = (uint32_t)found->newest;
    r->opened.last_seq = found->last_seq;
    if (found->state == STATE_FINISHED || found->state == STATE_FAILED)
        return 0;
    return store_attempt_move(s, r, r->opened.attempt, STATE_OPEN, e);
}

/* Adds the layer of the current row; doubles the array when `*capacity` is used up. */
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

/* What else is known of the layer of the current row. */
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
    struct attempt_row found;
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
    rc = store_attempt_find(s, r->opened.run_key, (uint32_t)newest, &found, e);
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

/* Whether the probes of an existing run fit into the memory that is left for them. This is checked
 * before anything is written: a run that asks for too much must not undo what others store in the
 * same transaction. */
static int check_room(struct store *s, struct record *r, struct err *e)
{
    double size_bytes = 0;
    int rc = r->open.probe_bytes > 0 ? store_probe_size(s, r->opened.run_key, &size_bytes, e) : 0;

    if (rc < 0 || size_bytes <= r->open.probe_bytes)
        return rc;
    return store_record_refuse(r, -ENOMEM, "run \"%s\": its probes need %.1f MiB, %.1f are left",
                               r->run, size_bytes / 0x1p20, r->open.probe_bytes / 0x1p20);
}

int store_open_apply(struct store *s, struct record *r, struct err *e)
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
