#include "daemon/store/db.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/sql.h"

/* The attempts of a run, and how a record is refused. */

int store_attempt_find(struct store *store, int64_t run_key, uint32_t attempt,
                       struct attempt_row *out, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ATTEMPT_FIND];
    int rc;

    memset(out, 0, sizeof *out);
    SQL_BIND(statement, run_key, attempt);
    rc = sql_step(statement, err);
    if (rc < 1)
        return rc;
    out->newest = sqlite3_column_int64(statement, 0);
    out->exists = sqlite3_column_type(statement, 1) != SQLITE_NULL;
    out->last_seq = (uint64_t)sqlite3_column_int64(statement, 1);
    out->state = (enum state)sqlite3_column_int(statement, 2);
    snprintf(out->writer, sizeof out->writer, "%s", sql_column_text(statement, 3));
    out->has_members = sqlite3_column_int(statement, 4);
    out->opened = sqlite3_column_double(statement, 5);
    rc = sql_row_check(statement, err);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 1;
}

int store_attempt_move(struct store *store, const struct record *record, uint32_t attempt,
                       enum state state, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ATTEMPT_STATE];
    int rc;

    SQL_BIND(statement, record->run_key, attempt, state);
    sql_bind_double(statement, 4, state == STATE_OPEN ? (double)NAN : record->time);
    rc = sql_run(statement, err);
    if (rc < 0)
        return rc;
    statement = store->statement[SQL_RUN_STATE];
    SQL_BIND(statement, record->run_key, attempt, state);
    sql_bind_double(statement, 4, record->time);
    return sql_run(statement, err);
}

int store_attempt_advance(struct store *store, const struct record *record, bool has_step,
                          struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_ATTEMPT_ADVANCE];
    int rc;

    bool is_of_members = record->kind == RECORD_CHECKPOINT && record->n_senders > 0;

    SQL_BIND(statement, record->run_key, record->attempt, (int64_t)record->seq, record->step,
             record->step);
    if (!has_step)
        sqlite3_bind_null(statement, 4);
    if (!is_of_members)
        sqlite3_bind_null(statement, 5);
    rc = sql_run(statement, err);
    return rc < 0 ? rc
                  : store_members_advance(store, record, record->kind == RECORD_CHECKPOINT, err);
}

int store_run_touch(struct store *store, const struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_TOUCH];

    SQL_BIND(statement, record->run_key);
    sql_bind_double(statement, 2, record->time);
    return sql_run(statement, err);
}

int store_run_revise(struct store *store, const struct record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_REVISE];

    SQL_BIND(statement, record->run_key);
    return sql_run(statement, err);
}

/* What all kinds of records share: the refusal. */
int store_record_refuse(struct record *record, int code, const char *format, ...)
{
    va_list args;

    record->rc = code;
    va_start(args, format);
    vsnprintf(record->error, sizeof record->error, format, args);
    va_end(args);
    return 0;
}
