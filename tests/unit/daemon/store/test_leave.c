/* Runs that leave the history: deleted by a person, or pruned. */
#include "daemon/store/errand.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sqlite3.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/store.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/records.h"

#define N_MAX 4001

/* Stores a run of `n` points and scalars that has ended at time `updated`. */
static int64_t finished(struct history_fixture *f, const char *id, int n, double updated)
{
    struct record *run = record_open(id, "w", 0, RESUME_ALLOW), *records[N_MAX];
    size_t n_records = 0;
    int64_t key;

    assert_in_range(2 * n + 1, 1, N_MAX);
    run->time = updated;
    assert_int_equal(apply(f->store, run), 0);
    key = run->opened.run_key;
    for (int i = 0; i < n; i++) {
        records[n_records] = record_of(run, RECORD_CHECKPOINT, n_records + 1, i);
        record_add_spectrum(record_add_point(records[n_records++], "head", 0.5));
        records[n_records] = record_of(run, RECORD_LOG, n_records + 1, i);
        record_add_scalar(records[n_records++], "loss", 1.0 / (1 + i));
    }
    records[n_records] = record_of(run, RECORD_CLOSE, n_records + 1, 0);
    n_records++;
    for (size_t i = 0; i < n_records; i++)
        records[i]->time = updated;
    assert_int_equal(apply_many(f->store, records, n_records), 0);
    for (size_t i = 0; i < n_records; i++)
        record_free(records[i]);
    record_free(run);
    return key;
}

static struct errand to_delete(const char *run)
{
    struct errand errand = {.kind = ERRAND_DELETE, .time = 1000};

    strcpy(errand.run, run);
    return errand;
}

static struct errand to_prune(double updated_before, int64_t max_bytes)
{
    return (struct errand){
        .kind = ERRAND_PRUNE, .updated_before = updated_before, .max_bytes = max_bytes};
}

static struct err why;

/* Carries it out to its end; returns its outcome. */
static int carry_out(struct history_fixture *f, struct errand *errand)
{
    int rc;

    while ((rc = store_errand(f->store, errand, &why)) == 1)
        continue;
    return rc;
}

static void clear(struct history_fixture *f)
{
    int rc;

    while ((rc = store_clear(f->store, NULL)) == 1)
        continue;
    assert_int_equal(rc, 0);
}

static void delete_run(struct history_fixture *f, const char *run)
{
    struct errand errand = to_delete(run);

    assert_int_equal(carry_out(f, &errand), 0);
    errand_release(&errand);
}

static int open_again(struct history_fixture *f, const char *run, enum resume resume,
                      uint32_t attempt, bool is_replay, int64_t *key)
{
    struct record *record = record_open(run, "w", attempt, resume);
    int rc;

    record->open.is_replay = is_replay;
    rc = apply(f->store, record);
    if (key)
        *key = record->opened.run_key;
    record_free(record);
    return rc;
}

/* ---- deleting -------------------------------------------------------------------------------- */

/* What the tests' points and scalars leave empty. */
#define OTHER_ROWS                                                                                 \
    "INSERT INTO probe SELECT layer_key, 1, x'00' FROM layer;"                                     \
    "INSERT INTO representation SELECT layer_key, 1, 1, 1, 1, x'00' FROM layer;"                   \
    "INSERT INTO member_total SELECT layer_key, 1, 0, 1, 1, 1 FROM layer;"                         \
    "INSERT INTO member SELECT run_key, 1, 0, 'w', 1, 1, 1 FROM run;"                              \
    "INSERT INTO run_summary SELECT run_key, '{}' FROM run;"                                       \
    "INSERT INTO run_note SELECT run_key, 'n' FROM run;"                                           \
    "INSERT INTO relayed_run SELECT 's', run_key, 1 FROM run;"                                     \
    "INSERT OR IGNORE INTO block SELECT 0, layer_key, 1, 'd_lr', 0, 15, x'00' FROM layer;"         \
    "INSERT OR IGNORE INTO block SELECT 1, name_key, 1, '', 0, 15, x'00' FROM scalar_name;"        \
    "INSERT INTO finding(run_key, layer_key, attempt, step, metric, direction, start_step,"        \
    " end_step, agrees, feed_seq) SELECT run_key, layer_key, 1, 1, 'd_lr', 0, 0, 1, 0, 1"          \
    " FROM layer"

/* Rows of a table that belong to run 1, whose layer and scalar have the number 1, too. */
static int64_t count_rows(const struct history_fixture *f, const char *table)
{
    static const char *const keys[] = {"run_key", "layer_key", "name_key", "curve_key"};
    char sql[256];

    for (int i = 0; i < 4; i++) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM pragma_table_info('%s') WHERE name = '%s'",
                 table, keys[i]);
        if (history_fixture_ask(f, sql) == 0)
            continue;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s = 1", table, keys[i]);
        return history_fixture_ask(f, sql);
    }
    return -1;
}

/* Each table of the schema that has rows of runs, also one that comes later. */
static size_t list_tables(const struct history_fixture *f, char names[][32], size_t room)
{
    sqlite3_stmt *q;
    sqlite3 *db;
    size_t n = 0;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT name FROM sqlite_schema WHERE type = 'table'"
                                        " AND name NOT IN ('state', 'tombstone', 'leaving',"
                                        " 'saved_view', 'source', 'pulled', 'relayed')"
                                        " AND name NOT LIKE 'sqlite%'",
                                        -1, &q, NULL),
                     SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        assert_true(n < room);
        snprintf(names[n++], sizeof *names, "%s", (const char *)sqlite3_column_text(q, 0));
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void nothing_of_a_deleted_run_stays(void **state)
{
    struct history_fixture *f = *state;
    char tables[40][32];
    size_t n = list_tables(f, tables, 40);

    assert_int_equal(finished(f, "a", 300, 1), 1);
    assert_int_equal(finished(f, "b", 3, 1), 2);
    history_fixture_run(f, OTHER_ROWS);
    for (size_t i = 0; i < n; i++) {
        if (count_rows(f, tables[i]) <= 0)
            fail_msg("the table %s has no row to delete", tables[i]);
    }
    delete_run(f, "a");
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 1);
    assert_true(count_rows(f, "point") == 300);
    clear(f);
    for (size_t i = 0; i < n; i++) {
        if (count_rows(f, tables[i]) != 0)
            fail_msg("the table %s has rows of a deleted run", tables[i]);
    }
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM point JOIN layer"
                                            " USING(layer_key) JOIN run USING(run_key)"),
                     3);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM leaving"), 0);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

static void a_run_that_is_open_or_unknown_is_not_deleted(void **state)
{
    struct history_fixture *f = *state;
    struct errand open = to_delete("a"), unknown = to_delete("b");

    assert_int_equal(open_again(f, "a", RESUME_ALLOW, 0, false, NULL), 0);
    assert_int_equal(carry_out(f, &open), -EBUSY);
    assert_non_null(strstr(why.text, "\"a\" is open"));
    assert_int_equal(carry_out(f, &unknown), -ENOENT);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM tombstone"), 0);
}

static void a_run_is_named_as_a_reader_names_it(void **state)
{
    struct history_fixture *f = *state;
    struct errand errand = to_delete("p/long");

    finished(f, "a", 1, 1);
    finished(f, "b", 1, 1);
    history_fixture_run(f, "UPDATE run SET name = 'long', project = 'p'");
    assert_int_equal(carry_out(f, &errand), 0);
    assert_string_equal(errand.runs[0].id, "b");
    assert_int_equal(errand.n_points, 1);
    errand_release(&errand);
    delete_run(f, "long");
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 0);
}

static void a_deleted_run_comes_back_only_when_it_is_asked_for(void **state)
{
    struct history_fixture *f = *state;
    int64_t key;

    finished(f, "a", 1, 1);
    delete_run(f, "a");
    assert_int_equal(open_again(f, "a", RESUME_ALLOW, 0, false, NULL), -EIDRM);
    assert_int_equal(open_again(f, "a", RESUME_MUST, 0, false, NULL), -EIDRM);
    assert_int_equal(open_again(f, "a", RESUME_NEVER, 1, false, NULL), -EIDRM);
    assert_int_equal(open_again(f, "a", RESUME_NEVER, 0, true, NULL), -EIDRM);
    clear(f);
    history_fixture_reopen(f);
    assert_int_equal(open_again(f, "a", RESUME_ALLOW, 0, false, NULL), -EIDRM);
    assert_int_equal(open_again(f, "a", RESUME_NEVER, 0, false, &key), 0);
    assert_int_equal(key, 2);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM tombstone"), 0);
    assert_int_equal(open_again(f, "a", RESUME_ALLOW, 0, false, NULL), 0);
}

/* A spectrum that follows its point, and a loss, may be under way when a run is deleted. */
static void a_record_of_a_run_that_left_is_refused(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *record;

    assert_int_equal(apply(f->store, run), 0);
    record = record_of(run, RECORD_LOST, 0, 0);
    assert_int_equal(apply(f->store, record), 0);
    record_free(record);
    delete_run(f, "a");
    assert_int_equal(open_again(f, "a", RESUME_NEVER, 0, false, NULL), 0);
    record = record_of(run, RECORD_LOG, 1, 1);
    record_add_scalar(record, "loss", 1);
    assert_int_equal(apply(f->store, record), -ESTALE);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM scalar"), 0);
    record_free(record);
    record_free(run);
}

static void the_next_start_goes_on_with_what_left(void **state)
{
    struct history_fixture *f = *state;
    int more;

    finished(f, "a", 2000, 1);
    finished(f, "b", 1, 1);
    delete_run(f, "a");
    more = store_clear(f->store, NULL);
    history_fixture_reopen(f);
    assert_in_range(history_fixture_ask(f, "SELECT count(*) FROM leaving"), 0, more);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 1);
    clear(f);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM point"), 1);
    assert_int_equal(history_fixture_ask(f, "PRAGMA freelist_count"), 0);
}

static void a_repair_forgets_what_left(void **state)
{
    struct history_fixture *f = *state;

    finished(f, "a", 300, 1);
    finished(f, "b", 1, 1);
    delete_run(f, "a");
    assert_int_equal(store_repair(f->store, NULL), 0);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM layer"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM point"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM scalar"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM tombstone"), 1);
    assert_int_equal(history_fixture_ask(f, "PRAGMA auto_vacuum"), 2);
}

/* ---- pruning --------------------------------------------------------------------------------- */

static void old_runs_go_and_no_open_one(void **state)
{
    struct history_fixture *f = *state;
    struct errand errand = to_prune(30, ERRAND_BYTES_ANY);

    finished(f, "new", 1, 30);
    finished(f, "older", 2, 20);
    finished(f, "oldest", 1, 10);
    assert_int_equal(open_again(f, "open", RESUME_ALLOW, 0, false, NULL), 0);
    history_fixture_run(f, "UPDATE run SET updated = 5 WHERE id = 'open'");
    assert_int_equal(carry_out(f, &errand), 0);
    assert_int_equal(errand.n_runs, 2);
    assert_string_equal(errand.runs[0].id, "oldest");
    assert_string_equal(errand.runs[1].id, "older");
    assert_int_equal(errand.n_points, 3);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 2);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM point"), 1);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM tombstone"), 0);
    errand_release(&errand);
}

/* Stores a run whose trainer went without a word at time `when`. */
static void lost(struct history_fixture *f, const char *id, double when)
{
    struct record *run = record_open(id, "w", 0, RESUME_ALLOW), *end;

    run->time = when;
    assert_int_equal(apply(f->store, run), 0);
    end = record_of(run, RECORD_LOST, 0, 0);
    end->time = when;
    assert_int_equal(apply(f->store, end), 0);
    record_free(end);
    record_free(run);
}

static void a_run_whose_trainer_may_come_back_is_not_pruned(void **state)
{
    const double now = 100 * 86400.0;
    struct history_fixture *f = *state;
    struct errand errand;

    lost(f, "long ago", now - 2 * 86400.0);
    lost(f, "lately", now - 3600);
    finished(f, "finished", 1, now - 60);
    errand_prune(&errand, now, -1, 0);
    assert_int_equal(carry_out(f, &errand), 0);
    assert_int_equal(errand.n_runs, 2);
    assert_string_equal(errand.runs[0].id, "long ago");
    assert_string_equal(errand.runs[1].id, "finished");
    errand_release(&errand);
}

static void the_oldest_runs_go_until_the_file_is_small(void **state)
{
    struct history_fixture *f = *state;
    char id[16];
    int64_t before, page = history_fixture_ask(f, "PRAGMA page_size");
    struct errand errand;

    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "run-%d", i);
        finished(f, id, 500, 100 - i);
    }
    before = page * history_fixture_ask(f, "PRAGMA page_count");
    errand = to_prune((double)NAN, before / 2);
    assert_int_equal(carry_out(f, &errand), 0);
    assert_in_range(errand.n_runs, 4, 5);
    assert_string_equal(errand.runs[0].id, "run-7");
    assert_int_equal(errand.bytes_before, before);
    assert_in_range(errand.bytes_after, before / 3, before / 2);
    assert_int_equal(errand.bytes_after, page * history_fixture_ask(f, "PRAGMA page_count"));
    assert_int_equal(history_fixture_ask(f, "PRAGMA freelist_count"), 0);
    errand_release(&errand);
}

static void a_dry_run_says_what_would_go(void **state)
{
    struct history_fixture *f = *state;
    struct errand dry, real;
    char id[16];
    int64_t before;

    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "run-%d", i);
        finished(f, id, 1000, i);
    }
    before = 4096 * history_fixture_ask(f, "PRAGMA page_count");
    dry = real = to_prune((double)NAN, before / 2);
    dry.is_dry = true;
    assert_int_equal(carry_out(f, &dry), 0);
    assert_int_equal(history_fixture_ask(f, "SELECT count(*) FROM run"), 8);
    assert_int_equal(carry_out(f, &real), 0);
    assert_in_range(dry.n_runs, real.n_runs - 1, real.n_runs + 1);
    errand_release(&dry);
    errand_release(&real);
}

int main(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, history_fixture_set_up, history_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_of_a_deleted_run_stays),
        TEST(a_run_that_is_open_or_unknown_is_not_deleted),
        TEST(a_run_is_named_as_a_reader_names_it),
        TEST(a_deleted_run_comes_back_only_when_it_is_asked_for),
        TEST(a_record_of_a_run_that_left_is_refused),
        TEST(the_next_start_goes_on_with_what_left),
        TEST(a_repair_forgets_what_left),
        TEST(old_runs_go_and_no_open_one),
        TEST(a_run_whose_trainer_may_come_back_is_not_pruned),
        TEST(the_oldest_runs_go_until_the_file_is_small),
        TEST(a_dry_run_says_what_would_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
