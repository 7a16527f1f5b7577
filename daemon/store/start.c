#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/db.h"
#include "daemon/store/look.h"
#include "daemon/store/repair.h"
#include "daemon/store/schema.h"
#include "daemon/store/sql.h"

/* How a store begins and ends:
 *
 *     look.c    what is there before SQLite sees it: a file without content, a WAL without a file
 *     attach    the connection, the schema, the statements, the ends of the feed
 *     repair.c  when one of these is damaged; then attach again
 *     begin     runs that were open are lost, and the file says that it is in use
 *
 * Tested by test_store.c, test_store_faults.c and test_repair.c. */

/* The WAL shrinks to this size after it was larger: a reader that held it open once must not cost
 * disk space for ever. */
#define WAL_SIZE_LIMIT "67108864"

/* How long a transaction waits for another process that has the file locked. The core tries again
 * each second, so this only spares a short lock the second try. */
#define APPLY_BUSY_TIMEOUT_MS 1000

#define PRAGMAS                                                                                    \
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "     \
    "PRAGMA wal_autocheckpoint = 1000;"                                                            \
    " PRAGMA journal_size_limit = " WAL_SIZE_LIMIT "; PRAGMA foreign_keys = ON;"                   \
    " PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY"

/* ---- attaching ------------------------------------------------------------------------------- */

/* Reads both ends of the feed, which a damaged file rarely survives, and where it stands. */
static int read_feed_seq(struct store *store, struct err *err)
{
    int64_t stored = 0, last_point = 0, last_scalar = 0, last_finding = 0, first = 0;
    int rc;

    rc = sql_integer(store->db, "SELECT feed_seq FROM state", &stored, err);
    if (rc == 0)
        rc = sql_integer(store->db, "SELECT max(feed_seq) FROM point", &last_point, err);
    if (rc == 0)
        rc = sql_integer(store->db, "SELECT max(feed_seq) FROM scalar", &last_scalar, err);
    if (rc == 0)
        rc = sql_integer(store->db, "SELECT max(feed_seq) FROM finding", &last_finding, err);
    if (rc == 0)
        rc = sql_integer(store->db, "SELECT min(feed_seq) FROM point", &first, err);
    if (rc < 0)
        return rc;
    if (last_point > stored || last_scalar > stored || last_finding > stored || first < 0)
        return err_set(err, -EUCLEAN, "its feed ends at %" PRId64 ", but holds numbers beyond",
                       stored);
    store->feed_seq = (uint64_t)stored;
    store->committed = store->feed_seq;
    return 0;
}

static int check_wal(struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool is_wal;
    int rc;

    rc = sql_prepare(store->db, "PRAGMA journal_mode", &statement, err);
    if (rc < 0)
        return rc;
    rc = sql_step(statement, err);
    is_wal = rc == 1 && strcmp(sql_column_text(statement, 0), "wal") == 0;
    sqlite3_finalize(statement);
    if (rc < 0)
        return rc;
    return is_wal ? 0 : err_set(err, -EIO, "this file system does not support a WAL");
}

/* Puts the first finding of quick_check behind the sentence. */
static void describe_damage(sqlite3 *database, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    char old[ERR_TEXT_SIZE];

    if (!err || sql_prepare(database, "PRAGMA quick_check(1)", &statement, NULL) < 0)
        return;
    if (sql_step(statement, NULL) == 1) {
        snprintf(old, sizeof old, "%s", err->text);
        err_set(err, -EUCLEAN, "%.200s; quick_check: %.200s", old, sql_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
}

/* Another program's database, or a newer one, is recognised before a pragma could change it. */
static int attach(struct store *store, struct err *err)
{
    int64_t version;
    int rc;

    rc = sql_open(store->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &store->db, err);
    if (rc == 0)
        rc = store_schema_recognise(store->db, &version, err);
    if (rc == 0)
        rc = sql_exec(store->db, PRAGMAS, err);
    if (rc == 0)
        rc = check_wal(store, err);
    if (rc == 0)
        rc = store_schema_update(store->db, err);
    if (rc == 0)
        rc = store_prepare_statements(store, err);
    if (rc == 0)
        rc = read_feed_seq(store, err);
    if (rc == 0)
        rc = store_leave_start(store, err);
    if (rc == -EUCLEAN && store->db)
        describe_damage(store->db, err);
    if (rc == 0)
        sqlite3_busy_timeout(store->db, APPLY_BUSY_TIMEOUT_MS);
    return rc;
}

/* `folds`: what the WAL holds is written into the file. */
static void detach(struct store *store, bool folds)
{
    sql_finalize(store->statement, SQL_COUNT);
    if (store->db && !folds)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(store->db);
    store->db = NULL;
}

/* The damage that made it necessary is the error when the repair does not succeed. */
static int attach_repaired(struct store *store, struct err *err)
{
    struct err why;
    int rc = attach(store, err);

    if (rc != -EUCLEAN)
        return rc;
    detach(store, false);
    rc = store_repair_file(store->path, 0, &store->notes, &why);
    if (rc < 0)
        return rc == -EUCLEAN ? rc : err_set(err, rc, "%s", why.text);
    return attach(store, err);
}

/* ---- beginning and ending -------------------------------------------------------------------- */

static void note_what_is_missing(struct store *store, const struct look *found, bool was_in_use)
{
    if (was_in_use && !found->has_wal)
        store_note(&store->notes,
                   "%s-wal is missing: what was written last may not be here. A history that is in"
                   " use is not whole in one file; richd --backup copies it",
                   store->path);
    if (store->feed_seq < found->feed_seq)
        store_note(&store->notes,
                   "the history ends at number %" PRIu64 ", and one that was here ended at %" PRIu64
                   ": what came between is missing",
                   store->feed_seq, found->feed_seq);
}

/* No trainer is connected to a process that has just started. The first time the file itself, and
 * not only its WAL, has to say that it is in use: a copy without the WAL is recognised by it. */
static int begin(struct store *store, const struct look *found, struct err *err)
{
    int64_t was_in_use = 0;
    int rc = sql_integer(store->db, "SELECT in_use FROM state", &was_in_use, err);

    if (rc < 0)
        return rc;
    note_what_is_missing(store, found, was_in_use);
    rc = sql_exec(store->db,
                  "BEGIN IMMEDIATE;"
                  " UPDATE attempt SET state = 3 WHERE state = 0;"
                  " UPDATE run SET state = 3, revision = revision + 1 WHERE state = 0;"
                  " UPDATE member SET state = 3 WHERE state = 0;"
                  " UPDATE state SET in_use = 1;"
                  " COMMIT",
                  err);
    if (rc == 0 && !was_in_use)
        rc = sql_exec(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    if (rc < 0)
        return rc;
    store->is_in_use = true;
    look_leave(store->path, store->feed_seq);
    return 0;
}

static int start(struct store *store, struct err *err)
{
    struct look found = {0};
    int rc = store_repair_finish(store->path, err);

    if (rc == 0)
        rc = look_at(store->path, &found, &store->notes, err);
    if (rc == 0)
        rc = attach_repaired(store, err);
    return rc == 0 ? begin(store, &found, err) : rc;
}

int store_open(const char *path, struct store **out, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    int rc;

    assert(path && out);
    *out = NULL;
    if (!store || !(store->path = strdup(path)) || asprintf(&store->wal_path, "%s-wal", path) < 0) {
        store_close(store);
        return err_set(err, -ENOMEM, "%s: out of memory", path);
    }
    rc = start(store, err);
    if (rc < 0) {
        store_close(store);
        return err_prefix(err, rc, "%s: ", path);
    }
    *out = store;
    return 0;
}

/* After a failure of the disk nobody knows what it holds: the next start finds out. */
void store_close(struct store *store)
{
    if (!store)
        return;
    if (store->db && store->is_in_use && !store->has_failed) {
        sql_exec(store->db, "UPDATE state SET in_use = 0", NULL);
        look_leave(store->path, store->committed);
    }
    detach(store, !store->has_failed);
    free(store->path);
    free(store->wal_path);
    free(store);
}

/* A repaired file that is ready counts: the old one is not opened beside it. */
int store_repair(struct store *store, struct err *err)
{
    struct err why;
    int rc;

    detach(store, false);
    rc = store_repair_file(store->path, store->committed, &store->notes, &why);
    if (rc < 0)
        store_note(&store->notes, "the damage is not mended: %s", why.text);
    store->has_failed = false;
    store->swept = (struct curve){0};
    if (store_repair_finish(store->path, err) < 0)
        return -EIO;
    if (attach(store, err) < 0)
        return -EIO;
    return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}
