#include "daemon/store/sql.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

/* An I/O error by the errno behind it. EFBIG comes of RLIMIT_FSIZE, and is treated as a full disk.
 * A failed sync is never treated as one: nobody knows what the kernel still holds then, and a
 * second try would succeed although it has written nothing. */
static int io_error(int code, int system_errno)
{
    if (code == SQLITE_IOERR_NOMEM)
        return -ENOMEM;
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        return -EIO;
    switch (system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case EACCES:
    case EPERM:
    case EROFS:
        return -EACCES;
    default:
        return -EIO;
    }
}

static int translate(int code, int system_errno)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_INTERRUPT:
        return -ECANCELED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EAGAIN;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return io_error(code, system_errno);
    default:
        return -EIO;
    }
}

/* The -errno for the failure that `db` (and errno) has just reported, with SQLite's own words
 * behind `what` in `err`: -ENOSPC (disk, quota or file size), -ENOMEM, -EUCLEAN (the file is
 * damaged or no database), -EAGAIN (another process has it locked), -EACCES,
 * -ECANCELED (its progress handler ended it), else -EIO. It reads
 * errno and not sqlite3_system_errno(): a failing COMMIT leaves there what an older failure set.
 * Each call here clears errno first. */
static int sql_error(sqlite3 *database, struct err *err, const char *what)
{
    int system_errno = errno, code;

    if (!database) /* not even the connection could be allocated */
        return err_set(err, -ENOMEM, "%s: out of memory", what);
    code = sqlite3_extended_errcode(database);
    if (system_errno != 0 && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN))
        return err_set(err, translate(code, system_errno), "%s: %s: %s (SQLite code %d)", what,
                       sqlite3_errmsg(database), strerror(system_errno), code);
    if (translate(code, system_errno) == -EACCES)
        return err_set(err, -EACCES,
                       "%s: we may not write to it, its -wal or its directory: %s"
                       " (SQLite code %d)",
                       what, sqlite3_errmsg(database), code);
    return err_set(err, translate(code, system_errno), "%s: %s (SQLite code %d)", what,
                   sqlite3_errmsg(database), code);
}

_Static_assert(SQLITE_VERSION_NUMBER >= SQL_OLDEST,
               "richd needs SQLite " SQL_OLDEST_TEXT " or a newer one");

int sql_open(const char *path, int flags, sqlite3 **out, struct err *err)
{
    int rc;

    *out = NULL;
    if (sqlite3_libversion_number() < SQL_OLDEST)
        return err_set(err, -ENOTSUP, "%s: this is SQLite %s, and richd needs %s or a newer one",
                       path, sqlite3_libversion(), SQL_OLDEST_TEXT);
    errno = 0;
    if (sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        rc = sql_error(*out, err, path);
        sqlite3_close(*out);
        *out = NULL;
        return rc;
    }
    sqlite3_extended_result_codes(*out, 1);
    sqlite3_busy_timeout(*out, SQL_BUSY_TIMEOUT_MS);
    return 0;
}

int sql_exec(sqlite3 *database, const char *text, struct err *err)
{
    errno = 0;
    if (sqlite3_exec(database, text, NULL, NULL, NULL) != SQLITE_OK)
        return sql_error(database, err, "the database");
    return 0;
}

int sql_prepare(sqlite3 *database, const char *text, sqlite3_stmt **out, struct err *err)
{
    errno = 0;
    if (sqlite3_prepare_v3(database, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return sql_error(database, err, "the database");
    return 0;
}

int sql_integer(sqlite3 *database, const char *text, int64_t *out, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc;

    rc = sql_prepare(database, text, &statement, err);
    if (rc < 0)
        return rc;
    rc = sql_step(statement, err);
    if (rc == 1)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (rc == 0)
        return err_set(err, -EUCLEAN, "the database: no row for \"%s\"", text);
    return rc < 0 ? rc : 0;
}

void sql_finalize(sqlite3_stmt **statements, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sqlite3_finalize(statements[i]);
        statements[i] = NULL;
    }
}

int sql_integer_of(sqlite3_stmt *statement, int64_t key, int64_t *out, struct err *err)
{
    int rc;

    SQL_BIND(statement, key);
    rc = sql_step(statement, err);
    if (rc == 1)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

int sql_step(sqlite3_stmt *statement, struct err *err)
{
    int rc;

    errno = 0;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return 1;
    rc = rc == SQLITE_DONE ? 0 : sql_error(sqlite3_db_handle(statement), err, "the database");
    sqlite3_reset(statement);
    return rc;
}

int sql_run(sqlite3_stmt *statement, struct err *err)
{
    int rc = sql_step(statement, err);

    assert(rc <= 0);
    return rc;
}

void sql_bind_integers(sqlite3_stmt *statement, int first, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sqlite3_bind_int64(statement, first + (int)i, values[i]);
}

void sql_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void sql_bind_double(sqlite3_stmt *statement, int index, double value)
{
    sqlite3_bind_double(statement, index, value);
}

double sql_column_double(sqlite3_stmt *statement, int column)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return (double)NAN;
    return sqlite3_column_double(statement, column);
}

const char *sql_column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return text ? (const char *)text : "";
}

int sql_row_check(sqlite3_stmt *statement, struct err *err)
{
    if (sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_NOMEM)
        return err_set(err, -ENOMEM, "the database: out of memory");
    return 0;
}
