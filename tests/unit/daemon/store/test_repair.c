/* A history of which any page is damaged: it opens, what the page did not hold is there, what it
 * did is said to be missing, and the next start has nothing to say. DAMAGE_STRIDE=1 takes each page
 * in the place of every seventh. */
#include "daemon/store/repair.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/core/monitor/record.h"
#include "daemon/history/history.h"
#include "daemon/store/aside.h"
#include "daemon/store/check.h"
#include "daemon/store/store.h"
#include "tests/lib/answers.h"
#include "tests/lib/random.h"
#include "tests/lib/records.h"

#define N_RUNS    3
#define N_STEPS   60
#define PAGE_SIZE 4096
#define N_SCALARS 6000 /* of the long curve */

struct fixture {
    char *directory;
    char whole[256]; /* closed, and never touched again */
    char path[256];  /* its copy, which is damaged */
    size_t n_pages;
};

static const char *const runs[N_RUNS] = {"a", "b", "c"};

/* ---- the whole history ----------------------------------------------------------------------- */

/* A configuration that needs pages of its own. */
static char *long_config(void)
{
    char *text = malloc(20000);

    memset(text, 'x', 20000);
    memcpy(text, "{\"note\":\"", 9);
    memcpy(text + 20000 - 3, "\"}", 3);
    return text;
}

static void add_step(struct store *store, const struct record *open, int64_t step)
{
    struct record *mark = record_of(open, RECORD_CHECKPOINT, 2 * (uint64_t)step + 1, step);
    struct record *log = record_of(open, RECORD_LOG, 2 * (uint64_t)step + 2, step);

    record_add_point(mark, "head", 0.5);
    record_add_point(mark, "body", 0.25);
    if (step % 20 == 0)
        record_add_spectrum(&mark->points[0]);
    if (step == 40)
        record_add_finding(mark, &mark->points[0], METRIC_D_LR, 10, 20);
    record_add_scalar(log, "loss", 1.0 / (double)(step + 1));
    assert_int_equal(apply_many(store, (struct record *[]){mark, log}, 2), 0);
    record_free(mark);
    record_free(log);
}

static void add_view(struct store *store, int i)
{
    char name[32], note[6000];

    snprintf(name, sizeof name, "Figure %d", i);
    memset(note, 'n', sizeof note);
    note[sizeof note - 1] = '\0';
    assert_int_equal(
        store_save_view(store, &(struct view_edit){.name = name, .query = "runs=a", .note = note},
                        NULL),
        0);
}

static void make_history(const char *path)
{
    struct store *store;

    assert_int_equal(store_open(path, &store, NULL), 0);
    for (int i = 0; i < N_RUNS; i++) {
        struct record *open = record_open(runs[i], "w", 0, RESUME_ALLOW);

        open->open.config = long_config();
        assert_int_equal(apply(store, open), 0);
        for (int64_t step = 0; step < N_STEPS; step++)
            add_step(store, open, step);
        record_free(open);
        add_view(store, i);
    }
    store_close(store);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *data;

    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    data = malloc(*size);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void write_file(const char *path, const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void remove_with(const char *path, const char *suffix)
{
    char name[512];

    snprintf(name, sizeof name, "%s%s", path, suffix);
    unlink(name);
}

static void remove_all(const char *path)
{
    static const char *const suffixes[] = {"",     "-wal",       "-shm",           "-journal",
                                           ".seq", ".damaged-1", ".damaged-1-wal", ".damaged-2"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        remove_with(path, suffixes[i]);
}

enum garbage { NOISE, ZEROS, N_GARBAGES };

static void copy_whole(const struct fixture *f)
{
    size_t size;
    char *data = read_file(f->whole, &size);

    write_file(f->path, data, size);
    free(data);
}

static void copy_damaged(const struct fixture *f, size_t page, enum garbage garbage)
{
    struct random random;
    size_t size;
    char *data = read_file(f->whole, &size);

    random_seed(&random, page);
    assert_int_equal(size % PAGE_SIZE, 0);
    for (size_t i = 0; i < PAGE_SIZE; i++)
        data[(page - 1) * PAGE_SIZE + i] = garbage == NOISE ? (char)random_below(&random, 256) : 0;
    remove_all(f->path);
    write_file(f->path, data, size);
    free(data);
}

/* ---- questions ------------------------------------------------------------------------------- */

static sqlite3 *open_both(const struct fixture *f)
{
    char text[400];
    sqlite3 *database;

    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    snprintf(text, sizeof text, "ATTACH '%s' AS whole", f->whole);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    return database;
}

/* What of a table can be compared: nothing says that a long text, which a view's note is, was
 * altered where it goes on in a page of its own. */
static const char *columns_of(const char *table)
{
    return strcmp(table, "saved_view") == 0 ? "view_key, name, query, saved" : "*";
}

/* How many rows of the table one database has and the other has not. */
static int64_t count_more(sqlite3 *database, const char *in, const char *without, const char *table)
{
    const char *columns = columns_of(table);
    char text[400];
    sqlite3_stmt *statement;
    int64_t answer;

    snprintf(text, sizeof text,
             "SELECT count(*) FROM (SELECT %s FROM %s.%s EXCEPT SELECT %s FROM %s.%s)", columns, in,
             table, columns, without, table);
    if (sqlite3_prepare_v2(database, text, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(database));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return answer;
}

/* What the page holds, of the whole history: a table or index, and how many rows. */
static void describe_page(const struct fixture *f, size_t page, char *name, size_t size,
                          int64_t *n_cells)
{
    sqlite3_stmt *statement;
    sqlite3 *database;

    name[0] = '\0';
    *n_cells = 0;
    assert_int_equal(sqlite3_open(f->whole, &database), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(database, "SELECT name, ncell, pagetype FROM dbstat WHERE pageno = ?1",
                           -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)page);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        snprintf(name, size, "%s", (const char *)sqlite3_column_text(statement, 0));
        *n_cells = strcmp((const char *)sqlite3_column_text(statement, 2), "leaf") == 0
                       ? sqlite3_column_int64(statement, 1)
                       : INT64_MAX;
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
}

/* Every list is an answer. */
static void expect_lists(const struct fixture *f)
{
    struct history *history;
    struct err e = {0};
    cJSON *out, *run;

    assert_int_equal(history_open(f->path, &history, &e), 0);
    if (asked_run_list(history, &(struct feed_run_list){.limit = 100}, &out, &e) < 0)
        fail_msg("%s", e.text);
    cJSON_ArrayForEach(run, cJSON_GetObjectItem(out, "runs"))
    {
        struct feed_run which = {.run = cJSON_GetObjectItem(run, "run")->valuestring};
        struct feed_series_query series = {.run = which.run,
                                           .range = {.to = INT64_MAX, .points = 1000}};
        cJSON *more;

        if (asked_layer_list(history, &which, &more, &e) < 0)
            fail_msg("%s: %s", which.run, e.text);
        cJSON_Delete(more);
        if (asked_series(history, &series, &more, &e) < 0)
            fail_msg("%s: %s", which.run, e.text);
        cJSON_Delete(more);
    }
    cJSON_Delete(out);
    history_close(history);
}

/* ---- what the daemon does at its start ------------------------------------------------------- */

/* Returns whether the file had to be set aside as a whole. */
static bool open_or_set_aside(const struct fixture *f, struct store **store)
{
    char aside[300];
    struct err e = {0};
    int rc = store_open(f->path, store, &e);

    if (rc == 0)
        return false;
    if (rc != -EUCLEAN && rc != -EINVAL)
        fail_msg("%s", e.text);
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, NULL), 0);
    assert_int_equal(store_open(f->path, store, NULL), 0);
    return true;
}

static int check(const char *path, struct err *e)
{
    struct store_check *running;
    int rc;

    rc = store_check_start(path, false, &running, e);
    if (rc < 0)
        return rc;
    while ((rc = store_check_result(running, e)) == 1)
        usleep(200);
    store_check_free(running);
    return rc;
}

static void expect_sound(const struct fixture *f, struct store *store)
{
    struct err e = {0};

    if (check(f->path, &e) < 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < store_notes(store)->n; i++)
        fail_msg("a second start says: %s", store_notes(store)->text[i]);
}

/* Nothing is there that was not, and what is missing was on that page. */
static void compare(const struct fixture *f, size_t page, bool is_told)
{
    static const char *const tables[] = {"point",      "scalar",  "spectrum",
                                         "run_config", "finding", "saved_view"};
    sqlite3 *database = open_both(f);
    char name[64];
    int64_t n_cells;

    describe_page(f, page, name, sizeof name, &n_cells);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        int64_t lost = count_more(database, "whole", "main", tables[i]);

        int64_t added = count_more(database, "main", "whole", tables[i]);

        if (added > 0 && strcmp(tables[i], "run_config") != 0) /* a lost one is {} */
            fail_msg("page %zu of %s: %lld rows of %s are others", page, name, (long long)added,
                     tables[i]);
        if (lost > 0 && !is_told)
            fail_msg("page %zu of %s: %lld rows of %s are missing, and nobody says so", page, name,
                     (long long)lost, tables[i]);
        if (strcmp(name, "sqlite_schema") != 0 && lost > (strcmp(name, tables[i]) ? 0 : n_cells))
            fail_msg("page %zu of %s: %lld rows of %s are missing", page, name, (long long)lost,
                     tables[i]);
    }
    sqlite3_close(database);
}

static bool damage_page(const struct fixture *f, size_t page, enum garbage garbage)
{
    struct store *store;
    struct err e = {0};
    bool is_aside, is_told;

    copy_damaged(f, page, garbage);
    is_aside = open_or_set_aside(f, &store);
    if (check(f->path, &e) == -EUCLEAN && store_repair(store, &e) < 0)
        fail_msg("page %zu: %s", page, e.text);
    is_told = is_aside || store_notes(store)->n > 0;
    store_close(store);

    if (!is_aside) {
        compare(f, page, is_told);
        expect_lists(f);
    }
    assert_int_equal(store_open(f->path, &store, &e), 0);
    expect_sound(f, store);
    store_close(store);
    return is_aside;
}

static size_t stride(void)
{
    const char *text = getenv("DAMAGE_STRIDE");

    return text ? (size_t)atoi(text) : 7;
}

static void any_page_may_be_damaged(void **state)
{
    struct fixture *f = *state;
    size_t n = 0, n_aside = 0;

    for (size_t page = 1; page <= f->n_pages; page += stride()) {
        n_aside += damage_page(f, page, n % N_GARBAGES);
        n++;
    }
    print_message("%zu of %zu pages damaged, %zu histories set aside whole\n", n, f->n_pages,
                  n_aside);
    assert_in_range(n_aside, 0, 6); /* the header and the list of tables */
}

/* The page of the layers is damaged under a reader, which no check has seen yet. */
static void a_query_that_meets_damage_notes_it(void **state)
{
    struct fixture *f = *state;
    struct history *history;
    char name[64] = "";
    int64_t n_cells;
    size_t page = 0;
    cJSON *out;

    while (strcmp(name, "layer") != 0)
        describe_page(f, ++page, name, sizeof name, &n_cells);
    copy_damaged(f, page, NOISE);
    assert_int_equal(history_open(f->path, &history, NULL), 0);
    assert_int_equal(asked_run_list(history, &(struct feed_run_list){.limit = 100}, &out, NULL),
                     -EUCLEAN);
    assert_true(history_take_damage(history));
    assert_false(history_take_damage(history));
    history_close(history);
}

/* Somebody has looked at a history with sqlite3, and left its tables of statistics there. */
static void tables_of_sqlite_are_no_hindrance(void **state)
{
    struct fixture *f = *state;
    struct store_notes notes = {0};
    struct store *store;
    sqlite3 *database;

    remove_all(f->path);
    copy_whole(f);
    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "ANALYZE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    assert_int_equal(store_repair_file(f->path, 0, &notes, NULL), 0);
    assert_int_equal(notes.n, 1);
    assert_int_equal(store_open(f->path, &store, NULL), 0);
    expect_sound(f, store);
    store_close(store);
}

static uint64_t blocks_left = UINT64_MAX;

int __real_statvfs(const char *path, struct statvfs *out);
int __wrap_statvfs(const char *path, struct statvfs *out);

int __wrap_statvfs(const char *path, struct statvfs *out)
{
    int rc = __real_statvfs(path, out);

    if (blocks_left < out->f_bavail)
        out->f_bavail = blocks_left;
    return rc;
}

/* It would fill the disk, for others as well. */
static void a_repair_without_space_does_not_begin(void **state)
{
    struct fixture *f = *state;
    struct store_notes notes = {0};
    struct err err;
    char fresh[300];

    remove_all(f->path);
    copy_whole(f);
    snprintf(fresh, sizeof fresh, "%s.repairing", f->path);
    assert_int_equal(mkdir(fresh, 0700), 0); /* nothing can be written there */
    blocks_left = 10;
    assert_int_equal(store_repair_file(f->path, 0, &notes, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "a repair needs 1 MB"));
    assert_int_equal(rmdir(fresh), 0);
    blocks_left = UINT64_MAX;
    assert_int_equal(store_repair_file(f->path, 0, &notes, &err), 0);
}

static void a_note_is_told_once(void **state)
{
    struct store_notes notes = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        store_note(&notes, "%d", i % 3);
    assert_int_equal(notes.n, 3);
    for (int i = 0; i < 100; i++)
        store_note(&notes, "%d", i);
    assert_int_equal(notes.n, STORE_NOTES_MAX);
    assert_string_equal(notes.text[STORE_NOTES_MAX - 1], "there is more of this kind");
}

/* A check without memory says so: SQLite tells of a page that it could not load as of a damaged
 * one. */
static void a_check_without_memory_finds_no_damage(void **state)
{
    struct fixture *f = *state;
    int n_failed = 0;

    remove_all(f->path);
    copy_whole(f);
    for (int64_t room = 4096; room < 4000000; room += 4096 + room / 32) {
        struct store_check *check;
        struct err err = {""};
        int rc;

        sqlite3_hard_heap_limit64(sqlite3_memory_used() + room);
        rc = store_check_start(f->path, false, &check, &err);
        if (rc == 0) {
            while ((rc = store_check_result(check, &err)) == 1)
                usleep(100);
            store_check_free(check);
        }
        sqlite3_hard_heap_limit64(0);
        n_failed += rc < 0;
        if (rc != 0 && rc != -ENOMEM)
            fail_msg("with %" PRId64 " bytes: %d, %s", room, rc, err.text);
    }
    assert_in_range(n_failed, 3, 300);
}

static void add_scalars(const struct fixture *f, int n)
{
    char text[400];
    sqlite3 *database;

    snprintf(text, sizeof text,
             "INSERT INTO scalar(name_key, attempt, step, time, value, feed_seq) WITH RECURSIVE"
             " n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT %d)"
             " SELECT (SELECT min(name_key) FROM scalar_name), 1, i, 0, i, i FROM n;"
             " UPDATE state SET feed_seq = 1000000",
             n);
    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static int check_beside_long_wal(const struct fixture *f, bool hurries, struct err *err)
{
    struct store_check *check;
    char wal[300];
    int rc;

    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(store_check_start(f->path, hurries, &check, err), 0);
    while (truncate(wal, 100 << 20) < 0)
        usleep(100);
    while ((rc = store_check_result(check, err)) == 1)
        usleep(200);
    store_check_free(check);
    return rc;
}

/* On a busy machine it would hold the WAL for hours. One that hurries may hold it longer. */
static void a_check_is_given_up_when_the_wal_has_grown(void **state)
{
    struct fixture *f = *state;
    struct err err = {""};

    remove_all(f->path);
    copy_whole(f);
    add_scalars(f, 300000);
    assert_int_equal(check_beside_long_wal(f, false, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "WAL"));
    assert_int_equal(check_beside_long_wal(f, true, &err), 0);
}

/* ---- points that are summed up ----------------------------------------------------------------
 */

static int sweep(struct store *store)
{
    int rc;

    while ((rc = store_sweep(store, NULL)) == 1)
        ;
    return rc;
}

/* The answer with a long curve in bins (cJSON_Delete), or NULL where it meets damage. */
static cJSON *ask_bins(const struct fixture *f)
{
    struct feed_scalars_query query = {.run = runs[0],
                                       .range = {.to = INT64_MAX, .points = 200, .linear = true}};
    struct history *history;
    cJSON *out = NULL;
    int rc;

    assert_int_equal(history_open(f->path, &history, NULL), 0);
    rc = asked_scalars(history, &query, &out, NULL);
    if (rc < 0)
        assert_true(rc == -EUCLEAN && history_take_damage(history));
    history_close(history);
    return rc < 0 ? NULL : out;
}

static double bin_item(const cJSON *columns, const char *name, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(columns, name), i)->valuedouble;
}

/* Each point is in one bin. The values of add_scalars are their steps. */
static void expect_bins(const struct fixture *f, bool may_meet_damage)
{
    cJSON *out = ask_bins(f);
    const cJSON *scalar = cJSON_GetArrayItem(cJSON_GetObjectItem(out, "scalars"), 0);
    const cJSON *columns = cJSON_GetObjectItem(scalar, "columns");
    const cJSON *value = cJSON_GetObjectItem(columns, "value");
    double total = 0;

    assert_true(out || may_meet_damage);
    for (int i = 0; i < cJSON_GetArraySize(cJSON_GetObjectItem(columns, "step")); i++) {
        double step = bin_item(columns, "step", i), end = bin_item(columns, "step_end", i);

        total += bin_item(columns, "count", i);
        if (step < 1000)
            continue;
        assert_true(bin_item(columns, "count", i) == end - step + 1);
        assert_true(bin_item(value, "min", i) == step && bin_item(value, "max", i) == end);
        assert_true(bin_item(value, "last", i) == end);
    }
    assert_true(!out || total == N_STEPS + N_SCALARS);
    cJSON_Delete(out);
}

/* The whole history gets a long curve with its blocks. */
static void make_blocks(struct fixture *f)
{
    struct store *store;
    size_t size;
    char *data;

    copy_whole(f);
    add_scalars(f, N_SCALARS);
    assert_int_equal(store_open(f->path, &store, NULL), 0);
    assert_int_equal(sweep(store), 0);
    store_close(store);
    expect_bins(f, false);
    data = read_file(f->path, &size);
    write_file(f->whole, data, size);
    free(data);
    f->n_pages = size / PAGE_SIZE;
}

static void damage_blocks(const struct fixture *f, size_t page)
{
    struct store *store;
    struct err e = {0};
    int rc;

    copy_damaged(f, page, page % N_GARBAGES);
    assert_int_equal(store_open(f->path, &store, &e), 0);
    expect_bins(f, true);
    rc = sweep(store);
    assert_true(rc == 0 || rc == -EUCLEAN);
    expect_bins(f, true);
    if (check(f->path, &e) == -EUCLEAN)
        assert_int_equal(store_repair(store, &e), 0);
    compare(f, page, true);
    expect_bins(f, false);
    assert_int_equal(sweep(store), 0);
    expect_bins(f, false);
    store_close(store);
}

static void damaged_blocks_cost_no_point(void **state)
{
    struct fixture *f = *state;
    char name[64];
    int64_t n_cells;
    size_t n = 0;

    make_blocks(f);
    for (size_t page = 1; page <= f->n_pages; page++) {
        describe_page(f, page, name, sizeof name, &n_cells);
        if (strncmp(name, "block", 5) != 0)
            continue;
        damage_blocks(f, page);
        n++;
    }
    assert_true(n > 3);
}

/* ---- fixture --------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    size_t size;

    f->directory = scratch_new();
    snprintf(f->whole, sizeof f->whole, "%s", scratch_path(f->directory, "whole.db"));
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    make_history(f->whole);
    free(read_file(f->whole, &size));
    f->n_pages = size / PAGE_SIZE;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    scratch_free(f->directory);
    free(f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_page_may_be_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_query_that_meets_damage_notes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tables_of_sqlite_are_no_hindrance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repair_without_space_does_not_begin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_without_memory_finds_no_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_is_given_up_when_the_wal_has_grown, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(damaged_blocks_cost_no_point, set_up, tear_down),
        cmocka_unit_test(a_note_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
