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

/* A key of some projects takes no run out of another one. */
static void check_project(struct record *record, const char *project)
{
    if (!record_projects_have(record->open.projects, project))
        store_record_refuse(record, -EACCES,
                            "run \"%s\" is in a project that the key may not write into",
                            record->run);
}

static int find_run(struct store *store, struct record *record, int64_t *newest, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_FIND];
    struct open_result *out = &record->opened;
    int rc;

    sql_bind_text(statement, 1, record->run);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    out->run_key = sqlite3_column_int64(statement, 0);
    *newest = sqlite3_column_int64(statement, 1);
    out->has_last_step = sqlite3_column_type(statement, 2) != SQLITE_NULL;
    out->last_step = sqlite3_column_int64(statement, 2);
    check_project(record, sql_column_text(statement, 3));
    sqlite3_reset(statement);
    return 1;
}

/* Writes what the trainer says about its run. What the newest attempt says replaces the older. */
static int describe_run(struct store *store, struct record *record, struct err *err)
{
    const struct record_open *open = &record->open;
    sqlite3_stmt *statement =
        store->statement[record->opened.created ? SQL_RUN_NEW : SQL_RUN_RENEW];
    int rc;

    sql_bind_text(statement, 1, record->run);
    sql_bind_text(statement, 2, open->name);
    sql_bind_text(statement, 3, open->project);
    sql_bind_text(statement, 4, open->group);
    sql_bind_text(statement, 5, open->tags);
    if (record->opened.created)
        sql_bind_double(statement, 6, record->time);
    rc = sql_run(statement, err);
    if (rc < 0)
        return rc;
    if (record->opened.created)
        record->opened.run_key = sqlite3_last_insert_rowid(store->db);
    if (!open->config && !record->opened.created)
        return 0;
    return store_config_open(store, record, err);
}

/* The number behind all others: one that a relay brought late is larger than the newest, and
 * another daemon of the shared history may have more. */
static int next_number(struct store *store, const struct record *record, int64_t newest,
                       uint32_t *out, struct err *err)
{
    int64_t last = newest;
    int rc = sql_integer_of(store->statement[SQL_ATTEMPT_LAST], record->run_key, &last, err);

    last = last > newest ? last : newest;
    *out = 1 + (last > record->open.elsewhere ? (uint32_t)last : record->open.elsewhere);
    return rc < 0 ? rc : 0;
}

/* Begins the next attempt. The one before it becomes lost if it still counts as open. */
static int begin_attempt(struct store *store, struct record *record, int64_t newest,
                         struct err *err)
{
    struct attempt_row previous = {0};
    sqlite3_stmt *statement;
    int rc;

    rc = describe_run(store, record, err);
    record->run_key = record->opened.run_key;
    if (rc == 0 && newest > 0)
        rc = store_attempt_find(store, record->run_key, (uint32_t)newest, &previous, err);
    if (rc == 1 && previous.exists && previous.state == STATE_OPEN)
        rc = store_attempt_move(store, record, (uint32_t)newest, STATE_LOST, err);
    if (rc >= 0)
        rc = next_number(store, record, newest, &record->opened.attempt, err);
    if (rc < 0)
        return rc;
    statement = store->statement[SQL_ATTEMPT_NEW];
    SQL_BIND(statement, record->run_key, record->opened.attempt);
    sql_bind_text(statement, 3, record->open.writer);
    sql_bind_double(statement, 4, record->time);
    sql_bind_text(statement, 5, record->open.launch);
    sqlite3_bind_int64(statement, 6, record->open.world);
    if (!record->open.launch)
        sqlite3_bind_null(statement, 6);
    sql_bind_text(statement, 7, record->open.host);
    rc = sql_run(statement, err);
    if (rc < 0)
        return rc;
    if (record->open.launch)
        return store_member_join(store, record, record->opened.attempt, record->open.rank, err);
    return store_attempt_move(store, record, record->opened.attempt, STATE_OPEN, err);
}

/* The attempt that this launch of the job has begun; 0: none. */
static int find_launch(struct store *store, struct record *record, int64_t *attempt, int64_t *world,
                       struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ATTEMPT_OF_LAUNCH];
    int rc;

    SQL_BIND(statement, record->opened.run_key);
    sql_bind_text(statement, 2, record->open.launch);
    sql_bind_text(statement, 3, record->open.writer);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    *attempt = sqlite3_column_int64(statement, 0);
    *world = sqlite3_column_int64(statement, 1);
    record->opened.has_cut = sqlite3_column_type(statement, 2) != SQLITE_NULL;
    record->opened.cut_step = sqlite3_column_int64(statement, 2);
    sqlite3_reset(statement);
    return 1;
}

/* Whether the rank has another writer since this one was welcomed, which its attempt tells. */
static int check_writer(struct store *store, struct record *record, struct err *err)
{
    struct member_row member;
    int rc =
        store_member_find(store, record, record->opened.attempt, record->open.rank, &member, err);

    if (rc < 1 || record->open.attempt == 0 || strcmp(member.writer, record->open.writer) == 0)
        return rc < 0 ? rc : 0;
    return store_record_refuse(record, -ESTALE, "rank %" PRIu32 " of run %s was started again",
                               record->open.rank, record->run);
}

/* A rank of a launch goes on with its attempt, where the daemon does not hold it. */
static int resume_launch(struct store *store, struct record *record, int64_t attempt, int64_t world,
                         int64_t newest, struct err *err)
{
    struct member_row member = {0};
    int rc;

    if (attempt < newest)
        return store_record_refuse(record, -ESTALE,
                                   "run \"%s\": attempt %" PRId64 " was superseded by %" PRId64,
                                   record->run, attempt, newest);
    if (world != record->open.world)
        return store_record_refuse(record, -EPROTO,
                                   "rank %" PRIu32 " says that %" PRIu32
                                   " ranks were launched, others said %" PRId64,
                                   record->open.rank, record->open.world, world);
    record->run_key = record->opened.run_key;
    record->opened.attempt = (uint32_t)attempt;
    rc = check_writer(store, record, err);
    if (rc < 0 || record->rc < 0)
        return rc;
    rc = store_member_join(store, record, record->opened.attempt, record->open.rank, err);
    if (rc == 0)
        rc = store_member_find(store, record, record->opened.attempt, record->open.rank, &member,
                               err);
    if (rc < 0)
        return rc;
    record->opened.last_seq = member.last_seq;
    return 0;
}

/* Goes on with attempt `found`. A closed attempt stays closed: what follows is a close that is sent
 * again because its acknowledgement was lost. */
static int resume_attempt(struct store *store, struct record *record,
                          const struct attempt_row *found, struct err *err)
{
    record->run_key = record->opened.run_key;
    record->opened.attempt =
        record->opened.is_older ? record->open.attempt : (uint32_t)found->newest;
    record->opened.last_seq = found->last_seq;
    if (found->state == STATE_FINISHED || found->state == STATE_FAILED)
        return 0;
    return store_attempt_move(store, record, record->opened.attempt, STATE_OPEN, err);
}

int store_read_layer(sqlite3_stmt *statement, struct open_result *out, size_t *capacity,
                     struct stored_layer **added, struct err *err)
{
    struct stored_layer *layer;

    if (out->n_layers == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 8;
        layer = realloc(out->layers, *capacity * sizeof *layer);
        if (!layer)
            return err_set(err, -ENOMEM, "out of memory");
        out->layers = layer;
    }
    layer = &out->layers[out->n_layers++];
    snprintf(layer->name, sizeof layer->name, "%s", sql_column_text(statement, 0));
    layer->p = (uint32_t)sqlite3_column_int64(statement, 1);
    layer->c = (uint32_t)sqlite3_column_int64(statement, 2);
    layer->batch_seq = (uint64_t)sqlite3_column_int64(statement, 3);
    layer->rows_offered = (uint64_t)sqlite3_column_int64(statement, 4);
    layer->rows_thinned = (uint64_t)sqlite3_column_int64(statement, 6);
    layer->watch = NULL;
    layer->probe = (struct probe){0};
    *added = layer;
    return sql_row_check(statement, err);
}

static int read_layers(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_LAYERS];
    size_t capacity = 0;
    int rc;

    SQL_BIND(statement, record->opened.run_key, record->opened.attempt);
    while ((rc = sql_step(statement, err)) == 1) {
        struct stored_layer *layer = NULL;

        rc = store_read_layer(statement, &record->opened, &capacity, &layer, err);
        if (rc == 0 && record->open.probe_bytes > 0)
            rc = store_probe_read(store, sqlite3_column_int64(statement, 5), &layer->probe, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

/* What a spool has of an attempt that the run has gone on from is found there: the newer one
 * supersedes of it what it would have superseded at the time. */
static bool is_replay_of_older(const struct record *record, int64_t newest)
{
    const struct record_open *open = &record->open;

    return open->is_replay && !open->launch && open->attempt != 0 && open->attempt < newest;
}

/* Whether the attempt that the trainer names is refused: the run does not have it, or a newer one.
 */
static bool refuse_attempt(struct record *record, int64_t newest)
{
    uint32_t attempt = record->open.attempt;

    record->opened.is_older = is_replay_of_older(record, newest);
    if (record->opened.is_older)
        return false;

    if (attempt > newest)
        store_record_refuse(record, -ENOENT,
                            "run \"%s\" has no attempt %" PRIu32 ", the newest is %" PRId64,
                            record->run, attempt, newest);
    else if (attempt != 0 && attempt < newest)
        store_record_refuse(record, -ESTALE,
                            "run \"%s\": attempt %" PRIu32 " was superseded by %" PRId64,
                            record->run, attempt, newest);
    return attempt != 0 && attempt != newest;
}

/* Goes on with the newest attempt, where the trainer is its writer and means it, or begins one. */
static int resume_or_begin(struct store *store, struct record *record,
                           const struct attempt_row *found, int64_t newest, struct err *err)
{
    const char *writer = record->open.writer ? record->open.writer : "";
    bool same_writer = found->exists && !found->has_members && strcmp(found->writer, writer) == 0;

    if (record->open.attempt != 0 && !same_writer)
        return store_record_refuse(record, -EBUSY,
                                   "run \"%s\": attempt %" PRIu32 " is held by writer \"%s\"",
                                   record->run, record->open.attempt, found->writer);
    if (record->open.attempt != 0)
        return resume_attempt(store, record, found, err);
    if (same_writer && !record->open.launch && *writer && found->last_seq == 0) {
        record->opened.created = newest == 1;
        return resume_attempt(store, record, found, err);
    }
    if (record->open.resume == RESUME_NEVER)
        return store_record_refuse(record, -EEXIST, "run \"%s\" exists, and resume is \"never\"",
                                   record->run);
    if (newest >= UINT32_MAX)
        return store_record_refuse(record, -EEXIST, "run \"%s\" has no attempt left", record->run);
    if (record->open.is_replay && found->state == STATE_OPEN)
        return store_record_refuse(
            record, -EALREADY, "run \"%s\": attempt %" PRId64 " is open, and a replay would end it",
            record->run, newest);
    if (record->open.began > 0 && found->exists && record->open.began < found->opened)
        return store_record_refuse(record, -ESTALE,
                                   "run \"%s\": attempt %" PRId64
                                   " began after this was written, which would hide it",
                                   record->run, newest);
    return begin_attempt(store, record, newest, err);
}

/* What a spool says was perhaps stored before: the same file, or a copy of it. So its writer means
 * the attempt that it has. A rank's is found by its launch. */
static int find_writer(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ATTEMPT_OF_WRITER];
    int rc;

    if (!record->open.is_replay || record->open.attempt != 0 || record->open.launch)
        return 0;
    SQL_BIND(statement, record->opened.run_key);
    sql_bind_text(statement, 2, record->open.writer);
    rc = sql_step(statement, err);
    if (rc == 1)
        record->open.attempt = (uint32_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* Which attempt of an existing run the trainer gets. */
static int open_existing(struct store *store, struct record *record, int64_t newest,
                         struct err *err)
{
    struct attempt_row found;
    int64_t attempt = 0, world = 0;
    int rc = find_writer(store, record, err);

    if (rc < 0 || refuse_attempt(record, newest))
        return rc;
    rc = store_attempt_find(store, record->opened.run_key,
                            record->opened.is_older ? record->open.attempt : (uint32_t)newest,
                            &found, err);
    if (rc >= 0 && record->open.launch)
        rc = find_launch(store, record, &attempt, &world, err);
    if (rc < 0)
        return rc;
    if (attempt != 0 && (record->open.attempt == 0 || record->open.attempt == attempt))
        return resume_launch(store, record, attempt, world, newest, err);
    return resume_or_begin(store, record, &found, newest, err);
}

/* Whether the probes of an existing run fit into the memory that is left for them. This is checked
 * before anything is written: a run that asks for too much must not undo what others store in the
 * same transaction. */
static int check_room(struct store *store, struct record *record, struct err *err)
{
    double size_bytes = 0;
    int rc = record->open.probe_bytes > 0
                 ? store_probe_size(store, record->opened.run_key, &size_bytes, err)
                 : 0;

    if (rc < 0 || size_bytes <= record->open.probe_bytes)
        return rc;
    return store_record_refuse(record, -ENOMEM,
                               "run \"%s\": its probes need %.1f MiB, %.1f are left", record->run,
                               size_bytes / 0x1p20, record->open.probe_bytes / 0x1p20);
}

static int put_watched(struct store *store, const struct record *record, size_t place,
                       bool is_scalar, const char *name, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_WATCHED_PUT];

    SQL_BIND(statement, record->opened.run_key, (int64_t)place, is_scalar,
             record->open.watched.in_turn);
    sql_bind_text(statement, 5, name);
    return sql_run(statement, err);
}

/* What this opening has watched, in the place of what the one before had. */
static int replace_watched(struct store *store, const struct record *record, struct err *err)
{
    const struct watch_list *list = &record->open.watched;
    sqlite3_stmt *statement = store->statement[SQL_WATCHED_DROP];
    int rc;

    SQL_BIND(statement, record->opened.run_key);
    rc = sql_run(statement, err);
    for (size_t i = 0; rc == 0 && i < list->n; i++)
        rc = put_watched(store, record, i, false, metric_table[list->metrics[i]].name, err);
    for (size_t i = 0; rc == 0 && i < list->n_scalars; i++)
        rc = put_watched(store, record, list->n + i, true, list->scalars[i], err);
    return rc;
}

/* Whether a person has deleted the run. What was written before that, or goes on with it, does not
 * bring it back; a trainer does that asks for a new run. */
static int check_tombstone(struct store *store, struct record *record, struct err *err)
{
    bool is_new =
        record->open.resume == RESUME_NEVER && !record->open.is_replay && record->open.attempt == 0;
    sqlite3_stmt *statement = store->statement[SQL_TOMBSTONE_FIND];
    int rc;

    sql_bind_text(statement, 1, record->run);
    rc = sql_step(statement, err);
    sqlite3_reset(statement);
    if (rc < 1)
        return rc;
    if (!is_new)
        return store_record_refuse(record, -EIDRM,
                                   "run \"%s\" was deleted here; resume \"never\" begins it again",
                                   record->run);
    statement = store->statement[SQL_TOMBSTONE_DROP];
    sql_bind_text(statement, 1, record->run);
    return sql_run(statement, err);
}

int store_open_apply(struct store *store, struct record *record, struct err *err)
{
    int64_t newest = 0;
    int rc;

    rc = find_run(store, record, &newest, err);
    if (record->rc < 0)
        return 0;
    if (rc == 0) {
        rc = check_tombstone(store, record, err);
        if (rc == 0 && record->rc < 0)
            return 0;
    }
    if (rc < 0)
        return rc;
    if (rc == 1) {
        rc = check_room(store, record, err);
        if (rc == 0 && record->rc == 0)
            rc = open_existing(store, record, newest, err);
    } else if (record->open.attempt != 0 ||
               (record->open.resume == RESUME_MUST && record->open.elsewhere == 0)) {
        return store_record_refuse(record, -ENOENT, "run \"%s\" does not exist", record->run);
    } else if (record->open.resume == RESUME_NEVER && record->open.elsewhere > 0) {
        return store_record_refuse(record, -EEXIST,
                                   "run \"%s\" exists in the shared history, and resume is"
                                   " \"never\"",
                                   record->run);
    } else {
        record->opened.created = true;
        rc = begin_attempt(store, record, 0, err);
    }
    if (rc < 0 || record->rc < 0)
        return rc;
    rc = record->opened.is_older ? 0 : replace_watched(store, record, err);
    if (rc == 0)
        rc = read_layers(store, record, err);
    return rc == 0 && record->open.launch ? store_members_read(store, record, err) : rc;
}
