#include "daemon/store/db.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/sql.h"

/* Gives each record to the file that carries it out; logs and closes are carried out here. */

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
    return rc < 0 ? rc : store_attempt_advance(s, r, true, e);
}

/* ---- records ------------------------------------------------------------------------------- */

static int put_close(struct store *s, struct record *r, struct err *e)
{
    int rc = store_attempt_move(s, r, r->attempt, r->failed ? STATE_FAILED : STATE_FINISHED, e);

    return rc < 0 ? rc : store_attempt_advance(s, r, false, e);
}

/* Finds the attempt of a record other than OPEN: 1 when it is the run's newest; else the record is
 * refused and the answer is 0. */
static int admit(struct store *s, struct record *r, struct attempt_row *attempt, struct err *e)
{
    int rc = store_attempt_find(s, r->run_key, r->attempt, attempt, e);

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
    struct attempt_row attempt;
    bool stored_before;
    int rc;

    if (r->kind == RECORD_OPEN)
        return store_open_apply(s, r, e);
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
        return stored_before ? store_checkpoint_recall(s, r, e) : store_checkpoint_put(s, r, e);
    case RECORD_RECALL:
        return store_checkpoint_recall(s, r, e);
    case RECORD_LOG:
        return stored_before ? 0 : put_log(s, r, e);
    case RECORD_CLOSE:
        return stored_before ? 0 : put_close(s, r, e);
    case RECORD_LOST:
        return attempt.state == STATE_OPEN ? store_attempt_move(s, r, r->attempt, STATE_LOST, e)
                                           : 0;
    case RECORD_OPEN:
        break;
    }
    return 0;
}
