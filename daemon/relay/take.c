#include "daemon/relay/take.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/relay/take_parts.h"
#include "daemon/store/sql.h"

/* The list of runs that a relay gets at its beginning: 100,000 of them take some 5 MiB. Without it
 * all are described once more. */
#define KNOWN_BYTES_MAX (16u << 20)

/* ---- the source ------------------------------------------------------------------------------ */

/* Where the source is, and which process writes it: 1, 0 for a new one, or -errno. */
static int read_source(struct take *take, struct store *store, int64_t *batch, int64_t *feed_seq,
                       bool *is_other, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        sql_prepare(store->db, "SELECT batch, feed_seq, session FROM relayed WHERE source = ?1",
                    &statement, err);

    *batch = *feed_seq = 0;
    *is_other = false;
    if (rc == 0)
        sql_bind_text(statement, 1, take->source);
    if (rc == 0)
        rc = sql_step(statement, err);
    if (rc == 1) {
        *batch = sqlite3_column_int64(statement, 0);
        *feed_seq = sqlite3_column_int64(statement, 1);
        *is_other = strcmp(sql_column_text(statement, 2), take->session) != 0;
    }
    sqlite3_finalize(statement);
    return rc;
}

static int write_source(struct take *take, struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(store->db,
                         "REPLACE INTO relayed(source, session, batch, feed_seq)"
                         " VALUES(?3, ?4, ?1, ?2)",
                         &statement, err);

    if (rc == 0) {
        SQL_BIND(statement, take->batch, take->feed_seq);
        sql_bind_text(statement, 3, take->source);
        sql_bind_text(statement, 4, take->session);
        rc = sql_run(statement, err);
    }
    sqlite3_finalize(statement);
    return rc;
}

static int fence(const struct take *take, struct err *err)
{
    return err_set(err, -ESTALE,
                   "another daemon relays as %s: one of the two stores is a copy of the other",
                   take->source);
}

/* The stores from here on. */
static int make_path(struct take *take, struct store *store, struct err *err)
{
    char behind[RELAY_PATH_SIZE];
    sqlite3_stmt *statement = NULL;
    int n = 0, rc = sql_prepare(store->db, "SELECT source FROM source", &statement, err);

    memcpy(behind, take->path, sizeof behind);
    if (rc == 0)
        rc = sql_step(statement, err);
    if (rc == 1)
        n = snprintf(take->path, sizeof take->path, "%s%s%s", sql_column_text(statement, 0),
                     *behind ? "," : "", behind);
    sqlite3_finalize(statement);
    if (rc == 1 && n >= (int)sizeof take->path)
        return err_set(err, -ELOOP, "there are too many relays behind one another");
    return rc < 0 ? rc : 0;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* Which revisions of its runs it has described; one that is lost here may be open there. */
static int list_known(struct take *take, struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    size_t at = cbor_begin_array(&take->runs_known);
    uint32_t n = 0;
    int rc = sql_prepare(store->db,
                         "SELECT id, relayed_run.revision FROM relayed_run JOIN run USING(run_key)"
                         " WHERE source = ?2 AND state <> ?1",
                         &statement, err);

    if (rc == 0) {
        SQL_BIND(statement, STATE_LOST);
        sql_bind_text(statement, 2, take->source);
    }
    while (rc == 0 && (rc = sql_step(statement, err)) == 1) {
        const char *id = sql_column_text(statement, 0);

        cbor_put_text(&take->runs_known, id, strlen(id));
        cbor_put_integer(&take->runs_known, sqlite3_column_int64(statement, 1));
        n += 2;
        rc = sql_row_check(statement, err);
    }
    sqlite3_finalize(statement);
    cbor_end_array(&take->runs_known, at, n);
    if (take->runs_known.has_failed)
        cbor_release(&take->runs_known);
    return rc;
}

static int begin(struct store *store, void *arg, struct err *err)
{
    struct take *take = arg;
    bool is_other;
    int rc = read_source(take, store, &take->batch, &take->feed_seq, &is_other, err);

    if (rc == 1 && is_other && take->again)
        return fence(take, err);
    if (rc >= 0)
        rc = write_source(take, store, err);
    if (rc == 0)
        rc = list_known(take, store, err);
    return rc;
}

/* ---- a batch --------------------------------------------------------------------------------- */

static struct cell read_cell(const void *of, int row, int column)
{
    return taken_row(of, (size_t)row)[column];
}

static void offer_rows(struct taken *taken, struct merge_rows *out)
{
    *out = (struct merge_rows){0};
    if (taken->n_rows > 0)
        *out = (struct merge_rows){taken, (int)taken->n_rows, (int)taken->n_columns, read_cell};
}

/* One that is stored already changes nothing, and one that leaves one out is refused. */
static int check_place(struct take *take, struct store *store, bool *is_stored, struct err *err)
{
    int64_t batch, feed_seq;
    bool is_other;
    int rc = read_source(take, store, &batch, &feed_seq, &is_other, err);

    if (rc < 0)
        return rc;
    if (rc == 1 && is_other)
        return fence(take, err);
    *is_stored = take->batch <= batch;
    if (!*is_stored && (take->batch != batch + 1 || take->feed_seq < feed_seq))
        return err_set(err, -EPROTO, "batch %" PRId64 " does not follow batch %" PRId64,
                       take->batch, batch);
    if (*is_stored) {
        take->batch = batch;
        take->feed_seq = feed_seq;
    }
    return 0;
}

static int prepare(struct store *store, struct merge *merge, struct err *err)
{
    struct take *take = LIST_ENTRY(merge, struct take, merge);
    bool is_stored = false;
    int rc = check_place(take, store, &is_stored, err);

    if (rc < 0 || is_stored)
        return rc;
    rc = take_read_rows(take, err);
    if (rc == 0)
        rc = take_choose_runs(take, store, err);
    for (int id = 0; rc == 0 && id < SHARE_TABLE_COUNT; id++)
        offer_rows(&take->tables[id], &merge->rows[id]);
    if (rc == 0)
        offer_rows(&take->tombstones, &merge->tombstones);
    return rc;
}

static int note_runs(struct take *take, struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(store->db,
                         "REPLACE INTO relayed_run(source, run_key, revision)"
                         " SELECT ?2, run_key, ?1 FROM run WHERE id = ?3",
                         &statement, err);

    for (size_t i = 0; rc == 0 && i < take->n_runs; i++) {
        if (take->runs[i].is_refused)
            continue;
        SQL_BIND(statement, take->runs[i].revision);
        sql_bind_text(statement, 2, take->source);
        sql_bind_text(statement, 3, take->runs[i].id);
        rc = sql_run(statement, err);
    }
    sqlite3_finalize(statement);
    return rc;
}

/* An attempt behind which a newer one was opened is over, as where a trainer opens one: its own is
 * told when it sends something more. */
static int end_older_attempts(struct take *take, struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(store->db,
                         "UPDATE attempt SET state = ?1 WHERE state = ?2 AND run_key ="
                         " (SELECT run_key FROM run WHERE id = ?3) AND coalesce(opened, 0) <"
                         " (SELECT max(coalesce(opened, 0)) FROM attempt n"
                         " WHERE n.run_key = attempt.run_key)",
                         &statement, err);

    for (size_t i = 0; rc == 0 && i < take->n_runs; i++) {
        SQL_BIND(statement, STATE_LOST, STATE_OPEN);
        sql_bind_text(statement, 3, take->runs[i].id);
        rc = take->runs[i].is_refused ? 0 : sql_run(statement, err);
    }
    sqlite3_finalize(statement);
    return rc;
}

static int finish(struct store *store, struct merge *merge, struct err *err)
{
    struct take *take = LIST_ENTRY(merge, struct take, merge);
    int rc = write_source(take, store, err);

    if (rc == 0)
        rc = end_older_attempts(take, store, err);
    return rc == 0 ? note_runs(take, store, err) : rc;
}

/* ---- the task -------------------------------------------------------------------------------- */

static int work(struct store *store, struct store_task *task, struct err *err)
{
    struct take *take = take_of(task);
    int rc = make_path(take, store, err);

    if (rc < 0)
        return rc;
    rc = take->has_begun ? merge_work(store, task, err) : store_transact(store, begin, take, err);
    take_free_rows(take);
    return rc;
}

static bool copy(struct take *take, const struct take_request *request)
{
    snprintf(take->source, sizeof take->source, "%s", request->source);
    snprintf(take->session, sizeof take->session, "%s", request->session);
    snprintf(take->path, sizeof take->path, "%s", request->path);
    take->projects = request->projects ? strdup(request->projects) : NULL;
    take->data.data = malloc(request->size + 1);
    if (!take->data.data || (request->projects && !take->projects))
        return false;
    if (request->size > 0)
        memcpy(take->data.data, request->data, request->size);
    take->data.size = request->size;
    return true;
}

struct take *take_new(const struct take_request *request)
{
    struct take *take = calloc(1, sizeof *take);

    if (!take)
        return NULL;
    if (!copy(take, request)) {
        take_free(take);
        return NULL;
    }
    take->peer = request->peer;
    take->again = request->again;
    take->batch = request->batch;
    take->feed_seq = request->feed_seq;
    take->has_begun = request->batch > 0;
    take->runs_known.size_max = KNOWN_BYTES_MAX;
    take->merge.is_relayed = true;
    take->merge.before = prepare;
    take->merge.after = finish;
    take->merge.owner = request->owner;
    take->merge.task.work = work;
    return take;
}

void take_free(struct take *take)
{
    if (!take)
        return;
    take_free_rows(take);
    cbor_release(&take->runs_known);
    free(take->runs);
    free(take->attempts);
    free(take->projects);
    free(take->data.data);
    free(take);
}

struct store_task *take_task(struct take *take)
{
    return &take->merge.task;
}

struct take *take_of(struct store_task *task)
{
    return LIST_ENTRY(LIST_ENTRY(task, struct merge, task), struct take, merge);
}

uint64_t take_peer(const struct take *take)
{
    return take->peer;
}

void *take_owner(const struct take *take)
{
    return take->merge.owner;
}

size_t take_size(const struct take *take)
{
    return take->data.size;
}

struct control_place take_place(const struct take *take)
{
    return (struct control_place){.source = take->source,
                                  .batch = take->batch,
                                  .feed_seq = take->feed_seq,
                                  .path = take->path,
                                  .problem = *take->problem ? take->problem : NULL};
}

const struct cbor *take_runs_known(const struct take *take)
{
    return take->has_begun ? NULL : &take->runs_known;
}

uint64_t take_feed_seq(const struct take *take)
{
    return take->merge.feed_seq;
}
