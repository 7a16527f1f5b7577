#include "daemon/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/aside.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* SQLite's online backup begins again whenever another process writes, and would never end beside a
 * training. VACUUM INTO reads one snapshot. The WAL grows for as long, and shrinks afterwards. The
 * copy of an older history can give pages back, as newer ones do; theirs has it by itself, and the
 * pragma, which would write, fails. */
static int copy(const char *path, const char *part, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    sqlite3 *database = NULL;
    int64_t version = 0;
    int rc = sql_open(path, SQLITE_OPEN_READONLY, &database, err);

    if (rc < 0)
        return rc; /* which names the path */
    rc = sql_exec(database, "PRAGMA wal_autocheckpoint = 0; PRAGMA trusted_schema = OFF", err);
    if (rc == 0)
        rc = store_schema_recognise(database, &version, err);
    if (rc == 0 && version == 0)
        rc = err_set(err, -ENOENT, "it has no history");
    sql_exec(database, "PRAGMA auto_vacuum = INCREMENTAL", NULL);
    if (rc == 0)
        rc = sql_prepare(database, "VACUUM INTO ?1", &statement, err);
    if (rc == 0) {
        sql_bind_text(statement, 1, part);
        rc = sql_run(statement, err);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return rc < 0 ? err_prefix(err, rc, "%s: ", path) : 0;
}

/* No WAL belongs to the copy, and a shared history knows it as a store of its own: what is written
 * to it later is not what is written to the other one under the same numbers. */
static int end_use(const char *part, struct err *err)
{
    sqlite3 *database = NULL;
    int64_t version = 0;
    int rc = sql_open(part, SQLITE_OPEN_READWRITE, &database, err);

    if (rc == 0)
        rc = store_schema_recognise(database, &version, err);
    if (rc == 0 && version >= STORE_SCHEMA_IN_USE)
        rc = sql_exec(database, "UPDATE state SET in_use = 0", err);
    if (rc == 0 && version >= STORE_SCHEMA_SOURCE)
        rc = sql_exec(database, "UPDATE source SET source = lower(hex(randomblob(16)))", err);
    sqlite3_close(database);
    return rc;
}

/* VACUUM INTO does not sync. */
static int sync_file(const char *part, struct err *err)
{
    int fd = open(part, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0 || fsync(fd) < 0)
        rc = err_set(err, -errno, "%s: %s", part, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int give_name(const char *part, const char *to, struct err *err)
{
    int rc = link(part, to) < 0 ? -errno : 0;

    if (rc == 0) {
        rc = store_sync_directory(to);
        if (rc < 0)
            unlink(to);
    }
    return rc < 0 ? err_set(err, rc, "%s: %s", to, strerror(-rc)) : 0;
}

int store_backup(const char *path, const char *to, struct err *err)
{
    char part[PATH_MAX];
    int rc;

    if (snprintf(part, sizeof part, "%s.part", to) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", to);
    if (access(to, F_OK) == 0)
        return err_set(err, -EEXIST, "%s: %s", to, strerror(EEXIST));
    unlink(part);
    rc = copy(path, part, err);
    if (rc == 0)
        rc = end_use(part, err);
    if (rc == 0)
        rc = sync_file(part, err);
    if (rc == 0)
        rc = give_name(part, to, err);
    unlink(part);
    return rc;
}
