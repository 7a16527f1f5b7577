#include "daemon/store/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/store/aside.h"
#include "daemon/store/mend.h"
#include "daemon/store/salvage.h"
#include "daemon/store/sql.h"

/* The way of a repair:
 *
 *     PATH.repairing   is filled: tables, rows, and what follows of the rows (mend.h)
 *     PATH.damaged-N   becomes another name of PATH, with its WAL
 *     PATH.repaired    is the new name of the filled one: from here on it counts, even after a
 * crash PATH             is replaced by it, when the old WAL is gone
 *
 * A crash before the third step leaves PATH as it was. */

#define REPAIRING ".repairing"
#define REPAIRED  ".repaired"

/* ---- files ----------------------------------------------------------------------------------- */

static int join(const char *path, const char *suffix, char *out, struct err *err)
{
    if (snprintf(out, PATH_MAX, "%s%s", path, suffix) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    return 0;
}

static uint64_t size_of(const char *path, const char *suffix)
{
    char name[PATH_MAX];
    struct stat s;

    return join(path, suffix, name, NULL) == 0 && stat(name, &s) == 0 ? (uint64_t)s.st_size : 0;
}

/* A disk that a repair fills is full for the trainers, too, and a repair that found no room is
 * tried again each second. The fresh file can become as long as the damaged one with its WAL. */
static int check_space(const char *path, struct err *err)
{
    uint64_t needed = size_of(path, "") + size_of(path, "-wal"), left;
    struct statvfs disk;

    if (statvfs(path, &disk) < 0)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    left = (uint64_t)disk.f_bavail * disk.f_frsize;
    return left < needed ? err_set(err, -ENOSPC,
                                   "a repair needs %" PRIu64 " MB on the disk, which has %" PRIu64,
                                   needed / 1000000 + 1, left / 1000000)
                         : 0;
}

/* The old WAL must be gone before: SQLite would write it into the repaired file. */
int store_repair_finish(const char *path, struct err *err)
{
    char ready[PATH_MAX];
    int rc = join(path, REPAIRED, ready, err);

    if (rc < 0)
        return rc;
    if (access(ready, F_OK) < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", ready, strerror(errno));
    rc = store_unlink(path, "-wal");
    if (rc == 0)
        rc = store_unlink(path, "-shm");
    if (rc == 0 && rename(ready, path) < 0)
        rc = -errno;
    if (rc == 0)
        rc = store_sync_directory(path);
    return rc < 0 ? err_set(err, rc, "%s: %s", ready, strerror(-rc)) : 0;
}

/* ---- content --------------------------------------------------------------------------------- */

/* Neither closing nor reading may write to the damaged file. */
static int open_damaged(const char *path, sqlite3 **out, struct err *err)
{
    int rc = sql_open(path, SQLITE_OPEN_READWRITE, out, err);

    if (rc < 0)
        return rc;
    sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sql_exec(*out,
                    "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;"
                    " PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; BEGIN",
                    err);
}

/* One transaction, whose commit syncs; the file does not count before. */
static int open_fresh(const char *path, sqlite3 **out, struct err *err)
{
    int rc;

    store_unlink(path, ""); /* one that stays is met by the next statement */
    store_unlink(path, "-journal");
    rc = sql_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, out, err);
    if (rc < 0)
        return rc;
    return sql_exec(
        *out,
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL;"
        " PRAGMA temp_store = MEMORY; BEGIN",
        err);
}

/* The tables and indexes as they stand in the damaged file, whatever version wrote it. SQLite's own
 * (a person's ANALYZE makes some) cannot be created, and are left out. */
static int copy_schema(sqlite3 *from, sqlite3 *to, struct err *err)
{
    static const char *const numbers[] = {"application_id", "user_version"};
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;
    char text[64];
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        snprintf(text, sizeof text, "PRAGMA %s", numbers[i]);
        rc = sql_integer(from, text, &value, err);
        snprintf(text, sizeof text, "PRAGMA %s = %" PRId64, numbers[i], value);
        if (rc == 0)
            rc = sql_exec(to, text, err);
    }
    if (rc == 0)
        rc = sql_prepare(from,
                         "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
                         " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
                         &statement, err);
    while (rc == 0 && (rc = sql_step(statement, err)) == 1)
        rc = sql_exec(to, sql_column_text(statement, 0), err);
    sqlite3_finalize(statement);
    return rc;
}

static int copy_table(sqlite3 *from, sqlite3 *to, const char *name, struct store_notes *notes,
                      struct err *err)
{
    bool all_read = true;
    int rc = store_salvage_table(from, to, name, &all_read, err);

    if (rc == 0 && !all_read)
        store_note(notes, "not all of the table \"%s\" could be read", name);
    return rc;
}

/* Blocks are made again, of the points that could be read. */
static int copy_tables(sqlite3 *from, sqlite3 *to, struct store_notes *notes, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql_prepare(to,
                         "SELECT name FROM sqlite_schema WHERE type = 'table'"
                         " AND name <> 'block' ORDER BY rowid",
                         &statement, err);

    while (rc == 0 && (rc = sql_step(statement, err)) == 1)
        rc = copy_table(from, to, sql_column_text(statement, 0), notes, err);
    sqlite3_finalize(statement);
    return rc;
}

static int fill(sqlite3 *from, sqlite3 *to, uint64_t feed_seq, struct store_notes *notes,
                struct err *err)
{
    int rc = copy_schema(from, to, err);

    if (rc == 0)
        rc = copy_tables(from, to, notes, err);
    if (rc == 0)
        rc = store_mend(to, feed_seq, notes, err);
    return rc == 0 ? sql_exec(to, "COMMIT", err) : rc;
}

static int make_fresh(const char *path, const char *fresh, uint64_t feed_seq,
                      struct store_notes *notes, struct err *err)
{
    sqlite3 *from = NULL, *to = NULL;
    int rc = open_damaged(path, &from, err);

    if (rc == 0)
        rc = open_fresh(fresh, &to, err);
    if (rc == 0)
        rc = fill(from, to, feed_seq, notes, err);
    sqlite3_close(to);
    sqlite3_close(from);
    return rc;
}

/* Gives the filled file the name by which it counts, and syncs that. A name that is not durable
 * must not be found at the next start: what is written until then goes into the old file. */
static int make_ready(const char *path, const char *fresh, const char *ready, struct err *err)
{
    int rc = rename(fresh, ready) < 0 ? -errno : 0;

    if (rc == 0) {
        rc = store_sync_directory(path);
        if (rc < 0)
            store_unlink(ready, "");
    }
    return rc < 0 ? err_set(err, rc, "%s: %s", ready, strerror(-rc)) : 0;
}

int store_repair_file(const char *path, uint64_t feed_seq, struct store_notes *notes,
                      struct err *err)
{
    char fresh[PATH_MAX], ready[PATH_MAX], aside[PATH_MAX];
    struct store_notes told = {0};
    int rc = join(path, REPAIRING, fresh, err);

    if (rc == 0)
        rc = join(path, REPAIRED, ready, err);
    if (rc == 0)
        rc = check_space(path, err);
    if (rc < 0)
        return rc;
    rc = make_fresh(path, fresh, feed_seq, &told, err);
    if (rc == 0)
        rc = store_link_aside(path, "damaged", aside, sizeof aside, err);
    if (rc == 0)
        rc = make_ready(path, fresh, ready, err);
    if (rc < 0) {
        store_unlink(fresh, "");
        return rc;
    }
    store_note(notes, "the history was damaged: what could be read goes on, the damaged file is %s",
               aside);
    for (size_t i = 0; i < told.n; i++)
        store_note(notes, "%s", told.text[i]);
    return store_repair_finish(path, err);
}
