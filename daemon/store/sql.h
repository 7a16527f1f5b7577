/* SQLite's calls as the store and the history both use them: open, run, prepare, step, and its
 * result codes as -errno with a sentence. A connection and its statements belong to the caller that
 * opened them, one thread at a time. schema.h says what the tables mean. */
#pragma once

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

/* How long a call waits for another process that has the file locked (a sqlite3 shell, a backup)
 * before it gives up: longer than a transaction that a person holds open by hand. */
#define SQL_BUSY_TIMEOUT_MS 5000

/* The oldest SQLite that has all that is asked of it here (Debian 11's, of 2020). The build asks
 * the header, and sql_open the library that is loaded. */
#define SQL_OLDEST      3034000
#define SQL_OLDEST_TEXT "3.34"

/* Opens `path` with SQLITE_OPEN_* `flags`; returns 0 with a connection (close with sqlite3_close),
 * or -errno and NULL in `out`. All calls return -ENOSPC (disk, quota or file size), -ENOMEM,
 * -EUCLEAN (the file is damaged or no database), -EAGAIN (another process has it locked), -EACCES
 * or -EIO, with SQLite's own words in `err`; sql_open -ENOTSUP where the library is older than
 * SQL_OLDEST. */
int sql_open(const char *path, int flags, sqlite3 **out, struct err *err);

/* Runs statements that return nothing of interest. */
int sql_exec(sqlite3 *database, const char *text, struct err *err);

/* The integer in the first column of the first row, or -errno. -EUCLEAN when there is no row. */
int sql_integer(sqlite3 *database, const char *text, int64_t *out, struct err *err);

/* The integer that a prepared statement finds for `key`, its one parameter. `*out` stays as it is
 * when there is none. Returns 0 or -errno. */
int sql_integer_of(sqlite3_stmt *statement, int64_t key, int64_t *out, struct err *err);

/* Prepares a statement that lives as long as its connection. */
int sql_prepare(sqlite3 *database, const char *text, sqlite3_stmt **out, struct err *err);

/* Finalizes `n` statements, NULL among them, and forgets them. */
void sql_finalize(sqlite3_stmt **statements, size_t n);

/* One step: 1 with a row, 0 when done, -errno. After 0 or an error the statement is reset and ready
 * to be bound again. A caller that stops earlier resets it. */
int sql_step(sqlite3_stmt *statement, struct err *err);

/* Steps a statement that returns no row. */
int sql_run(sqlite3_stmt *statement, struct err *err);

/* Binding. Nothing is copied: texts are borrowed until the statement is reset. With that, and
 * parameters that exist, SQLite's binds cannot fail. A text of NULL and a NaN become SQL's NULL. */
void sql_bind_integers(sqlite3_stmt *statement, int first, const int64_t *values, size_t n);
void sql_bind_text(sqlite3_stmt *statement, int index, const char *text);
void sql_bind_double(sqlite3_stmt *statement, int index, double value);

/* SQL_BIND(statement, a, b, c): integers from parameter 1 on, each converted to int64_t. */
#define SQL_BIND(statement, ...)                                                                   \
    sql_bind_integers(statement, 1, (const int64_t[]){__VA_ARGS__},                                \
                      sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* A column as a double: NULL is NaN. As text: NULL is "", which lives until the next step. A text
 * may also be "" because memory ran out: call sql_row_check() after the last column of a row; it
 * returns 0 or -ENOMEM. */
double sql_column_double(sqlite3_stmt *statement, int column);
const char *sql_column_text(sqlite3_stmt *statement, int column);
int sql_row_check(sqlite3_stmt *statement, struct err *err);
