#include "daemon/store/db.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/block.h"
#include "daemon/store/sql.h"

/* Gives each record to the file that carries it out; logs and closes are carried out here. */

/* What the file knows of those that a record comes from. */
struct origin {
    struct attempt_row attempt;
    struct member_row member; /* that the record speaks for first, where there are members */
    bool stored_before;       /* this very record was */
};

/* ---- log ----------------------------------------------------------------------------------- */

static int find_name(struct store *store, const struct record *record, const char *name,
                     int64_t *key, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_NAME_FIND];
    int rc;

    SQL_BIND(statement, record->run_key);
    sql_bind_text(statement, 2, name);
    rc = sql_step(statement, err);
    if (rc == 1)
        *key = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    statement = store->statement[SQL_NAME_NEW];
    SQL_BIND(statement, record->run_key);
    sql_bind_text(statement, 2, name);
    rc = sql_run(statement, err);
    *key = sqlite3_last_insert_rowid(store->db);
    return rc;
}

/* The scalar has a value more, and it is the latest. */
static int note_latest(struct store *store, const struct record *record, int64_t key,
                       struct err *err)
{
    const struct curve curve = {.is_scalar = true, .key = key, .attempt = record->attempt};
    sqlite3_stmt *statement = store->statement[SQL_NAME_LATEST];
    int64_t n_put = 0;
    int rc;

    SQL_BIND(statement, key, record->attempt, record->step);
    rc = sql_run(statement, err);
    if (rc == 0)
        rc = sql_integer_of(store->statement[SQL_NAME_PUTS], key, &n_put, err);
    return rc < 0 ? rc : store_block_advance(store, &curve, record->step, n_put, err);
}

int store_scalar_put(struct store *store, struct record *record, size_t i, struct err *err)
{
    sqlite3_stmt *statement;
    int64_t key = 0;
    int rc;

    rc = find_name(store, record, record->scalars[i].name, &key, err);
    if (rc < 0)
        return rc;
    record->scalar_feed_seqs[i] = ++store->feed_seq;
    statement = store->statement[SQL_SCALAR_PUT];
    SQL_BIND(statement, key, record->attempt, record->step, (int64_t)store->feed_seq);
    sql_bind_double(statement, 5, record->time);
    sql_bind_double(statement, 6, record->scalars[i].value);
    rc = sql_run(statement, err);
    return rc < 0 ? rc : note_latest(store, record, key, err);
}

static int reserve_scalar_seqs(struct record *record, struct err *err)
{
    if (!record->scalar_feed_seqs)
        record->scalar_feed_seqs =
            calloc(record->n_scalars ? record->n_scalars : 1, sizeof(uint64_t));
    if (!record->scalar_feed_seqs)
        return err_set(err, -ENOMEM, "out of memory");
    memset(record->scalar_feed_seqs, 0, record->n_scalars * sizeof(uint64_t));
    return 0;
}

static int put_log(struct store *store, struct record *record, const struct origin *origin,
                   struct err *err)
{
    int rc = reserve_scalar_seqs(record, err);

    if (rc < 0 || origin->stored_before)
        return rc;
    for (size_t i = 0; rc == 0 && i < record->n_scalars; i++)
        rc = store_scalar_put(store, record, i, err);
    for (size_t i = 0; rc == 0 && i < record->n_findings; i++)
        rc = store_finding_put(store, record, 0, &record->findings[i], err);
    if (rc == 0)
        rc = store_run_touch(store, record, err);
    return rc < 0 ? rc : store_attempt_advance(store, record, !record->implied, err);
}

/* ---- records ------------------------------------------------------------------------------- */

static int put_checkpoint(struct store *store, struct record *record, const struct origin *origin,
                          struct err *err)
{
    return origin->stored_before ? store_checkpoint_recall(store, record, err)
                                 : store_checkpoint_put(store, record, err);
}

static int complete_checkpoint(struct store *store, struct record *record,
                               const struct origin *origin, struct err *err)
{
    (void)origin;
    return store_checkpoint_complete(store, record, err);
}

/* A mark of a member that came when the step was measured is on disk with this. */
static int recall(struct store *store, struct record *record, const struct origin *origin,
                  struct err *err)
{
    int rc = store_checkpoint_recall(store, record, err);

    return rc < 0 || origin->stored_before ? rc : store_members_advance(store, record, true, err);
}

static int join(struct store *store, struct record *record, const struct origin *origin,
                struct err *err)
{
    (void)origin;
    return store_member_join(store, record, record->attempt, record->senders[0].rank, err);
}

static int replay(struct store *store, struct record *record, const struct origin *origin,
                  struct err *err)
{
    (void)origin;
    return store_replay(store, record, err);
}

static int put_constants(struct store *store, struct record *record, const struct origin *origin,
                         struct err *err)
{
    bool late = record->attempt < origin->attempt.newest;

    return origin->stored_before ? 0 : store_constants_put(store, record, late, err);
}

static int put_close(struct store *store, struct record *record, const struct origin *origin,
                     struct err *err)
{
    enum state state = record->failed ? STATE_FAILED : STATE_FINISHED;
    int rc;

    if (origin->stored_before)
        return 0;
    rc = record->n_senders > 0 ? store_member_leave(store, record, state, err)
                               : store_attempt_move(store, record, record->attempt, state, err);
    return rc < 0 ? rc : store_attempt_advance(store, record, false, err);
}

/* The trainer went without a word: a close that is on disk counts more. */
static int put_lost(struct store *store, struct record *record, const struct origin *origin,
                    struct err *err)
{
    if (record->n_senders > 0)
        return origin->member.state == STATE_OPEN
                   ? store_member_leave(store, record, STATE_LOST, err)
                   : 0;
    return origin->attempt.state == STATE_OPEN
               ? store_attempt_move(store, record, record->attempt, STATE_LOST, err)
               : 0;
}

/* Who carries out a record of an attempt. */
static int (*const carry_out[])(struct store *, struct record *, const struct origin *,
                                struct err *) = {
    [RECORD_JOIN] = join,
    [RECORD_CHECKPOINT] = put_checkpoint,
    [RECORD_SPECTRUM] = complete_checkpoint,
    [RECORD_LOG] = put_log,
    [RECORD_SUMMARY] = put_constants,
    [RECORD_CONFIG] = put_constants,
    [RECORD_CLOSE] = put_close,
    [RECORD_LOST] = put_lost,
    [RECORD_RECALL] = recall,
    [RECORD_REPLAY] = replay,
};

/* Whether an attempt behind which a newer one stands takes the record: a replay goes on with it
 * (an attempt that a newer one ended is not open), or has stored the record before. */
static bool is_replayed(const struct record *record, const struct attempt_row *attempt)
{
    bool is_closed = attempt->state == STATE_FINISHED || attempt->state == STATE_FAILED;

    return attempt->state == STATE_OPEN || (is_closed && record->n_senders == 0 &&
                                            record->seq > 0 && record->seq <= attempt->last_seq);
}

/* Finds the attempt of a record: 1 when it is the run's newest, or one that is replayed; else the
 * record is refused and the answer is 0. */
static int admit(struct store *store, struct record *record, struct attempt_row *attempt,
                 struct err *err)
{
    int rc = store_attempt_find(store, record->run_key, record->attempt, attempt, err);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return store_record_refuse(record, -ESTALE, "run \"%s\" has left the history", record->run);
    if (record->attempt > attempt->newest || !attempt->exists)
        return store_record_refuse(record, -ENOENT,
                                   "run \"%s\" has no attempt %" PRIu32 " in the store",
                                   record->run, record->attempt);
    if (record->attempt < attempt->newest && !is_replayed(record, attempt))
        return store_record_refuse(record, -ESTALE,
                                   "run \"%s\": attempt %" PRIu32 " was superseded by %" PRId64,
                                   record->run, record->attempt, attempt->newest);
    return 1;
}

/* Whether the record was stored before: each member counts its own messages, and those of a
 * checkpoint are stored together. */
static int compare(struct store *store, const struct record *record, struct origin *origin,
                   struct err *err)
{
    const struct record_sender *sender = record->senders;
    int rc;

    if (record->n_senders == 0) {
        origin->stored_before = record->seq <= origin->attempt.last_seq;
        return 0;
    }
    rc = store_member_find(store, record, record->attempt, sender->rank, &origin->member, err);
    origin->stored_before = sender->seq <= origin->member.last_seq;
    return rc < 0 ? rc : 0;
}

int store_record_apply(struct store *store, struct record *record, struct err *err)
{
    struct origin origin = {0};
    int rc;

    if (record->kind == RECORD_OPEN)
        return store_open_apply(store, record, err);
    rc = admit(store, record, &origin.attempt, err);
    if (rc < 1)
        return rc;
    rc = compare(store, record, &origin, err);
    return rc < 0 ? rc : carry_out[record->kind](store, record, &origin, err);
}
