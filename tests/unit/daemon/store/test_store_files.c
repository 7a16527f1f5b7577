/* Each call of ours that opens, reads, renames, links, removes or syncs a file is failed once, by
 * countdown, while a history is opened, found damaged, repaired, set aside and copied. Each time: a
 * sentence, or a way on without harm; and at the next start all is there that was there before. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/aside.h"
#include "daemon/store/backup.h"
#include "daemon/store/repair.h"
#include "daemon/store/store.h"
#include "tests/lib/records.h"

/* Nothing below makes as many. */
#define CALLS_MAX 200

/* ---- the countdown ------------------------------------------------------------------------- */

static int calls_left; /* 0: none fails */
static bool has_failed;

static bool fails(void)
{
    if (calls_left == 0 || --calls_left > 0)
        return false;
    has_failed = true;
    errno = EIO;
    return true;
}

#define WRAP(type, name, failure, parameters, arguments)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails() ? failure : __real_##name arguments;                                        \
    }

WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(char *, fgets, NULL, (char *line, int size, FILE *file), (line, size, file))
WRAP(ssize_t, read, -1, (int fd, void *to, size_t size), (fd, to, size))
WRAP(int, stat, -1, (const char *path, struct stat *out), (path, out))
WRAP(int, statvfs, -1, (const char *path, struct statvfs *out), (path, out))
WRAP(int, access, -1, (const char *path, int mode), (path, mode))
WRAP(int, link, -1, (const char *from, const char *to), (from, to))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, rename, -1, (const char *from, const char *to), (from, to))
WRAP(int, fsync, -1, (int fd), (fd))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    return fails() ? -1 : __real_open(path, flags, mode);
}

/* What was not written is told when the file is closed, which it is all the same. */
int __wrap_fclose(FILE *file)
{
    int rc = __real_fclose(file);

    return fails() ? EOF : rc;
}

/* ---- a history ----------------------------------------------------------------------------- */

struct fixture {
    char *directory;
    char path[256];
};

/* In memory: nothing here outlives the process, and a hundred histories are synced. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->directory = strdup("/dev/shm/richd-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    setenv("D", f->directory, 1);
    *state = f;
    return 0;
}

/* $D is the directory. */
static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    run("rm -rf $D.kept");
    scratch_free(f->directory);
    free(f);
    return 0;
}

/* One checkpoint, as number and step `seq` of the run that it opens. Returns store_apply's. */
static int add_point(struct store *store, uint64_t seq)
{
    struct record *open = record_open("a", "w", seq > 1, RESUME_ALLOW), *mark;
    int rc = apply(store, open);

    if (rc == 0) {
        mark = record_of(open, RECORD_CHECKPOINT, seq, (int64_t)seq);
        record_add_point(mark, "head", 0.5);
        rc = apply(store, mark);
        record_free(mark);
    }
    record_free(open);
    return rc;
}

static void make_history(const char *path, uint64_t n_points)
{
    struct store *store;

    assert_int_equal(store_open(path, &store, NULL), 0);
    for (uint64_t seq = 1; seq <= n_points; seq++)
        assert_int_equal(add_point(store, seq), 0);
    store_close(store);
}

static void copy_file(const char *from, const char *to)
{
    char command[700];

    snprintf(command, sizeof command, "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

static int64_t ask(const char *path, const char *question)
{
    sqlite3_stmt *statement;
    sqlite3 *db;
    int64_t n;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, question, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    n = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return n;
}

static int64_t count_points(const char *path)
{
    return ask(path, "SELECT count(*) FROM point NOT INDEXED");
}

/* The page of an index or an empty table, so that a repair loses no row. */
static void damage(const char *path, const char *type, const char *table)
{
    char noise[4096];
    sqlite3_stmt *statement;
    sqlite3 *db;
    long page;
    FILE *file;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT rootpage FROM sqlite_schema"
                                        " WHERE type = ?1 AND tbl_name = ?2",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(statement, 1, type, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, table, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    page = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    memset(noise, 0x5a, sizeof noise);
    file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (page - 1) * (long)sizeof noise, SEEK_SET);
    assert_int_equal(fwrite(noise, sizeof noise, 1, file), 1);
    fclose(file);
}

/* At the next start, `n` points are there. */
static void expect_points(const char *path, int64_t n)
{
    struct store *store;
    struct err e = {0};

    if (store_open(path, &store, &e) < 0)
        fail_msg("%s", e.text);
    store_close(store);
    assert_int_equal(count_points(path), n);
}

/* ---- what is done under fire --------------------------------------------------------------- */

/* Begins from `prepare`, and lets the n-th call of `act` fail, for each n that it makes. */
static void fail_each(struct fixture *f, void (*prepare)(const struct fixture *),
                      int (*act)(const struct fixture *, struct err *),
                      void (*check)(const struct fixture *, int rc), int n_least)
{
    int n = 0;

    prepare(f);
    run("mkdir $D.kept && cp $D/* $D.kept");
    do {
        struct err e = {0};
        int rc;

        run("rm -f $D/* && cp $D.kept/* $D");
        has_failed = false;
        calls_left = ++n;
        rc = act(f, &e);
        calls_left = 0;
        assert_true(rc == 0 || (has_failed && e.text[0]));
        check(f, rc);
        assert_true(n < CALLS_MAX);
    } while (has_failed);
    print_message("%d calls failed\n", n - 1);
    assert_true(n > n_least);
}

static int open_and_close(const struct fixture *f, struct err *e)
{
    struct store *store;
    int rc = store_open(f->path, &store, e);

    if (rc == 0)
        store_close(store);
    return rc;
}

static void three_points_are_there(const struct fixture *f, int rc)
{
    (void)rc;
    expect_points(f->path, 3);
}

static void make_closed(const struct fixture *f)
{
    make_history(f->path, 3);
}

static void a_history_that_was_closed_opens(void **state)
{
    fail_each(*state, make_closed, open_and_close, three_points_are_there, 10);
}

/* What kill -9 leaves. */
static void make_killed(const struct fixture *f)
{
    const char *whole = scratch_path(f->directory, "whole.db");
    char from[300], to[300], other[256];
    struct store *store;

    snprintf(other, sizeof other, "%s", whole);
    assert_int_equal(store_open(other, &store, NULL), 0);
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_int_equal(add_point(store, seq), 0);
    copy_file(other, f->path);
    snprintf(from, sizeof from, "%s-wal", other);
    snprintf(to, sizeof to, "%s-wal", f->path);
    copy_file(from, to);
    store_close(store);
}

static void a_history_that_was_killed_opens(void **state)
{
    fail_each(*state, make_killed, open_and_close, three_points_are_there, 10);
}

/* A backup was put into the place of a history, and the WAL of that is still there. */
static void make_foreign_wal(const struct fixture *f)
{
    char other[256], backup[256];

    make_killed(f);
    snprintf(other, sizeof other, "%s", scratch_path(f->directory, "other.db"));
    snprintf(backup, sizeof backup, "%s", scratch_path(f->directory, "backup.db"));
    make_history(other, 2);
    assert_int_equal(store_backup(other, backup, NULL), 0);
    copy_file(backup, f->path);
}

static void two_points_and_the_wal_are_there(const struct fixture *f, int rc)
{
    char kept[300];

    (void)rc;
    expect_points(f->path, 2);
    snprintf(kept, sizeof kept, "%s-wal.other-1", f->path);
    assert_int_equal(access(kept, F_OK), 0);
}

static void the_wal_of_another_file_is_put_away(void **state)
{
    fail_each(*state, make_foreign_wal, open_and_close, two_points_and_the_wal_are_there, 10);
}

/* ---- damage -------------------------------------------------------------------------------- */

static void make_damaged(const struct fixture *f)
{
    make_history(f->path, 3);
    damage(f->path, "index", "point");
}

static void a_damaged_history_is_repaired_at_the_start(void **state)
{
    fail_each(*state, make_damaged, open_and_close, three_points_are_there, 20);
}

/* A crash came when the repaired file had its name. */
static void make_nearly_repaired(const struct fixture *f)
{
    char ready[300];

    make_killed(f);
    snprintf(ready, sizeof ready, "%s.repaired", f->path);
    rename(scratch_path(f->directory, "whole.db"), ready);
    damage(f->path, "index", "point");
}

static void a_repair_that_had_ended_counts(void **state)
{
    fail_each(*state, make_nearly_repaired, open_and_close, three_points_are_there, 10);
}

static int64_t n_acknowledged;

/* A repair beside the work, after which the trainer goes on where the store lets it. */
static int repair_and_go_on(const struct fixture *f, struct err *e)
{
    struct store *store;
    int left = calls_left, rc;

    calls_left = 0;
    assert_int_equal(store_open(f->path, &store, NULL), 0);
    damage(f->path, "table", "probe"); /* the trainer has none, and does not meet it */
    calls_left = left;
    rc = store_repair(store, e);
    calls_left = 0;
    n_acknowledged = add_point(store, 4) == 0 ? 4 : 3;
    store_close(store);
    return rc;
}

static void what_was_acknowledged_is_there(const struct fixture *f, int rc)
{
    if (rc == 0)
        assert_int_equal(n_acknowledged, 4);
    expect_points(f->path, n_acknowledged);
}

static void a_repair_beside_the_work_loses_nothing(void **state)
{
    fail_each(*state, make_closed, repair_and_go_on, what_was_acknowledged_is_there, 10);
}

/* ---- other names ----------------------------------------------------------------------------- */

static char aside[300];

static int set_aside(const struct fixture *f, struct err *e)
{
    return store_set_aside(f->path, aside, sizeof aside, e);
}

/* Both ways nothing is lost; and only a free name is said to be one. */
static void it_has_one_of_its_names(const struct fixture *f, int rc)
{
    char wal[300];

    if (rc < 0) {
        expect_points(access(f->path, F_OK) == 0 ? f->path : aside, 3);
        return;
    }
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_int_equal(access(wal, F_OK), -1);
    expect_points(aside, 3);
}

static void a_history_is_set_aside_whole(void **state)
{
    fail_each(*state, make_killed, set_aside, it_has_one_of_its_names, 6);
}

static const char *backup_path(const struct fixture *f)
{
    return scratch_path(f->directory, "backup.db");
}

static int back_up(const struct fixture *f, struct err *e)
{
    return store_backup(f->path, backup_path(f), e);
}

/* A name stands for a whole backup. */
static void the_backup_is_whole_or_not_there(const struct fixture *f, int rc)
{
    if (rc < 0)
        assert_int_equal(access(backup_path(f), F_OK), -1);
    else
        assert_int_equal(count_points(backup_path(f)), 3);
    expect_points(f->path, 3);
}

static void a_backup_is_whole_or_not_there(void **state)
{
    fail_each(*state, make_killed, back_up, the_backup_is_whole_or_not_there, 6);
}

/* As a program made it that did not delete runs. */
static void make_old_history(const char *path)
{
    sqlite3 *db;

    make_history(path, 3);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE;"
                                  " VACUUM; PRAGMA journal_mode = WAL",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(ask(path, "PRAGMA auto_vacuum"), 0);
}

static void the_copy_of_an_old_history_can_shrink(void **state)
{
    const int64_t incremental = 2;
    const struct fixture *f = *state;
    char again[256];

    make_old_history(f->path);
    assert_int_equal(store_backup(f->path, backup_path(f), NULL), 0);
    assert_int_equal(ask(backup_path(f), "PRAGMA auto_vacuum"), incremental);
    snprintf(again, sizeof again, "%s", scratch_path(f->directory, "again.db"));
    assert_int_equal(store_backup(backup_path(f), again, NULL), 0);
    assert_int_equal(ask(again, "PRAGMA auto_vacuum"), incremental);
    assert_int_equal(count_points(again), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_history_that_was_closed_opens),
        TEST(a_history_that_was_killed_opens),
        TEST(the_wal_of_another_file_is_put_away),
        TEST(a_damaged_history_is_repaired_at_the_start),
        TEST(a_repair_that_had_ended_counts),
        TEST(a_repair_beside_the_work_loses_nothing),
        TEST(a_history_is_set_aside_whole),
        TEST(a_backup_is_whole_or_not_there),
        TEST(the_copy_of_an_old_history_can_shrink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
