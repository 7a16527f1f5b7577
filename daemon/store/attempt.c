#include "daemon/store/db.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/sql.h"

/* The attempts of a run, and how a record is refused. */

int store_attempt_find(struct store *s, int64_t run_key, uint32_t attempt, struct attempt_row *out,
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

int store_attempt_move(struct store *s, const struct record *r, uint32_t attempt, enum state state,
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

int store_attempt_advance(struct store *s, const struct record *r, bool has_step, struct err *e)
{
    sqlite3_stmt *q = s->statement[SQL_ATTEMPT_ADVANCE];

    SQL_BIND(q, r->run_key, r->attempt, (int64_t)r->seq, r->step);
    if (!has_step)
        sqlite3_bind_null(q, 4);
    return sql_run(q, e);
}

/* What all kinds of records share: the refusal. */
int store_record_refuse(struct record *r, int code, const char *format, ...)
{
    va_list args;

    r->rc = code;
    va_start(args, format);
    vsnprintf(r->error, sizeof r->error, format, args);
    va_end(args);
    return 0;
}
