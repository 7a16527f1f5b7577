/* The way of each kind of record into the store, where any call of a statement, any check of
 * a row for memory and any allocation of ours and of cJSON's fails, one after the other: the whole
 * transaction is undone with a reason, and the same record is stored when it comes again. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/block.h"
#include "daemon/store/store.h"
#include "tests/lib/fault.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/records.h"

/* No record has as many calls. */
#define CALLS_MAX 2000

/* ---- a step that finds no memory ----------------------------------------------------------- */

int __real_sqlite3_step(sqlite3_stmt *);
int __wrap_sqlite3_step(sqlite3_stmt *);
int __real_sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **,
                              const char **);
int __wrap_sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **,
                              const char **);
const void *__real_sqlite3_column_blob(sqlite3_stmt *, int column);
const void *__wrap_sqlite3_column_blob(sqlite3_stmt *, int column);
int __real_sqlite3_errcode(sqlite3 *);
int __wrap_sqlite3_errcode(sqlite3 *);

static void find_no_memory(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    (void)values;
    sqlite3_result_error_nomem(context);
}

/* The connection says so itself, as after a call of its own. */
static int fail_in(sqlite3 *db)
{
    sqlite3_create_function(db, "find_no_memory", 0, SQLITE_UTF8, NULL, find_no_memory, NULL, NULL);
    return sqlite3_exec(db, "SELECT find_no_memory()", NULL, NULL, NULL);
}

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    return fault_strikes() ? fail_in(sqlite3_db_handle(statement)) : __real_sqlite3_step(statement);
}

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *text, int size, unsigned flags,
                              sqlite3_stmt **out, const char **tail)
{
    return fault_strikes() ? fail_in(db)
                           : __real_sqlite3_prepare_v3(db, text, size, flags, out, tail);
}

const void *__wrap_sqlite3_column_blob(sqlite3_stmt *statement, int column)
{
    return fault_strikes() ? NULL : __real_sqlite3_column_blob(statement, column);
}

int __wrap_sqlite3_errcode(sqlite3 *db)
{
    return fault_strikes() ? SQLITE_NOMEM : __real_sqlite3_errcode(db);
}

/* ---- records under fire -------------------------------------------------------------------- */

static int n_calls;

/* What is left of a record whose n-th call has failed. */
static void expect_undone(struct history_fixture *f, const struct record *record, int n,
                          uint64_t feed_seq)
{
    if (record->rc != -ENOMEM)
        fail_msg("call %d of kind %d: %d, %s", n, record->kind, record->rc, record->error);
    assert_non_null(strstr(record->error, "memory"));
    assert_int_equal(store_feed_seq(f->store), feed_seq);
    assert_null(record->opened.layers);
    assert_true(n < CALLS_MAX);
    n_calls++;
}

/* Its n-th call fails, for each n that it has; then none fails, and it ends with `rc`. */
static void expect_under_fire(struct history_fixture *f, struct record *record, int rc)
{
    uint64_t feed_seq = store_feed_seq(f->store);
    int got;

    for (int n = 1;; n++) {
        fault_arm(n);
        got = apply(f->store, record);
        if (!fault_disarm())
            break;
        expect_undone(f, record, n, feed_seq);
    }
    assert_int_equal(got, rc);
}

static void store_under_fire(struct history_fixture *f, struct record *record)
{
    expect_under_fire(f, record, 0);
    record_free(record);
}

static struct record *say(struct record *record, const char *json)
{
    record->constants = strdup(json);
    return record;
}

/* Ranks from `first` on have sent it, each as its number `seq`. */
static struct record *send_by(struct record *record, uint32_t first, size_t n, uint64_t seq)
{
    record->senders = calloc(n, sizeof *record->senders);
    record->n_senders = n;
    for (size_t i = 0; i < n; i++)
        record->senders[i] = (struct record_sender){.rank = first + (uint32_t)i, .seq = seq};
    return record;
}

static struct record *open_as(uint32_t rank, const char *writer)
{
    struct record *open = record_open("job", writer, 0, RESUME_ALLOW);

    open->open.launch = strdup("L");
    open->open.rank = rank;
    open->open.world = 4;
    return open;
}

/* A point with all that a point can have. */
static void add_full_point(struct record *record, const char *layer)
{
    static double values[13];
    struct layer_point *point = record_add_point(record, layer, 0.5);
    const struct probe probe = {.n = 3, .values = values};

    record_add_spectrum(point);
    record_add_finding(record, point, METRIC_D_LR, 2, 6);
    assert_int_equal(representation_alloc(&point->representation, 5), 0);
    assert_int_equal(probe_copy(&point->probe, &probe), 0);
}

/* Layer "body" has rows from the fourth of them on. */
static struct record *checkpoint(const struct record *run, uint64_t seq, int64_t step)
{
    struct record *record = record_of(run, RECORD_CHECKPOINT, seq, step);
    struct layer_point *body;

    add_full_point(record, "head");
    body = record_add_point(record, "body", 0.25);
    if (seq > 3)
        return record;
    body->measured = false;
    body->point.p = body->point.c = 0;
    return record;
}

/* What was found at step 20 was not to stay. */
static struct record *checkpoint_that_returns(const struct record *run, uint64_t seq, int64_t step)
{
    struct record *record = checkpoint(run, seq, step);
    struct finding *finding = &record->points[0].findings[0];

    finding->step = 20;
    finding->transition.returned = step;
    return record;
}

static struct record *log_of(const struct record *run, uint64_t seq, int64_t step)
{
    struct record *record = record_of(run, RECORD_LOG, seq, step);

    record_add_scalar(record, "loss", 0.5);
    record_add_scalar(record, "val_acc", step < 5 ? 0.1 : 0.9);
    record->n_findings = 1;
    record->findings[0] = (struct finding){
        .metric = "loss",
        .attempt = 1,
        .step = step,
        .transition = {TRANSITION_FALL, 2, 6, 0.5, 0.125, 0.375, -1},
    };
    return record;
}

/* In percent. */
static struct record *log_accuracy(const struct record *run, uint64_t seq, int64_t step,
                                   double value)
{
    struct record *record = record_of(run, RECORD_LOG, seq, step);

    record_add_scalar(record, "test_acc", value);
    return record;
}

/* ---- one trainer --------------------------------------------------------------------------- */

static void check_what_came_of(struct history_fixture *f, struct record *run)
{
    struct record *past = record_of(run, RECORD_REPLAY, 0, 1000);
    struct record *again = record_of(run, RECORD_RECALL, 9, 20);

    past->open.watched = (struct watch_list){
        .n = 1, .metrics = {METRIC_D_LR}, .n_scalars = 1, .scalars = {"val_acc"}};
    expect_under_fire(f, past, 0);
    assert_int_equal(past->opened.n_layers, 2);
    record_free(past);
    expect_under_fire(f, again, 0);
    assert_int_equal(again->n_points, 2);
    assert_string_equal(again->points[1].layer, "body");
    record_free(again);
}

static void any_call_may_fail_on_the_way_of_one_trainer_s_record(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *record;

    n_calls = 0;
    run->open.config = strdup("{\"lr\": 0.1}");
    run->open.probe_bytes = 1 << 20;
    expect_under_fire(f, run, 0);
    store_under_fire(f, log_of(run, 1, 1));
    store_under_fire(f, checkpoint(run, 1, 10)); /* it came before: nothing is written */
    store_under_fire(f, checkpoint(run, 2, 10));
    store_under_fire(f, checkpoint(run, 3, 10)); /* in the place of the other */
    store_under_fire(f, log_of(run, 4, 15));
    store_under_fire(f, log_of(run, 4, 15));
    store_under_fire(f, checkpoint(run, 5, 20));
    store_under_fire(f, checkpoint_that_returns(run, 6, 30));
    store_under_fire(f, log_accuracy(run, 7, 1, 50));
    store_under_fire(f, log_accuracy(run, 8, 31, 60));
    record = checkpoint(run, 9, 40);
    expect_under_fire(f, record, 0);
    assert_int_equal(record->points[0].findings[0].agrees, AGREES_NO);
    record_free(record);
    record = record_of(run, RECORD_SPECTRUM, 0, 20);
    add_full_point(record, "head");
    store_under_fire(f, record);
    check_what_came_of(f, run);
    store_under_fire(f, say(record_of(run, RECORD_SUMMARY, 10, 0), "{\"best\": 1}"));
    store_under_fire(f, say(record_of(run, RECORD_SUMMARY, 11, 0),
                            "{\"best\": 2, \"of\": 3, \"alert: a\": {\"step\": 1}}"));
    store_under_fire(f, say(record_of(run, RECORD_CONFIG, 12, 0), "{\"lr\": 0.2, \"x\": [1]}"));
    store_under_fire(f, say(record_of(run, RECORD_CONFIG, 12, 0), "{}"));
    store_under_fire(f, record_of(run, RECORD_LOST, 0, 0));
    store_under_fire(f, record_of(run, RECORD_LOST, 0, 0));
    record = record_open("a", "w2", 0, RESUME_ALLOW); /* a new attempt, with a past */
    record->open.config = strdup("{\"wd\": 1}");
    record->open.probe_bytes = 1 << 20;
    expect_under_fire(f, record, 0);
    assert_int_equal(record->opened.n_layers, 2);
    assert_int_equal(record->opened.layers[0].probe.n, 3);
    store_under_fire(f, record_of(record, RECORD_CLOSE, 1, 0));
    store_under_fire(f, record_of(record, RECORD_CLOSE, 1, 0));
    record_free(record);
    record_free(run);
    print_message("%d calls failed\n", n_calls);
    assert_true(n_calls > 300);
}

/* ---- ranks of a job ------------------------------------------------------------------------ */

static struct record *checkpoint_of_both(const struct record *job, uint64_t seq, int64_t step)
{
    struct record *record = send_by(record_of(job, RECORD_CHECKPOINT, seq, step), 0, 2, seq);

    add_full_point(record, "head");
    record_add_point(record, "body", 0.25)->measured = false;
    record->totals = calloc(3, sizeof *record->totals);
    record->n_totals = 3;
    for (uint32_t i = 0; i < 3; i++)
        record->totals[i] = (struct record_total){
            .point = i / 2, .rank = i % 2, .batch_seq = seq, .rows_offered = 8};
    return record;
}

static struct record *join(const struct record *job, uint32_t rank, const char *writer)
{
    struct record *record = send_by(record_of(job, RECORD_JOIN, 0, 0), rank, 1, 0);

    record->open.writer = strdup(writer);
    return record;
}

static struct record *of_rank(const struct record *job, enum record_kind kind, uint32_t rank,
                              uint64_t seq)
{
    return send_by(record_of(job, kind, seq, 20), rank, 1, seq);
}

static void any_call_may_fail_on_the_way_of_a_rank_s_record(void **state)
{
    struct history_fixture *f = *state;
    struct record *job = open_as(0, "w0"), *again = open_as(1, "w1"), *record;

    n_calls = 0;
    expect_under_fire(f, job, 0);
    store_under_fire(f, join(job, 1, "w1"));
    store_under_fire(f, join(job, 1, "w1")); /* it is back */
    for (uint32_t rank = 2; rank < 4; rank++)
        store_under_fire(f, join(job, rank, "w"));
    store_under_fire(f, checkpoint_of_both(job, 1, 10));
    store_under_fire(f, send_by(log_of(job, 2, 20), 0, 1, 2));
    store_under_fire(f, of_rank(job, RECORD_RECALL, 1, 2)); /* a mark that came too late */
    store_under_fire(f, of_rank(job, RECORD_LOST, 1, 0));
    store_under_fire(f, of_rank(job, RECORD_LOST, 1, 0));
    record = of_rank(job, RECORD_CLOSE, 3, 1);
    record->failed = true;
    store_under_fire(f, record);
    store_under_fire(f, of_rank(job, RECORD_CLOSE, 2, 1));
    expect_under_fire(f, again, 0);
    assert_int_equal(again->opened.n_members, 4);
    assert_int_equal(again->opened.n_totals, 2);
    store_under_fire(f, of_rank(job, RECORD_CLOSE, 1, 3));
    store_under_fire(f, join(job, 1, "w1")); /* what follows is its close once more */
    store_under_fire(f, of_rank(job, RECORD_CLOSE, 0, 3));
    record_free(again);
    record_free(job);
    print_message("%d calls failed\n", n_calls);
    assert_true(n_calls > 100);
}

/* ---- points that are summed up -------------------------------------------------------------- */

/* As many values as make a block of level 2, but for the last one; a group is a commit. */
static uint64_t fill_blocks(struct history_fixture *f, const struct record *run)
{
    static struct record *group[BLOCK_POINTS - 1];
    const size_t n_group = sizeof group / sizeof *group;
    uint64_t seq = 0;

    while (seq + 1 < BLOCK_NODES * BLOCK_POINTS) {
        size_t n = 0;

        for (; n < n_group && seq + 1 < BLOCK_NODES * BLOCK_POINTS; n++) {
            seq++;
            group[n] = record_of(run, RECORD_LOG, seq, (int64_t)seq);
            record_add_scalar(group[n], "loss", seq % 7 ? (double)(seq % 1000) : (double)NAN);
        }
        assert_int_equal(apply_many(f->store, group, n), 0);
        for (size_t i = 0; i < n; i++)
            record_free(group[i]);
    }
    return seq;
}

/* As text (free with free). */
static char *all_blocks(const struct history_fixture *f)
{
    sqlite3_stmt *statement;
    char *text;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT group_concat(is_scalar || name || level || to_step || hex(data))"
                           " FROM (SELECT * FROM block ORDER BY is_scalar, name, level, to_step)",
                           -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    text = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_non_null(text);
    return text;
}

/* Each seventh call fails: there are thousands. */
static void sweep_under_fire(struct history_fixture *f)
{
    struct err err;
    int rc;

    for (int n = 1;; n += 7) {
        fault_arm(n);
        rc = store_sweep(f->store, &err);
        if (!fault_disarm())
            break;
        assert_int_equal(rc, -ENOMEM);
        n_calls++;
    }
    while (rc == 1)
        rc = store_sweep(f->store, &err);
    assert_int_equal(rc, 0);
}

static void any_call_may_fail_while_points_are_summed_up(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *last;
    char *made, *swept;
    uint64_t seq;

    n_calls = 0;
    assert_int_equal(apply(f->store, run), 0);
    seq = fill_blocks(f, run);
    last = record_of(run, RECORD_LOG, seq + 1, (int64_t)seq + 1);
    record_add_scalar(last, "loss", 3);
    store_under_fire(f, last);
    assert_int_equal(history_fixture_ask(f, "SELECT max(level) FROM block"), 2);
    made = all_blocks(f);

    history_fixture_run(f, "DELETE FROM block");
    sweep_under_fire(f);
    swept = all_blocks(f);
    assert_string_equal(swept, made);
    print_message("%d calls failed\n", n_calls);
    assert_true(n_calls > 400);
    free(made);
    free(swept);
    record_free(run);
}

/* ---- what a repair has left ---------------------------------------------------------------- */

static struct record *summary_of(const struct record *run)
{
    return say(record_of(run, RECORD_SUMMARY, 2, 0), "{\"best\": 2}");
}

static void constants_that_are_damaged_are_told_as_damage(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *record;
    int n_reopened = 0;

    assert_int_equal(apply(f->store, run), 0);
    store_under_fire(f, say(record_of(run, RECORD_SUMMARY, 1, 0), "{\"best\": 1}"));
    history_fixture_run(f, "UPDATE run_summary SET summary = '{\"best'");
    record = summary_of(run);
    for (int n = 1;; n++) {
        fault_arm(n);
        assert_true(apply(f->store, record) < 0);
        if (!fault_disarm())
            break;
        assert_true(n < CALLS_MAX);
        if (apply(f->store, record) == -EIO) /* what could not be undone is not written again */
            n_reopened++, history_fixture_reopen(f);
    }
    assert_int_equal(n_reopened, 1);
    assert_int_equal(apply(f->store, record), -EUCLEAN);
    record_free(record);
    record_free(run);
}

/* A total, and the member or the layer that it belongs to. */
static void totals_that_lack_their_member_or_layer_are_told_as_damage(void **state)
{
    struct history_fixture *f = *state;
    struct record *job = open_as(0, "w0"), *again = open_as(0, "w0");

    assert_int_equal(apply(f->store, job), 0);
    assert_int_equal(apply(f->store, again), 0);
    store_under_fire(f, join(job, 1, "w1"));
    store_under_fire(f, checkpoint_of_both(job, 1, 10));
    history_fixture_run(f, "UPDATE layer SET name = printf('%.300c', char(96 + layer_key))");
    assert_int_equal(apply(f->store, again), -EUCLEAN);
    history_fixture_run(
        f, "UPDATE layer SET name = 'l' || layer_key; DELETE FROM member WHERE rank = 1");
    assert_int_equal(apply(f->store, again), -EUCLEAN);
    assert_non_null(strstr(again->error, "a total of rank 1 has no member"));
    record_free(again);
    record_free(job);
}

static void an_attempt_that_is_not_there_refuses_its_record_alone(void **state)
{
    struct history_fixture *f = *state;
    struct record *run = record_open("a", "w", 0, RESUME_ALLOW), *record;

    assert_int_equal(apply(f->store, run), 0);
    record = summary_of(run);
    record->attempt = 2;
    expect_under_fire(f, record, -ENOENT);
    record->attempt = 1;
    record->run_key = 99;
    expect_under_fire(f, record, -ESTALE); /* as one that has left */
    record->run_key = run->opened.run_key;
    history_fixture_run(f, "DELETE FROM attempt");
    expect_under_fire(f, record, -ENOENT);
    record_free(record);
    record_free(run);
}

static int use_our_malloc(void **state)
{
    (void)state;
    cJSON_InitHooks(&(cJSON_Hooks){malloc, free});
    return 0;
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, history_fixture_set_up, history_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_call_may_fail_on_the_way_of_one_trainer_s_record),
        TEST(any_call_may_fail_on_the_way_of_a_rank_s_record),
        TEST(any_call_may_fail_while_points_are_summed_up),
        TEST(constants_that_are_damaged_are_told_as_damage),
        TEST(totals_that_lack_their_member_or_layer_are_told_as_damage),
        TEST(an_attempt_that_is_not_there_refuses_its_record_alone),
    };

    return cmocka_run_group_tests(tests, use_our_malloc, NULL);
}
