/* Allocations of SQLite and cJSON, and every write, sync and truncation of a file, are failed one
 * by one, by countdown, over opening, storing and asking. Each time: an error and not a crash, all
 * of a transaction or none of it, a store that goes on, and a sound file. */
#include "daemon/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/history.h"
#include "daemon/store/errand.h"
#include "tests/lib/answers.h"
#include "tests/lib/records.h"

/* No loop below needs as many; one that does has no end. */
#define COUNTDOWN_MAX 200000
/* Opening allocates 15,000 times and asking 8,000, nearly all of it in SQLite's parser: every
 * 67th is failed here. FAULT_STRIDE=1 fails every single one, in some minutes; beyond 100, in the
 * short form of `make test`, only a part of what is few fails, too. */
#define STRIDE 67

static long stride(void)
{
    const char *wanted = getenv("FAULT_STRIDE");

    return wanted ? strtol(wanted, NULL, 10) : STRIDE;
}

static long stride_of_few(void)
{
    return 1 + stride() / 100;
}

static long stride_of_calls(void)
{
    return 1 + stride() / 250;
}

/* ---- the countdown ------------------------------------------------------------------------- */

static long allocations_left = -1; /* below 0: none fails */
static long calls_left = -1;       /* writes, truncations and syncs */
static long opens_left = -1;
static long reads_left = -1;
static int call_code;
static bool fired;

static bool count_down(long *left)
{
    if (*left < 0 || (*left)-- > 0)
        return false;
    fired = true;
    return true;
}

static sqlite3_mem_methods real_memory;

static void *fault_sqlite_malloc(int size)
{
    return count_down(&allocations_left) ? NULL : real_memory.xMalloc(size);
}

static void *fault_sqlite_realloc(void *memory, int size)
{
    return count_down(&allocations_left) ? NULL : real_memory.xRealloc(memory, size);
}

static void *fault_malloc(size_t size)
{
    return count_down(&allocations_left) ? NULL : malloc(size);
}

/* ---- a file system that fails -------------------------------------------------------------- */

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs fault_vfs;

#define REAL(file) (((struct fault_file *)(file))->real)

static int fault_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}

static int fault_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    if (count_down(&reads_left))
        return SQLITE_IOERR_READ;
    return REAL(f)->pMethods->xRead(REAL(f), to, n, at);
}

static int fault_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    if (count_down(&calls_left))
        return call_code ? call_code : SQLITE_IOERR_WRITE;
    return REAL(f)->pMethods->xWrite(REAL(f), from, n, at);
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (count_down(&calls_left))
        return call_code ? call_code : SQLITE_IOERR_TRUNCATE;
    return REAL(f)->pMethods->xTruncate(REAL(f), size);
}

static int fault_sync(sqlite3_file *f, int flags)
{
    if (count_down(&calls_left))
        return call_code ? call_code : SQLITE_IOERR_FSYNC;
    (void)f;
    (void)flags;
    return SQLITE_OK; /* nothing here outlives the process, and thousands of syncs take minutes */
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int fault_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int fault_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int fault_check_lock(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int fault_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int fault_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int fault_character(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int fault_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int fault_shm_unmap(sqlite3_file *f, int delete)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), delete);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_character,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out)
{
    struct fault_file *file = (struct fault_file *)f;
    int rc;

    (void)vfs;
    f->pMethods = NULL;
    if (count_down(&opens_left))
        return SQLITE_CANTOPEN;
    file->real = (sqlite3_file *)(file + 1);
    rc = real_vfs->xOpen(real_vfs, path, file->real, flags, out);
    f->pMethods = file->real->pMethods ? &fault_methods : NULL;
    return rc;
}

static int set_up_faults(void **state)
{
    sqlite3_mem_methods memory;

    (void)state;
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* it would hide allocations */
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    memory = real_memory;
    memory.xMalloc = fault_sqlite_malloc;
    memory.xRealloc = fault_sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    real_vfs = sqlite3_vfs_find(NULL);
    fault_vfs = *real_vfs;
    fault_vfs.zName = "fault";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault_vfs.xOpen = fault_open;
    return sqlite3_vfs_register(&fault_vfs, 1);
}

/* ---- what is done under fire --------------------------------------------------------------- */

/* One transaction: a new run of two ranks, with a checkpoint of two layers by both and a log of
 * one, a refused record, and the second rank opening once more. */
enum { OPEN, JOIN, CHECKPOINT, LOG, REFUSED, AGAIN, N_RECORDS };

struct transaction {
    struct record *records[N_RECORDS];
};

static struct record *open_as(uint32_t rank, const char *writer)
{
    struct record *open = record_open("a", writer, 0, RESUME_ALLOW);

    open->open.launch = strdup("L");
    open->open.rank = rank;
    open->open.world = 2;
    return open;
}

/* Ranks from `first` on have sent it, each as number `seq`. */
static void send_by(struct record *record, uint32_t first, size_t n, uint64_t seq)
{
    record->senders = calloc(n, sizeof *record->senders);
    record->n_senders = n;
    for (size_t i = 0; i < n; i++)
        record->senders[i] = (struct record_sender){.rank = first + (uint32_t)i, .seq = seq};
}

static void add_totals(struct record *record)
{
    record->totals = calloc(2, sizeof *record->totals);
    record->n_totals = 2;
    for (uint32_t rank = 0; rank < 2; rank++)
        record->totals[rank] =
            (struct record_total){.rank = rank, .batch_seq = 1, .rows_offered = 8};
}

static void transaction_init(struct transaction *t)
{
    struct record *open = open_as(0, "w0");

    open->opened.run_key = 1; /* the core knows it only later; here the first run has it */
    open->opened.attempt = 1;
    t->records[OPEN] = open;
    t->records[CHECKPOINT] = record_of(open, RECORD_CHECKPOINT, 1, 10);
    record_add_spectrum(record_add_point(t->records[CHECKPOINT], "head", 0.5));
    if (representation_alloc(&t->records[CHECKPOINT]->points[0].representation, 5) < 0)
        abort();
    record_add_finding(t->records[CHECKPOINT],
                       record_add_point(t->records[CHECKPOINT], "body", 0.25), METRIC_D_LR, 2, 6);
    send_by(t->records[CHECKPOINT], 0, 2, 1);
    add_totals(t->records[CHECKPOINT]);
    t->records[LOG] = record_of(open, RECORD_LOG, 2, 10);
    record_add_scalar(t->records[LOG], "loss", 0.5);
    send_by(t->records[LOG], 0, 1, 2);
    t->records[REFUSED] = record_open("b", "w", 0, RESUME_MUST);
    t->records[JOIN] = record_of(open, RECORD_JOIN, 0, 0);
    t->records[JOIN]->open.writer = strdup("w1");
    send_by(t->records[JOIN], 1, 1, 0);
    t->records[AGAIN] = open_as(1, "w1");
}

static void transaction_release(struct transaction *t)
{
    for (int i = 0; i < N_RECORDS; i++)
        record_free(t->records[i]);
}

static void expect_stored(struct store *store, struct transaction *t)
{
    assert_int_equal(t->records[OPEN]->rc, 0);
    assert_int_equal(t->records[CHECKPOINT]->rc, 0);
    assert_int_equal(t->records[LOG]->rc, 0);
    assert_int_equal(t->records[REFUSED]->rc, -ENOENT);
    assert_int_equal(t->records[JOIN]->rc, 0);
    assert_int_equal(t->records[AGAIN]->rc, 0);
    assert_int_equal(t->records[AGAIN]->opened.n_members, 2);
    assert_int_equal(t->records[AGAIN]->opened.n_totals, 2);
    assert_int_equal(t->records[OPEN]->opened.run_key, 1);
    assert_int_equal(t->records[CHECKPOINT]->points[1].feed_seq, 2);
    assert_int_equal(t->records[CHECKPOINT]->points[1].findings[0].feed_seq, 3);
    assert_int_equal(t->records[LOG]->scalar_feed_seqs[0], 4);
    assert_int_equal(store_feed_seq(store), 4);
}

static void expect_failed(struct store *store, struct transaction *t, int rc)
{
    assert_true(rc == -ENOMEM || rc == -ENOSPC || rc == -EIO);
    for (int i = 0; i < N_RECORDS; i++) {
        assert_int_equal(t->records[i]->rc, rc);
        assert_true(t->records[i]->error[0] != '\0');
        assert_null(t->records[i]->opened.layers);
        assert_null(t->records[i]->opened.members);
        assert_null(t->records[i]->opened.totals);
    }
    assert_int_equal(store_feed_seq(store), 0);
}

static double read_sql(const char *path, const char *sql)
{
    sqlite3_stmt *q;
    sqlite3 *db;
    double value;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    value = sqlite3_column_double(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return value;
}

/* The file after all is closed: sound, and with the transaction exactly once. */
static void expect_sound(const char *path)
{
    assert_int_equal(read_sql(path, "SELECT count(*) FROM pragma_integrity_check WHERE"
                                    " integrity_check <> 'ok'"),
                     0);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM run"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM attempt"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM member"), 2);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM member_total"), 2);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM point"), 2);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM spectrum"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM scalar"), 1);
    assert_int_equal(read_sql(path, "SELECT feed_seq FROM state"), 4);
}

static void arm(long allocations, long calls, int code)
{
    fired = false;
    allocations_left = allocations;
    calls_left = calls;
    call_code = code;
}

static void disarm(void)
{
    allocations_left = -1;
    calls_left = -1;
}

/* Opens under fire, then without; stores and checks. True when nothing was left to fail. */
static bool try_open(long allocations, long calls, int code)
{
    char *directory = scratch_new(), path[256];
    struct store *store = NULL;
    struct transaction t;
    struct err e = {0};
    int rc;

    snprintf(path, sizeof path, "%s", scratch_path(directory, "history.db"));
    arm(allocations, calls, code);
    rc = store_open(path, &store, &e);
    disarm();
    if (rc < 0) {
        assert_true(fired);
        assert_null(store);
        assert_non_null(strstr(e.text, allocations < 0 ? "history.db" : "memory"));
        assert_int_equal(store_open(path, &store, &e), 0);
    }
    transaction_init(&t);
    assert_int_equal(apply_many(store, t.records, N_RECORDS), 0);
    expect_stored(store, &t);
    transaction_release(&t);
    store_close(store);
    expect_sound(path);
    scratch_free(directory);
    return !fired;
}

/* Stores under fire, and again without. */
static bool try_apply(long allocations, long calls, int code)
{
    char *directory = scratch_new(), path[256];
    struct store *store;
    struct transaction t;
    bool is_there = false;
    int rc;

    snprintf(path, sizeof path, "%s", scratch_path(directory, "history.db"));
    assert_int_equal(store_open(path, &store, NULL), 0);
    transaction_init(&t);
    arm(allocations, calls, code);
    rc = apply_many(store, t.records, N_RECORDS);
    disarm();
    if (rc < 0) {
        assert_true(fired);
        expect_failed(store, &t, rc);
        if (code == SQLITE_FULL)
            assert_int_equal(rc, -ENOSPC);
        if (rc == -EIO) { /* it may not be tried again, only begun again */
            assert_int_equal(apply_many(store, t.records, N_RECORDS), -EIO);
            store_close(store);
            assert_int_equal(store_open(path, &store, NULL), 0);
            is_there = store_feed_seq(store) != 0; /* written, and not acknowledged */
        }
        assert_int_equal(apply_many(store, t.records, N_RECORDS), 0);
    }
    if (!is_there) /* else they came twice, and have shorter answers */
        expect_stored(store, &t);
    transaction_release(&t);
    store_close(store);
    expect_sound(path);
    scratch_free(directory);
    return !fired;
}

typedef bool attempt(long allocations, long calls, int code);

static void fail_allocations(attempt *try, long stride)
{
    long n = 0;

    while (!try(n, -1, 0))
        assert_true((n += stride) < COUNTDOWN_MAX);
    print_message("%ld allocations failed\n", n);
    assert_true(n > 10);
}

static void fail_calls(attempt *try, int code)
{
    long n = 0;

    while (!try(-1, n, code))
        assert_true((n += stride_of_calls()) < COUNTDOWN_MAX);
    print_message("%ld calls failed\n", n);
    assert_true(n > 5);
}

static void no_memory_while_opening_is_an_error(void **state)
{
    (void)state;
    fail_allocations(try_open, stride());
}

static void no_memory_while_storing_fails_all_and_heals(void **state)
{
    (void)state;
    fail_allocations(try_apply, stride_of_few());
}

static void a_full_disk_at_any_write_heals(void **state)
{
    (void)state;
    fail_calls(try_open, SQLITE_FULL);
    fail_calls(try_apply, SQLITE_FULL);
}

static void a_disk_error_at_any_write_or_sync_is_told(void **state)
{
    (void)state;
    fail_calls(try_open, 0);
    fail_calls(try_apply, 0);
}

/* ---- leaving under fire ---------------------------------------------------------------------- */

/* A run that has ended, and one that has not. */
static void store_two_runs(const char *path, struct store **store)
{
    struct record *ended = record_open("ended", "w", 0, RESUME_ALLOW), *record;
    struct record *open = record_open("open", "w", 0, RESUME_ALLOW);

    assert_int_equal(store_open(path, store, NULL), 0);
    assert_int_equal(apply(*store, ended), 0);
    assert_int_equal(apply(*store, open), 0);
    record = record_of(ended, RECORD_CHECKPOINT, 1, 10);
    record_add_spectrum(record_add_point(record, "head", 0.5));
    assert_int_equal(apply(*store, record), 0);
    record_free(record);
    record = record_of(ended, RECORD_CLOSE, 2, 0);
    assert_int_equal(apply(*store, record), 0);
    record_free(record);
    record = record_of(open, RECORD_CHECKPOINT, 1, 10);
    record_add_point(record, "head", 0.5);
    assert_int_equal(apply(*store, record), 0);
    record_free(record);
    record_free(ended);
    record_free(open);
}

/* Carries the errand out, and clears, as often as it fails by what `arm` has set. */
static int leave(struct store *store, enum errand_kind kind)
{
    struct errand errand = {
        .kind = kind, .run = "ended", .updated_before = 1e15, .max_bytes = ERRAND_BYTES_ANY};
    int rc;

    while ((rc = store_errand(store, &errand, NULL)) == 1)
        continue;
    if (rc == 0) {
        assert_int_equal(errand.n_runs, 1);
        while ((rc = store_clear(store, NULL)) == 1)
            continue;
    }
    errand_release(&errand);
    return rc;
}

static void expect_left(const char *path)
{
    assert_int_equal(read_sql(path, "SELECT count(*) FROM pragma_integrity_check WHERE"
                                    " integrity_check <> 'ok'"),
                     0);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM run WHERE id = 'open'"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM run"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM layer"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM point"), 1);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM spectrum"), 0);
    assert_int_equal(read_sql(path, "SELECT count(*) FROM leaving"), 0);
}

/* In each failure the run is there as a whole, or is gone. */
static bool try_leave(enum errand_kind kind, long allocations, long calls, int code)
{
    char *directory = scratch_new(), path[256];
    struct store *store;
    int rc;

    snprintf(path, sizeof path, "%s", scratch_path(directory, "history.db"));
    store_two_runs(path, &store);
    arm(allocations, calls, code);
    rc = leave(store, kind);
    disarm();
    assert_true(rc == 0 || (fired && (rc == -ENOMEM || rc == -ENOSPC || rc == -EIO)));
    if (rc == -EIO) {
        store_close(store);
        assert_int_equal(store_open(path, &store, NULL), 0);
    }
    if (rc < 0) {
        double n_runs = read_sql(path, "SELECT count(*) FROM run WHERE id = 'ended'");

        assert_true(n_runs == 0 || read_sql(path, "SELECT count(*) FROM point") == 2);
        assert_true(n_runs == 0 || read_sql(path, "SELECT count(*) FROM spectrum") == 1);
        if (n_runs == 1)
            assert_int_equal(leave(store, ERRAND_DELETE), 0); /* none is open after a start */
        while ((rc = store_clear(store, NULL)) == 1)
            continue;
        assert_int_equal(rc, 0);
    }
    store_close(store);
    expect_left(path);
    scratch_free(directory);
    return !fired;
}

static bool try_delete(long allocations, long calls, int code)
{
    return try_leave(ERRAND_DELETE, allocations, calls, code);
}

static bool try_prune(long allocations, long calls, int code)
{
    return try_leave(ERRAND_PRUNE, allocations, calls, code);
}

static void a_run_leaves_as_a_whole_whatever_fails(void **state)
{
    (void)state;
    fail_allocations(try_delete, stride());
    fail_calls(try_delete, SQLITE_FULL);
    fail_calls(try_delete, 0);
    fail_allocations(try_prune, stride());
    fail_calls(try_prune, SQLITE_FULL);
    fail_calls(try_prune, 0);
}

/* ---- beginning again under fire ---------------------------------------------------------------
 */

static void copy_file(const char *from, const char *to, const char *suffix)
{
    char names[2][300], buffer[65536];
    FILE *in, *out;
    size_t n;

    snprintf(names[0], sizeof names[0], "%s%s", from, suffix);
    snprintf(names[1], sizeof names[1], "%s%s", to, suffix);
    in = fopen(names[0], "rb");
    out = fopen(names[1], "wb");
    assert_true(in && out);
    while ((n = fread(buffer, 1, sizeof buffer, in)) > 0)
        assert_int_equal(fwrite(buffer, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* What kill -9 leaves: a WAL with the transaction. */
static void leave_behind(const char *path, const char *whole)
{
    struct transaction t;
    struct store *store;

    assert_int_equal(store_open(whole, &store, NULL), 0);
    transaction_init(&t);
    assert_int_equal(apply_many(store, t.records, N_RECORDS), 0);
    transaction_release(&t);
    copy_file(whole, path, "");
    copy_file(whole, path, "-wal");
    store_close(store);
}

/* The `n`-th call of the kind that `left` counts fails while the store recovers. */
static bool try_recovery(long *left, long n)
{
    char *directory = scratch_new(), path[256], whole[256];
    struct store *store = NULL;
    int rc;

    snprintf(path, sizeof path, "%s", scratch_path(directory, "history.db"));
    snprintf(whole, sizeof whole, "%s", scratch_path(directory, "whole.db"));
    leave_behind(path, whole);
    fired = false;
    call_code = 0;
    *left = n;
    rc = store_open(path, &store, NULL);
    *left = -1;
    if (rc < 0) {
        assert_true(fired);
        assert_int_equal(store_open(path, &store, NULL), 0);
    }
    assert_int_equal(store_feed_seq(store), 4);
    store_close(store);
    expect_sound(path);
    scratch_free(directory);
    return !fired;
}

static void fail_recovery(const char *what, long *left, long stride)
{
    long n = 0;

    for (; !try_recovery(left, n); n += stride)
        assert_true(n < COUNTDOWN_MAX);
    print_message("%ld %s failed\n", n, what);
    assert_true(n > 1);
}

static void any_call_may_fail_while_a_store_recovers(void **state)
{
    (void)state;
    fail_recovery("opens", &opens_left, 1);
    fail_recovery("reads", &reads_left, stride_of_calls());
    fail_recovery("writes and syncs", &calls_left, 1);
    fail_recovery("allocations", &allocations_left, stride());
}

/* ---- asking under fire --------------------------------------------------------------------- */

static const char *db_path;

static int ask_all(void)
{
    struct feed_series_query series = {.run = "a", .range = {.to = INT64_MAX, .points = 4}};
    struct feed_scalars_query scalars = {.run = "a", .range = {.to = INT64_MAX, .points = 100}};
    struct feed_event_query events = {.run = "a", .to = INT64_MAX};
    struct feed_spectrum_query spectrum = {.run = "a", .layer = "head", .step = 10};
    struct feed_representation_map map = {.run = "a", .to = INT64_MAX, .step = -1};
    struct history_page page;
    struct history *history;
    cJSON *out;
    int rc;

    rc = history_open(db_path, &history, NULL);
    if (rc < 0)
        return rc;
    rc = history_run_get(history, &(struct feed_run){"a"}, &out, NULL);
    cJSON_Delete(out);
    if (rc == 0) {
        rc = asked_run_list(history, &(struct feed_run_list){.limit = 10}, &out, NULL);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = asked_layer_list(history, &(struct feed_run){"a"}, &out, NULL);
        cJSON_Delete(out);
    }
    for (int points = 4; rc == 0 && points <= 100; points += 96) {
        series.range.points = points;
        rc = asked_series(history, &series, &out, NULL);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = asked_scalars(history, &scalars, &out, NULL);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = asked_latest(history, CHANGE_SERIES, 0, &page, NULL);
        history_page_release(&page);
    }
    if (rc == 0) {
        rc = history_changes(history, CHANGE_SERIES, 0, 0, 1000, &page, NULL);
        assert_true(rc < 0 || page.n_items == 11);
        history_page_release(&page);
    }
    if (rc == 0) {
        rc = history_spectrum(history, &spectrum, &out, NULL);
        assert_true(rc < 0 || cJSON_GetArraySize(cJSON_GetObjectItem(out, "rho")) == 4);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = history_representation_list(history, &(struct feed_run){"a"}, &out, NULL);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = history_representation_map(history, &map, &out, NULL);
        assert_true(rc < 0 || cJSON_GetArraySize(cJSON_GetObjectItem(out, "cka")) == 1);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = asked_events(history, &events, &out, NULL);
        assert_true(rc < 0 || cJSON_GetArraySize(cJSON_GetObjectItem(out, "events")) == 1);
        cJSON_Delete(out);
    }
    if (rc == 0) {
        rc = asked_latest(history, CHANGE_EVENTS, 0, &page, NULL);
        assert_true(rc < 0 || page.n_items == 1);
        history_page_release(&page);
    }
    if (rc < 0) { /* the connection goes on */
        disarm();
        assert_int_equal(history_run_get(history, &(struct feed_run){"a"}, &out, NULL), 0);
        cJSON_Delete(out);
    }
    history_close(history);
    return rc;
}

static void no_memory_while_asking_is_an_error(void **state)
{
    char *directory = scratch_new();
    struct transaction t;
    struct store *store;
    long n = 0;
    int rc;

    (void)state;
    db_path = scratch_path(directory, "history.db");
    assert_int_equal(store_open(db_path, &store, NULL), 0);
    transaction_init(&t);
    assert_int_equal(apply_many(store, t.records, N_RECORDS), 0);
    for (int i = 0; i < 8; i++) {
        struct record *r = record_of(t.records[OPEN], RECORD_CHECKPOINT, 3 + (uint64_t)i, 20 + i);

        record_add_point(r, "head", i)->point.flags = 0x3f;
        assert_int_equal(apply(store, r), 0);
        record_free(r);
    }
    cJSON_InitHooks(&(cJSON_Hooks){fault_malloc, free});
    do {
        arm(n, -1, 0);
        rc = ask_all();
        disarm();
        assert_true(rc == 0 || (fired && rc == -ENOMEM));
        n += stride();
    } while (fired && n < COUNTDOWN_MAX);
    cJSON_InitHooks(NULL);
    print_message("%ld allocations failed\n", n);
    assert_in_range(n, 100, COUNTDOWN_MAX - 1);
    transaction_release(&t);
    store_close(store);
    scratch_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_while_opening_is_an_error),
        cmocka_unit_test(no_memory_while_storing_fails_all_and_heals),
        cmocka_unit_test(a_full_disk_at_any_write_heals),
        cmocka_unit_test(a_disk_error_at_any_write_or_sync_is_told),
        cmocka_unit_test(a_run_leaves_as_a_whole_whatever_fails),
        cmocka_unit_test(any_call_may_fail_while_a_store_recovers),
        cmocka_unit_test(no_memory_while_asking_is_an_error),
    };

    return cmocka_run_group_tests(tests, set_up_faults, NULL);
}
