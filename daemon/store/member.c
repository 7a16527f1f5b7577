#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/sql.h"

/* The members of an attempt that ranks of a job have opened: who has each rank, how far its
 * messages are on disk, and where its next windows begin. An attempt without members has no row
 * here. */

int store_member_find(struct store *store, const struct record *record, uint32_t attempt,
                      uint32_t rank, struct member_row *out, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_FIND];
    int rc;

    memset(out, 0, sizeof *out);
    SQL_BIND(statement, record->run_key, attempt, rank);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    out->exists = true;
    out->last_seq = (uint64_t)sqlite3_column_int64(statement, 0);
    out->state = (enum state)sqlite3_column_int(statement, 1);
    snprintf(out->writer, sizeof out->writer, "%s", sql_column_text(statement, 2));
    rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 1;
}

static int set_state(struct store *store, const struct record *record, uint32_t attempt,
                     uint32_t rank, enum state state, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_STATE];

    SQL_BIND(statement, record->run_key, attempt, rank, state);
    return sql_run(statement, err);
}

/* A writer that the rank did not have before: its numbers begin again. */
static int put_writer(struct store *store, const struct record *record, uint32_t attempt,
                      uint32_t rank, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_PUT];
    int rc;

    SQL_BIND(statement, record->run_key, attempt, rank);
    sql_bind_text(statement, 4, record->open.writer);
    rc = sql_run(statement, err);
    if (rc < 0)
        return rc;
    statement = store->statement[SQL_MEMBER_TOTALS_DROP];
    SQL_BIND(statement, record->run_key, attempt, rank);
    return sql_run(statement, err);
}

int store_member_join(struct store *store, struct record *record, uint32_t attempt, uint32_t rank,
                      struct err *err)
{
    struct member_row found;
    int rc = store_member_find(store, record, attempt, rank, &found, err);

    if (rc < 0)
        return rc;
    if (rc == 0 || strcmp(found.writer, record->open.writer) != 0)
        rc = put_writer(store, record, attempt, rank, err);
    else if (found.state == STATE_FINISHED || found.state == STATE_FAILED)
        return 0; /* what follows is a close that is sent again */
    else
        rc = set_state(store, record, attempt, rank, STATE_OPEN, err);
    return rc < 0 ? rc : store_attempt_move(store, record, attempt, STATE_OPEN, err);
}

/* The attempt is over when no member is open. */
static int end_attempt(struct store *store, const struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBERS_STATE];
    enum state state;
    int rc;

    SQL_BIND(statement, record->run_key, record->attempt);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    state = (enum state)sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    return state == STATE_OPEN ? 0 : store_attempt_move(store, record, record->attempt, state, err);
}

int store_member_leave(struct store *store, const struct record *record, enum state state,
                       struct err *err)
{
    int rc = set_state(store, record, record->attempt, record->senders[0].rank, state, err);

    if (rc == 0)
        rc = store_run_revise(store, record, err);
    return rc < 0 ? rc : end_attempt(store, record, err);
}

int store_members_advance(struct store *store, const struct record *record, bool has_step,
                          struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_ADVANCE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_senders; i++) {
        SQL_BIND(statement, record->run_key, record->attempt, record->senders[i].rank,
                 (int64_t)record->senders[i].seq, record->step);
        if (!has_step)
            sqlite3_bind_null(statement, 5);
        rc = sql_run(statement, err);
    }
    return rc;
}

int store_member_totals_put(struct store *store, const struct record *record, size_t point,
                            int64_t layer_key, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_TOTAL_PUT];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_totals; i++) {
        const struct record_total *total = &record->totals[i];

        if (total->point != point)
            continue;
        SQL_BIND(statement, layer_key, record->attempt, total->rank, (int64_t)total->batch_seq,
                 (int64_t)total->rows_offered, (int64_t)total->rows_thinned);
        rc = sql_run(statement, err);
    }
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Room for one element more of an array that doubles. */
static void *grow(void *array, size_t n, size_t element_size)
{
    return (n & (n - 1)) == 0 ? realloc(array, (n ? 2 * n : 1) * element_size) : array;
}

static int read_member(sqlite3_stmt *statement, struct open_result *out, struct err *err)
{
    struct stored_member *members = grow(out->members, out->n_members, sizeof *members), *member;
    enum state state;

    if (!members)
        return err_set(err, -ENOMEM, "out of memory");
    out->members = members;
    member = &members[out->n_members++];
    state = (enum state)sqlite3_column_int(statement, 2);
    *member = (struct stored_member){
        .rank = (uint32_t)sqlite3_column_int64(statement, 0),
        .closed = state == STATE_FINISHED || state == STATE_FAILED,
        .last_seq = (uint64_t)sqlite3_column_int64(statement, 3),
        .last_step = sqlite3_column_type(statement, 4) == SQLITE_NULL
                         ? -1
                         : sqlite3_column_int64(statement, 4),
    };
    snprintf(member->writer, sizeof member->writer, "%s", sql_column_text(statement, 1));
    return sql_row_check(statement, err);
}

/* Both lists of the answer are in the order of the totals, so each search goes on where the last
 * one ended. */
static int read_total(sqlite3_stmt *statement, struct open_result *out, size_t *layer,
                      size_t *member, struct err *err)
{
    struct stored_total *totals = grow(out->totals, out->n_totals, sizeof *totals);
    const char *name = sql_column_text(statement, 0);
    uint32_t rank = (uint32_t)sqlite3_column_int64(statement, 1);

    if (!totals)
        return err_set(err, -ENOMEM, "out of memory");
    out->totals = totals;
    for (; *layer < out->n_layers && strcmp(out->layers[*layer].name, name) != 0; ++*layer)
        *member = 0;
    while (*member < out->n_members && out->members[*member].rank != rank)
        ++*member;
    if (*layer == out->n_layers || *member == out->n_members)
        return err_set(err, -EUCLEAN, "a total of rank %u has no member or no layer", rank);
    totals[out->n_totals++] =
        (struct stored_total){.member = *member,
                              .layer = *layer,
                              .batch_seq = (uint64_t)sqlite3_column_int64(statement, 2),
                              .rows_offered = (uint64_t)sqlite3_column_int64(statement, 3),
                              .rows_thinned = (uint64_t)sqlite3_column_int64(statement, 4)};
    return sql_row_check(statement, err);
}

static int read_totals(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBER_TOTALS];
    size_t layer = 0, member = 0;
    int rc;

    SQL_BIND(statement, record->opened.run_key, record->opened.attempt);
    while ((rc = sql_step(statement, err)) == 1) {
        rc = read_total(statement, &record->opened, &layer, &member, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

int store_members_read(struct store *store, struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_MEMBERS];
    int rc;

    SQL_BIND(statement, record->opened.run_key, record->opened.attempt);
    while ((rc = sql_step(statement, err)) == 1) {
        rc = read_member(statement, &record->opened, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : read_totals(store, record, err);
}
