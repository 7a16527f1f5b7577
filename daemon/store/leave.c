#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"
#include "daemon/store/errand.h"
#include "daemon/store/sql.h"
#include "proto/base/clock.h"

/* Runs that leave. The way of one:
 *
 *     leave      in one transaction its row of `run` goes, which hides all of it from every query,
 *                and its number is noted in `leaving`
 *     delete     the rows that belong to it go, table by table
 *     give back  free pages leave the end of the file
 *
 * The second and the third are done in pieces, each a transaction, so that no commit waits for long
 * (lane.h), and a crash between two of them leaves a number in `leaving`, with which the next start
 * goes on. Tested by test_leave.c. */

/* A piece is over after so long; a record that comes meanwhile waits for it and its commit. */
#define PIECE_MS 10
#define DAY_S    86400.0
/* The trainer of a lost run may come back for so long: it goes on with its attempt, which a pruned
 * run has not. When the daemon starts each run that was open is lost until its trainer is there. */
#define LOST_S DAY_S
/* Rows of one statement, and of a table whose rows take up to megabytes. */
#define ROWS_AT_ONCE       64
#define LARGE_ROWS_AT_ONCE 2
/* Pages that go back to the file system by one statement. */
#define PAGES_AT_ONCE "32"
/* Free pages beyond which they are given back before more rows are deleted: SQLite looks a page at
 * the end of the file up in the whole list of free ones, 3 us for so many and .2 ms for a GB. */
#define FREE_PAGES_MAX 4096
/* At a start free pages are given back where they are more than this part of the file. */
#define FREE_SHARE 8

/* What a row takes in the file, with its share of the indexes and of the blocks, for an estimate;
 * measured with 1,000,000 points and 1,000,000 scalars. */
#define POINT_BYTES  800
#define SCALAR_BYTES 70

/* ---- one run --------------------------------------------------------------------------------- */

/* Hides the run from every query, whether it exists or not. */
int store_run_hide(struct store *store, int64_t run_key, struct err *err)
{
    static const enum store_sql statements[] = {SQL_RUN_DROP, SQL_LEAVING_PUT, SQL_GONE_KEY};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 3; i++) {
        SQL_BIND(store->statement[statements[i]], run_key);
        rc = sql_run(store->statement[statements[i]], err);
    }
    store->leaving.gives_back = true;
    return rc;
}

static int rows_at_once(int statement)
{
    switch (statement) {
    case SQL_LEAVE_SPECTRUM:
    case SQL_LEAVE_REPRESENTATION:
    case SQL_LEAVE_PROBE:
        return LARGE_ROWS_AT_ONCE;
    case SQL_LEAVE_BLOCK_POINT:
    case SQL_LEAVE_BLOCK_SCALAR:
        return 1;
    default:
        return ROWS_AT_ONCE;
    }
}

/* Finds a run that leaves: 1 with one, 0 without. */
static int find_leaving(struct store *store, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_LEAVING_NEXT];
    int rc;

    if (store->leaving.run_key != 0)
        return 1;
    rc = sql_step(statement, err);
    if (rc == 1) {
        store->leaving.run_key = sqlite3_column_int64(statement, 0);
        store->leaving.at = SQL_LEAVE_FIRST;
    }
    sqlite3_reset(statement);
    return rc;
}

/* Deletes some rows of a run that leaves: 1, or 0 where none does. */
static int delete_some(struct store *store, struct err *err)
{
    struct leaving *leaving = &store->leaving;
    sqlite3_stmt *statement;
    int rc = find_leaving(store, err);

    if (rc < 1)
        return rc;
    if (leaving->at == SQL_COUNT) {
        statement = store->statement[SQL_LEAVING_DROP];
        SQL_BIND(statement, leaving->run_key);
        leaving->run_key = 0;
        rc = sql_run(statement, err);
        return rc < 0 ? rc : 1;
    }
    statement = store->statement[leaving->at];
    SQL_BIND(statement, leaving->run_key, rows_at_once(leaving->at));
    rc = sql_run(statement, err);
    leaving->at += rc == 0 && sqlite3_changes(store->db) == 0;
    return rc < 0 ? rc : 1;
}

/* Gives some free pages back, where there are more than so many: 1; or 0, also where the file
 * cannot. */
static int give_back_some(struct store *store, int64_t kept, struct err *err)
{
    int64_t n_free = 0, left = 0;
    int rc;

    if (!store->leaving.gives_back)
        return 0;
    rc = sql_integer(store->db, "PRAGMA freelist_count", &n_free, err);
    if (rc < 0 || n_free <= kept)
        return rc;
    rc = sql_exec(store->db, "PRAGMA incremental_vacuum(" PAGES_AT_ONCE ")", err);
    if (rc == 0)
        rc = sql_integer(store->db, "PRAGMA freelist_count", &left, err);
    if (rc < 0)
        return rc;
    store->leaving.gives_back = left < n_free;
    return store->leaving.gives_back;
}

/* Deletes rows, or gives back what that left free: 1, or 0 where no run leaves. */
static int empty_some(struct store *store, struct err *err)
{
    int rc = give_back_some(store, FREE_PAGES_MAX, err);

    return rc == 0 ? delete_some(store, err) : rc;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* A piece: steps until none is left, or its time is over. */
struct piece {
    int (*step)(struct store *, void *arg, struct err *err);
    void *arg;
};

static int take_steps(struct store *store, void *arg, struct err *err)
{
    const struct piece *piece = arg;
    int64_t began_ms = clock_monotonic_ms();
    int rc;

    do
        rc = piece->step(store, piece->arg, err);
    while (rc == 1 && clock_monotonic_ms() - began_ms < PIECE_MS);
    return rc;
}

/* Children without a parent are what a run that leaves has, so the reference is not enforced in a
 * piece. The pragma has no effect within a transaction. */
static int do_piece(struct store *store, struct piece piece, struct err *err)
{
    struct leaving before = store->leaving;
    int rc;

    if (!store->db)
        return err_set(err, -EIO, "the database is closed: its repair has failed");
    rc = sql_exec(store->db, "PRAGMA foreign_keys = OFF", err);
    if (rc == 0)
        rc = store_transact(store, take_steps, &piece, err);
    if (rc < 0)
        store->leaving = before;
    sql_exec(store->db, "PRAGMA foreign_keys = ON", NULL);
    return rc;
}

static int clear_some(struct store *store, void *arg, struct err *err)
{
    int rc = empty_some(store, err);

    (void)arg;
    return rc == 0 ? give_back_some(store, 0, err) : rc;
}

int store_clear(struct store *store, struct err *err)
{
    return do_piece(store, (struct piece){clear_some, NULL}, err);
}

/* Whether the last process has left rows or pages behind. */
int store_leave_start(struct store *store, struct err *err)
{
    int64_t n_free = 0, n_pages = 0, n_leaving = 0;
    int rc = sql_integer(store->db, "SELECT count(*) FROM leaving", &n_leaving, err);

    if (rc == 0)
        rc = sql_integer(store->db, "PRAGMA freelist_count", &n_free, err);
    if (rc == 0)
        rc = sql_integer(store->db, "PRAGMA page_count", &n_pages, err);
    store->leaving = (struct leaving){
        .gives_back = n_leaving > 0 || n_free > n_pages / FREE_SHARE,
    };
    return rc;
}

/* ---- errands --------------------------------------------------------------------------------- */

void errand_prune(struct errand *errand, double now, int64_t keep_days, int64_t max_bytes)
{
    *errand = (struct errand){
        .kind = ERRAND_PRUNE,
        .updated_before = keep_days < 0 ? (double)NAN : now - DAY_S * (double)keep_days,
        .lost_before = now - LOST_S,
        .max_bytes = max_bytes < 0 ? ERRAND_BYTES_ANY : max_bytes,
    };
}

void errand_release(struct errand *errand)
{
    free(errand->runs);
    errand->runs = NULL;
    errand->n_runs = errand->runs_room = 0;
}

/* Notes the run of the current row: number, id, state, points. */
static int note_run(struct errand *errand, sqlite3_stmt *statement, struct err *err)
{
    struct errand_run *runs = errand->runs;

    if (errand->n_runs == errand->runs_room) {
        errand->runs_room = errand->runs_room ? 2 * errand->runs_room : 8;
        runs = realloc(runs, errand->runs_room * sizeof *runs);
        if (!runs) {
            errand->runs_room = errand->n_runs;
            return err_set(err, -ENOMEM, "out of memory");
        }
        errand->runs = runs;
    }
    runs += errand->n_runs++;
    runs->run_key = sqlite3_column_int64(statement, 0);
    snprintf(runs->id, sizeof runs->id, "%s", sql_column_text(statement, 1));
    runs->n_points = sqlite3_column_int64(statement, 3);
    runs->bytes = 0;
    runs->updated = 0;
    errand->n_points += runs->n_points;
    return sql_row_check(statement, err);
}

static int put_tombstone(struct store *store, const char *id, double time, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_TOMBSTONE_PUT];

    sql_bind_text(statement, 1, id);
    sql_bind_double(statement, 2, time);
    return sql_run(statement, err);
}

static int delete_run(struct store *store, struct errand *errand, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_CHOOSE];
    bool is_open;
    int rc;

    sql_bind_text(statement, 1, errand->run);
    rc = sql_step(statement, err);
    is_open = rc == 1 && sqlite3_column_int(statement, 2) == STATE_OPEN;
    if (rc == 1 && !is_open)
        rc = note_run(errand, statement, err) < 0 ? -ENOMEM : 1;
    sqlite3_reset(statement);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "no run \"%.128s\"", errand->run);
    if (is_open)
        return err_set(err, -EBUSY, "run \"%.128s\" is open: end its training first", errand->run);
    rc = store_run_hide(store, errand->runs[0].run_key, err);
    return rc == 0 ? put_tombstone(store, errand->runs[0].id, errand->time, err) : rc;
}

static int read_bytes(struct store *store, int64_t *all, int64_t *used, struct err *err)
{
    int64_t n_pages = 0, n_free = 0, page = 0;
    int rc = sql_integer(store->db, "PRAGMA page_count", &n_pages, err);

    if (rc == 0)
        rc = sql_integer(store->db, "PRAGMA freelist_count", &n_free, err);
    if (rc == 0)
        rc = sql_integer(store->db, "PRAGMA page_size", &page, err);
    *all = n_pages * page;
    *used = (n_pages - n_free) * page;
    return rc;
}

/* Of the run that was noted last. */
static int estimate(struct store *store, struct errand *errand, struct err *err)
{
    struct errand_run *run = &errand->runs[errand->n_runs - 1];
    sqlite3_stmt *statement = store->statement[SQL_RUN_SIZE];
    int rc;

    SQL_BIND(statement, run->run_key, POINT_BYTES, SCALAR_BYTES);
    rc = sql_step(statement, err);
    if (rc == 1)
        run->bytes = sqlite3_column_int64(statement, 0);
    errand->bytes_estimated -= run->bytes;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

/* The next run goes, or would: 1; or 0 where none has to. */
static int take_oldest(struct store *store, struct errand *errand, int64_t used, struct err *err)
{
    sqlite3_stmt *statement = store->statement[SQL_RUN_OLDEST];
    int64_t run_key;
    double updated;
    int rc;

    sql_bind_double(statement, 1, errand->at_updated);
    sqlite3_bind_int64(statement, 2, errand->at_key);
    sql_bind_double(statement, 3, errand->lost_before);
    rc = sql_step(statement, err);
    updated = rc == 1 ? sqlite3_column_double(statement, 4) : 0;
    if (rc == 1 && !(updated < errand->updated_before) && used <= errand->max_bytes)
        rc = 0;
    if (rc == 1 && note_run(errand, statement, err) < 0)
        rc = -ENOMEM;
    run_key = rc == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    if (rc < 1)
        return rc;
    errand->at_updated = updated;
    errand->at_key = run_key;
    errand->runs[errand->n_runs - 1].updated = updated;
    rc = errand->is_dry ? estimate(store, errand, err) : store_run_hide(store, run_key, err);
    return rc < 0 ? rc : 1;
}

static int begin_prune(struct store *store, struct errand *errand, struct err *err)
{
    errand->has_begun = true;
    errand->at_updated = -HUGE_VAL;
    return read_bytes(store, &errand->bytes_before, &errand->bytes_estimated, err);
}

/* A run is chosen when the one before is gone: then the file says how much is left. */
static int prune_some(struct store *store, struct errand *errand, struct err *err)
{
    int64_t all, used;
    int rc = errand->has_begun ? 0 : begin_prune(store, errand, err);

    if (rc == 0 && !errand->is_dry)
        rc = empty_some(store, err);
    if (rc != 0)
        return rc;
    rc = read_bytes(store, &all, &used, err);
    if (rc < 0)
        return rc;
    rc = take_oldest(store, errand, errand->is_dry ? errand->bytes_estimated : used, err);
    if (rc == 0 && !errand->is_dry)
        rc = give_back_some(store, 0, err);
    if (rc == 0)
        rc = read_bytes(store, &all, &used, err);
    errand->bytes_after = errand->is_dry ? errand->bytes_estimated : all;
    return rc;
}

static int errand_some(struct store *store, void *arg, struct err *err)
{
    struct errand *errand = arg;

    return errand->kind == ERRAND_DELETE ? delete_run(store, errand, err)
                                         : prune_some(store, errand, err);
}

int store_errand(struct store *store, struct errand *errand, struct err *err)
{
    const struct errand before = *errand;
    int rc = do_piece(store, (struct piece){errand_some, errand}, err);

    if (rc >= 0)
        return rc;
    errand->n_runs = before.n_runs;
    errand->n_points = before.n_points;
    errand->has_begun = before.has_begun;
    errand->at_updated = before.at_updated;
    errand->at_key = before.at_key;
    errand->bytes_estimated = before.bytes_estimated;
    return rc;
}
