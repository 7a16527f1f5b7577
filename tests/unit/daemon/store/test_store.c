#include "daemon/store/store.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/aside.h"
#include "daemon/store/schema.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/records.h"

/* Runs SQL behind the store's back, as an older program or a person would. */
static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    history_fixture_exec(db, sql);
    sqlite3_close(db);
}

static double read_sql(const char *path, const char *sql)
{
    sqlite3_stmt *q;
    sqlite3 *db;
    double value;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    value = sqlite3_column_type(q, 0) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return value;
}

static struct record *open_run(struct history_fixture *f, const char *run, const char *writer)
{
    struct record *r = record_open(run, writer, 0, RESUME_ALLOW);

    assert_int_equal(apply(f->store, r), 0);
    return r;
}

/* A checkpoint of layer "head", applied; returns its feed sequence. */
static uint64_t checkpoint(struct history_fixture *f, const struct record *opened, uint64_t seq,
                           int64_t step, double d_lr)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);
    uint64_t feed_seq;

    record_add_point(r, "head", d_lr);
    assert_int_equal(apply(f->store, r), 0);
    feed_seq = r->points[0].feed_seq;
    record_free(r);
    return feed_seq;
}

/* An OPEN that must end with `rc`. */
static void expect_open(struct history_fixture *f, const char *writer, uint32_t attempt,
                        enum resume resume, int rc)
{
    struct record *r = record_open("a", writer, attempt, resume);

    assert_int_equal(apply(f->store, r), rc);
    if (rc < 0)
        assert_non_null(strstr(r->error, "\"a\""));
    record_free(r);
}

static void a_run_is_created_with_defaults(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    assert_true(r->opened.created);
    assert_int_equal(r->opened.attempt, 1);
    assert_int_equal(r->opened.last_seq, 0);
    assert_false(r->opened.has_last_step);
    assert_int_equal(r->opened.n_layers, 0);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM run JOIN run_config USING(run_key)"
                                       " WHERE name = 'a' AND project = 'default' AND tags = '[]'"
                                       " AND config = '{}' AND state = 0"),
                     1);
    record_free(r);
}

/* A series that falls at its 40th point: what the core finds it must find again from the disk. */
static double falling(int64_t step)
{
    return (step < 400 ? 0.5 : 0.1) + 0.001 * (double)(step * 7919 % 13);
}

/* Shows the watch a point as checkpoint() stores it. */
static size_t show(struct watch *w, const struct record *opened, int64_t step,
                   struct finding found[RUN_WATCHED_MAX])
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, 1, step);
    size_t n = watch_feed(w, opened->opened.attempt,
                          &record_add_point(r, "head", falling(step))->point, found);

    record_free(r);
    return n;
}

/* What the store shows to the watches before the first message of an attempt, of that step. */
static struct record *replay(struct history_fixture *f, const struct record *opened, int64_t step,
                             struct watch_list watched)
{
    struct record *r = record_of(opened, RECORD_REPLAY, 0, step);

    r->open.watched = watched;
    assert_int_equal(apply(f->store, r), 0);
    assert_non_null(r->opened.scalar_watch);
    return r;
}

/* 45 points of a series that falls at the 40th: not enough to report it. */
static struct record *store_a_fall(struct history_fixture *f)
{
    struct record *r = open_run(f, "a", "w1");

    for (int64_t i = 0; i < 45; i++)
        checkpoint(f, r, (uint64_t)i + 1, 10 * i, falling(10 * i));
    history_fixture_reopen(f);
    return r;
}

/* A new attempt, or (`attempt` 1) the old one. */
static struct record *open_again(struct history_fixture *f, const char *writer, uint32_t attempt)
{
    struct record *r = record_open("a", writer, attempt, RESUME_ALLOW);

    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(r->opened.n_layers, 1);
    assert_false(r->opened.created);
    return r;
}

/* Both watches are shown the points from `step` on, and find the same. */
static size_t expect_equal(struct watch *replayed, struct watch *straight, const struct record *r,
                           int64_t step)
{
    struct finding found[RUN_WATCHED_MAX], expected[RUN_WATCHED_MAX];
    size_t n_found = 0;

    for (; step < 600; step += 10) {
        size_t n = show(straight, r, step, expected);

        assert_int_equal(show(replayed, r, step, found), n);
        for (size_t i = 0; i < n; i++) {
            assert_string_equal(found[i].metric, expected[i].metric);
            assert_int_equal(found[i].step, step);
            assert_int_equal(found[i].attempt, r->opened.attempt);
            assert_true(found[i].n_from == 1024 && found[i].n_to == 1024);
            assert_memory_equal(&found[i].transition, &expected[i].transition,
                                sizeof found[i].transition);
        }
        n_found += n;
    }
    return n_found;
}

static const struct watch_list two = {.n = 2, .metrics = {METRIC_PR, METRIC_D_LR}};

static void an_attempt_opened_again_goes_on_looking(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = store_a_fall(f), *again = open_again(f, "w1", 1);
    struct record *past = replay(f, again, 450, two);
    struct watch *straight = watch_new(&two);
    struct finding none[RUN_WATCHED_MAX];

    assert_string_equal(past->opened.layers[0].name, "head");
    for (int64_t step = 0; step < 450; step += 10)
        assert_int_equal(show(straight, r, step, none), 0);
    assert_int_equal(expect_equal(past->opened.layers[0].watch, straight, r, 450), 2);
    watch_free(straight);
    record_free(past);
    record_free(again);
    record_free(r);
}

/* The first attempt came to step 440; the second takes over at 420, in the middle of the fall. */
static void a_new_attempt_goes_on_where_it_takes_over(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = store_a_fall(f), *second = open_again(f, "w2", 0);
    struct record *past = replay(f, second, 420, two);
    struct watch *straight = watch_new(&two);
    struct finding none[RUN_WATCHED_MAX];

    for (int64_t step = 0; step < 420; step += 10)
        assert_int_equal(show(straight, r, step, none), 0);
    assert_int_equal(expect_equal(past->opened.layers[0].watch, straight, second, 420), 2);
    watch_free(straight);
    record_free(past);
    record_free(second);
    record_free(r);
}

/* The third begins behind the second's end, whose first step is what supersedes the first. */
static void what_a_newer_attempt_supersedes_stays_out_of_all_later_ones(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = store_a_fall(f), *second = open_again(f, "w2", 0), *third, *past;
    struct watch *straight = watch_new(&two);
    struct finding none[RUN_WATCHED_MAX];

    for (int64_t step = 0; step < 450; step += 10) {
        if (step >= 300)
            checkpoint(f, second, (uint64_t)step, step, falling(step));
        assert_int_equal(show(straight, step < 300 ? r : second, step, none), 0);
    }
    third = open_again(f, "w3", 0);
    past = replay(f, third, 450, two);
    assert_int_equal(expect_equal(past->opened.layers[0].watch, straight, third, 450), 2);
    watch_free(straight);
    record_free(past);
    record_free(third);
    record_free(second);
    record_free(r);
}

static void scalars_have_a_past_too(void **state)
{
    struct history_fixture *f = *state;
    const struct watch_list watched = {.n_scalars = 1, .scalars = {"acc"}};
    struct record *r = open_run(f, "a", "w1"), *second, *past;
    struct scalar acc = {.name = "acc", .value = 0.9};
    struct finding found[RUN_WATCHED_MAX];
    size_t n_found = 0;

    for (int64_t i = 0; i < 45; i++) {
        struct record *log = record_of(r, RECORD_LOG, (uint64_t)i + 1, 10 * i);

        record_add_scalar(log, "acc", 1 - falling(10 * i));
        assert_int_equal(apply(f->store, log), 0);
        record_free(log);
    }
    second = record_open("a", "w2", 0, RESUME_ALLOW);
    assert_int_equal(apply(f->store, second), 0);
    past = replay(f, second, 420, watched);
    for (int64_t step = 420; step < 600; step += 10) {
        acc.value = 1 - falling(step);
        n_found += watch_log_feed(past->opened.scalar_watch, 2, step, 1.5, &acc, 1, found);
        if (n_found == 1)
            break;
    }
    assert_int_equal(n_found, 1);
    assert_string_equal(found[0].metric, "acc");
    assert_int_equal(found[0].transition.direction, TRANSITION_RISE);
    record_free(past);
    record_free(second);
    record_free(r);
}

/* ---- what has no step ---------------------------------------------------------------------- */

static int say(struct history_fixture *f, const struct record *opened, enum record_kind kind,
               uint64_t seq, const char *json)
{
    struct record *record = record_of(opened, kind, seq, 0);
    int rc;

    record->constants = strdup(json);
    rc = apply(f->store, record);
    record_free(record);
    return rc;
}

/* Opens a new attempt, which brings a configuration. */
static struct record *open_with(struct history_fixture *f, const char *writer, const char *config)
{
    struct record *record = record_open("a", writer, 0, RESUME_ALLOW);

    free(record->open.config);
    record->open.config = strdup(config);
    assert_int_equal(apply(f->store, record), 0);
    return record;
}

static void assert_text(struct history_fixture *f, const char *table, const char *column,
                        const char *text)
{
    char sql[512];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s = '%s'", table, column, text);
    if (read_sql(f->path, sql) != 1)
        fail_msg("no row: %s", sql);
}

static void constants_are_merged_by_their_names(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_with(f, "w1", "{\"lr\":0.1,\"sizes\":{\"p\":1}}");

    assert_int_equal(say(f, r, RECORD_SUMMARY, 1, "{\"best\":0.5,\"at\":{\"step\":3}}"), 0);
    assert_text(f, "run_summary", "summary", "{\"best\":0.5,\"at\":{\"step\":3}}");
    assert_int_equal(say(f, r, RECORD_SUMMARY, 2, "{\"at\":null,\"seed\":1e-3}"), 0);
    assert_text(f, "run_summary", "summary", "{\"best\":0.5,\"at\":null,\"seed\":0.001}");
    assert_int_equal(say(f, r, RECORD_CONFIG, 3, "{\"sizes\":{\"c\":2},\"n\":7}"), 0);
    assert_text(f, "run_config", "config", "{\"lr\":0.1,\"sizes\":{\"c\":2},\"n\":7}");
    assert_int_equal(say(f, r, RECORD_SUMMARY, 2, "{\"best\":0}"), 0); /* came before */
    assert_text(f, "run_summary", "summary", "{\"best\":0.5,\"at\":null,\"seed\":0.001}");
    assert_int_equal(read_sql(f->path, "SELECT last_seq FROM attempt"), 3);
    assert_true(isnan(read_sql(f->path, "SELECT first_step FROM attempt")));
    record_free(r);
}

/* The newest word counts: what messages said stays where the new configuration says nothing. */
static void constants_are_kept_over_attempts(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_with(f, "w1", "{\"lr\":0.1,\"gone\":1}"), *second, *third;

    assert_int_equal(say(f, first, RECORD_CONFIG, 1, "{\"lr\":0.2,\"n\":7}"), 0);
    assert_int_equal(say(f, first, RECORD_SUMMARY, 2, "{\"best\":0.5}"), 0);
    second = open_with(f, "w2", "{\"lr\":0.3}");
    assert_text(f, "run_config", "config", "{\"n\":7,\"lr\":0.3}");
    assert_text(f, "run_summary", "summary", "{\"best\":0.5}");
    third = open_with(f, "w3", "{}");
    assert_text(f, "run_config", "config", "{\"n\":7}");
    record_free(third);
    record_free(second);
    record_free(first);
}

static char *long_text(const char *name, size_t size)
{
    char *text = malloc(size + 32);
    int n = sprintf(text, "{\"%s\":\"", name);

    memset(text + n, 'x', size);
    strcpy(text + n + size, "\"}");
    return text;
}

static void constants_that_grow_too_large_are_refused_alone(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *second;
    char *a = long_text("a", 700000), *b = long_text("b", 700000);

    assert_int_equal(say(f, r, RECORD_SUMMARY, 1, a), 0);
    assert_int_equal(say(f, r, RECORD_SUMMARY, 2, b), -E2BIG);
    assert_int_equal(read_sql(f->path, "SELECT length(summary) FROM run_summary"), 700008);
    assert_int_equal(say(f, r, RECORD_CONFIG, 3, a), 0);
    assert_int_equal(say(f, r, RECORD_CONFIG, 4, b), -E2BIG);
    assert_int_equal(say(f, r, RECORD_SUMMARY, 5, "{\"a\":1}"), 0);
    assert_text(f, "run_summary", "summary", "{\"a\":1}");
    assert_int_equal(read_sql(f->path, "SELECT last_seq FROM attempt"), 5);
    second = open_with(f, "w2", b);
    assert_int_equal(read_sql(f->path, "SELECT instr(config, 'b') FROM run_config"), 3);
    assert_text(f, "run_config", "updates", "{}");
    record_free(second);
    record_free(r);
    free(a);
    free(b);
}

static void an_implied_step_begins_no_attempt(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_run(f, "a", "w1"), *second, *log, *mark;

    checkpoint(f, first, 1, 100, 0.75);
    second = open_with(f, "w2", "{}");
    log = record_of(second, RECORD_LOG, 1, 0);
    log->implied = true;
    record_add_scalar(log, "n_params", 1e6);
    assert_int_equal(apply(f->store, log), 0);
    mark = record_of(second, RECORD_CHECKPOINT, 2, 0);
    mark->implied = true;
    record_add_point(mark, "head", 0.5);
    assert_int_equal(apply(f->store, mark), 0);
    assert_true(isnan(read_sql(f->path, "SELECT first_step FROM attempt WHERE attempt = 2")));
    assert_int_equal(read_sql(f->path, "SELECT last_step FROM run"), 100);
    assert_int_equal(read_sql(f->path, "SELECT n_points FROM run"), 2);
    checkpoint(f, second, 3, 90, 0.25);
    assert_int_equal(read_sql(f->path, "SELECT first_step FROM attempt WHERE attempt = 2"), 90);
    assert_int_equal(read_sql(f->path, "SELECT last_step FROM run"), 90);
    record_free(mark);
    record_free(log);
    record_free(second);
    record_free(first);
}

static void what_was_committed_is_there_after_reopening(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *again, *recall;

    assert_int_equal(checkpoint(f, r, 1, 100, 0.75), 1);
    assert_int_equal(checkpoint(f, r, 2, 200, (double)NAN), 2);
    history_fixture_reopen(f);
    assert_int_equal(store_feed_seq(f->store), 2);
    again = record_open("a", "w1", 1, RESUME_ALLOW);
    assert_int_equal(apply(f->store, again), 0);
    assert_false(again->opened.created);
    assert_int_equal(again->opened.run_key, r->opened.run_key);
    assert_int_equal(again->opened.attempt, 1);
    assert_int_equal(again->opened.last_seq, 2);
    assert_true(again->opened.has_last_step);
    assert_int_equal(again->opened.last_step, 200);
    assert_int_equal(again->opened.n_layers, 1);
    assert_string_equal(again->opened.layers[0].name, "head");
    assert_int_equal(again->opened.layers[0].p, 128);
    assert_int_equal(again->opened.layers[0].c, 10);
    assert_int_equal(again->opened.layers[0].batch_seq, 8);
    assert_int_equal(again->opened.layers[0].rows_offered, 2048);
    assert_int_equal(again->opened.layers[0].rows_thinned, 2 * 77);
    recall = record_of(again, RECORD_RECALL, 1, 100);
    assert_int_equal(apply(f->store, recall), 0);
    assert_int_equal(recall->n_points, 1);
    assert_string_equal(recall->points[0].layer, "head");
    assert_int_equal(recall->points[0].feed_seq, 1);
    assert_int_equal(recall->points[0].point.step, 100);
    assert_int_equal(recall->points[0].point.p, 128);
    assert_int_equal(recall->points[0].point.rank, 9);
    assert_true(recall->points[0].point.time == 1764000100.5);
    assert_true(recall->points[0].point.value[METRIC_D_LR] == 0.75);
    recall->step = 200;
    assert_int_equal(apply(f->store, recall), 0);
    assert_true(isnan(recall->points[0].point.value[METRIC_D_LR]));
    record_free(recall);
    record_free(again);
    record_free(r);
}

static void a_checkpoint_sent_twice_is_stored_once(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *twice = record_of(r, RECORD_CHECKPOINT, 1, 100);

    checkpoint(f, r, 1, 100, 0.75);
    record_add_point(twice, "head", 0.25); /* other content: the first one counts */
    record_add_point(twice, "tail", 0.25);
    assert_int_equal(apply(f->store, twice), 0);
    assert_int_equal(twice->n_points, 1);
    assert_true(twice->points[0].point.value[METRIC_D_LR] == 0.75);
    assert_int_equal(twice->points[0].feed_seq, 1);
    assert_int_equal(store_feed_seq(f->store), 1);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point"), 1);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM layer"), 1);
    record_free(twice);
    record_free(r);
}

static void a_later_checkpoint_of_a_step_replaces_the_point(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    checkpoint(f, r, 1, 100, 0.75);
    assert_int_equal(checkpoint(f, r, 2, 100, 0.5), 2);
    assert_true(read_sql(f->path, "SELECT d_lr FROM point") == 0.5);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point"), 1);
    assert_int_equal(read_sql(f->path, "SELECT feed_seq FROM point"), 2);
    assert_int_equal(read_sql(f->path, "SELECT n_points FROM run"), 1);
    assert_int_equal(read_sql(f->path, "SELECT n_points FROM layer"), 1);
    record_free(r);
}

static void a_spectrum_that_follows_completes_its_point_alone(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "run", "w"), *later = record_of(r, RECORD_SPECTRUM, 0, 10);
    uint64_t seq = checkpoint(f, r, 1, 10, 0.5);

    record_add_spectrum(record_add_point(later, "head", 0.5));
    later->points[0].batch_seq = 99;
    assert_int_equal(apply(f->store, later), 0);
    assert_true(later->points[0].feed_seq > seq);
    record_free(later);
    history_fixture_reopen(f);
    assert_true(read_sql(f->path, "SELECT count(*) FROM point") == 1);
    assert_true(read_sql(f->path, "SELECT step FROM spectrum") == 10);
    assert_true(read_sql(f->path, "SELECT count(*) FROM total WHERE batch_seq = 99") == 0);
    assert_true(read_sql(f->path, "SELECT n_points FROM run") == 1);
    assert_true(read_sql(f->path, "SELECT last_seq FROM attempt") == 1);
    record_free(r);
}

static void a_log_sent_twice_is_stored_once(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *log = record_of(r, RECORD_LOG, 1, 7);

    record_add_scalar(log, "loss", 0.5);
    record_add_scalar(log, "acc", (double)NAN);
    assert_int_equal(apply(f->store, log), 0);
    assert_int_equal(log->scalar_feed_seqs[0], 1);
    assert_int_equal(log->scalar_feed_seqs[1], 2);
    log->scalars[0].value = 9;
    assert_int_equal(apply(f->store, log), 0);
    assert_int_equal(log->scalar_feed_seqs[0], 0);
    assert_int_equal(log->scalar_feed_seqs[1], 0);
    assert_int_equal(store_feed_seq(f->store), 2);
    assert_true(read_sql(f->path, "SELECT value FROM scalar JOIN scalar_name USING(name_key)"
                                  " WHERE name = 'loss'") == 0.5);
    assert_true(isnan(read_sql(f->path, "SELECT value FROM scalar JOIN scalar_name"
                                        " USING(name_key) WHERE name = 'acc'")));
    record_free(log);
    record_free(r);
}

static void resume_policies_are_kept(void **state)
{
    struct history_fixture *f = *state;
    struct record *r;

    expect_open(f, "w1", 0, RESUME_MUST, -ENOENT);
    expect_open(f, "w1", 3, RESUME_ALLOW, -ENOENT);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM run"), 0);
    expect_open(f, "w1", 0, RESUME_NEVER, 0);
    expect_open(f, "w2", 0, RESUME_NEVER, -EEXIST);
    expect_open(f, "w2", 0, RESUME_MUST, 0);
    r = record_open("a", "w3", 0, RESUME_ALLOW);
    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(r->opened.attempt, 3);
    assert_false(r->opened.created);
    expect_open(f, "w3", 4, RESUME_ALLOW, -ENOENT);
    record_free(r);
}

/* The welcome was lost: the trainer opens again and must neither be refused nor fence itself. */
static void an_open_sent_twice_is_one_attempt(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = record_open("a", "w1", 0, RESUME_NEVER);

    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(apply(f->store, r), 0);
    assert_int_equal(r->opened.attempt, 1);
    assert_true(r->opened.created);
    checkpoint(f, r, 1, 1, 0.5);
    assert_int_equal(apply(f->store, r), -EEXIST);
    record_free(r);
}

static void another_writer_does_not_get_a_held_attempt(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *other = record_open("a", "w2", 1, RESUME_ALLOW);

    assert_int_equal(apply(f->store, other), -EBUSY);
    assert_non_null(strstr(other->error, "w1"));
    expect_open(f, "w1", 1, RESUME_ALLOW, 0);
    record_free(other);
    record_free(r);
}

static void a_newer_attempt_fences_the_older_one(void **state)
{
    struct history_fixture *f = *state;
    struct record *old = open_run(f, "a", "w1"), *new, *r;
    enum record_kind kinds[] = {RECORD_CHECKPOINT, RECORD_LOG, RECORD_CLOSE, RECORD_LOST};

    checkpoint(f, old, 1, 100, 0.5);
    new = open_run(f, "a", "w2");
    assert_int_equal(new->opened.attempt, 2);
    assert_int_equal(new->opened.n_layers, 1);
    assert_int_equal(new->opened.layers[0].rows_offered, 0);
    assert_int_equal(new->opened.layers[0].batch_seq, 0);
    assert_int_equal(new->opened.layers[0].p, 128);
    assert_int_equal(read_sql(f->path, "SELECT state FROM attempt WHERE attempt = 1"), STATE_LOST);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        r = record_of(old, kinds[i], 1, 100);
        assert_int_equal(apply(f->store, r), -ESTALE);
        record_free(r);
    }
    expect_open(f, "w1", 1, RESUME_ALLOW, -ESTALE);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_OPEN);
    record_free(new);
    record_free(old);
}

static struct record *open_replay(struct history_fixture *f, const char *writer, uint32_t attempt)
{
    struct record *r = record_open("a", writer, attempt, RESUME_ALLOW);

    r->open.is_replay = true;
    assert_int_equal(apply(f->store, r), 0);
    return r;
}

static void summarise(struct history_fixture *f, const struct record *opened, uint64_t seq,
                      const char *text)
{
    struct record *r = record_of(opened, RECORD_SUMMARY, seq, 0);

    r->constants = strdup(text);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

/* A requeued job was welcomed, lost its daemon and kept the rest, and a later attempt went on. */
static void a_replay_goes_on_with_an_older_attempt(void **state)
{
    struct history_fixture *f = *state;
    struct record *old = open_run(f, "a", "w1"), *new, *replay, *r;

    checkpoint(f, old, 1, 100, 0.5);
    new = open_run(f, "a", "w2");
    checkpoint(f, new, 1, 300, 0.25);
    summarise(f, new, 2, "{\"best\":2}");
    replay = open_replay(f, "w1", 1);
    assert_int_equal(replay->opened.attempt, 1);
    assert_true(replay->opened.is_older);
    assert_int_equal(replay->opened.last_seq, 1);
    checkpoint(f, replay, 2, 200, 0.4);
    checkpoint(f, replay, 3, 400, 0.4);
    summarise(f, replay, 4, "{\"best\":1,\"first\":1}");
    checkpoint(f, new, 3, 500, 0.2);
    r = record_of(replay, RECORD_CLOSE, 5, 0);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);

    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point WHERE attempt = 1"), 3);
    assert_int_equal(read_sql(f->path, "SELECT state FROM attempt WHERE attempt = 1"),
                     STATE_FINISHED);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_OPEN);
    assert_int_equal(read_sql(f->path, "SELECT attempt FROM run"), 2);
    assert_int_equal(read_sql(f->path, "SELECT last_step FROM run"), 500);
    assert_int_equal(read_sql(f->path, "SELECT last_attempt FROM layer"), 2);
    assert_int_equal(read_sql(f->path, "SELECT last_step FROM layer"), 500);
    assert_int_equal(read_sql(f->path, "SELECT json_extract(summary, '$.best') FROM run_summary"),
                     2);
    assert_int_equal(read_sql(f->path, "SELECT json_extract(summary, '$.first') FROM run_summary"),
                     1);

    record_free(replay); /* and once more: nothing is doubled, and its own trainer stays out */
    replay = open_replay(f, "w1", 1);
    assert_int_equal(replay->opened.last_seq, 5);
    checkpoint(f, replay, 3, 400, 0.9);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point WHERE d_lr = 0.9"), 0);
    r = record_of(replay, RECORD_LOG, 6, 1);
    assert_int_equal(apply(f->store, r), -ESTALE);
    record_free(r);
    expect_open(f, "w1", 1, RESUME_ALLOW, -ESTALE);
    record_free(replay);
    record_free(new);
    record_free(old);
}

static void a_refused_record_does_not_hinder_the_others(void **state)
{
    struct history_fixture *f = *state;
    struct record *a = open_run(f, "a", "w1"), *b = open_run(f, "b", "w1");
    struct record *batch[4] = {
        record_of(a, RECORD_CHECKPOINT, 1, 10),
        record_of(a, RECORD_LOG, 2, 10),
        record_of(b, RECORD_CHECKPOINT, 1, 10),
        record_open("a", "w2", 0, RESUME_NEVER),
    };

    batch[1]->attempt = 9;
    record_add_point(batch[0], "head", 0.5);
    record_add_point(batch[2], "head", 0.5);
    assert_int_equal(apply_many(f->store, batch, 4), 0);
    assert_int_equal(batch[0]->rc, 0);
    assert_int_equal(batch[1]->rc, -ENOENT);
    assert_int_equal(batch[2]->rc, 0);
    assert_int_equal(batch[3]->rc, -EEXIST);
    assert_int_equal(batch[2]->points[0].feed_seq, 2);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM layer"), 2);
    for (int i = 0; i < 4; i++)
        record_free(batch[i]);
    record_free(b);
    record_free(a);
}

static void totals_of_a_layer_without_rows_are_kept(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *again;
    struct record *c = record_of(r, RECORD_CHECKPOINT, 1, 10);

    record_add_point(c, "head", 0.5)->measured = false;
    c->points[0].point.p = c->points[0].point.c = 0;
    assert_int_equal(apply(f->store, c), 0);
    assert_int_equal(store_feed_seq(f->store), 0);
    again = record_open("a", "w1", 1, RESUME_ALLOW);
    assert_int_equal(apply(f->store, again), 0);
    assert_int_equal(again->opened.layers[0].p, 0);
    assert_int_equal(again->opened.layers[0].rows_offered, 1024);
    assert_int_equal(again->opened.last_step, 10);
    checkpoint(f, r, 2, 20, 0.5);
    assert_int_equal(apply(f->store, again), 0);
    assert_int_equal(again->opened.n_layers, 1);
    assert_int_equal(again->opened.layers[0].p, 128);
    record_free(again);
    record_free(c);
    record_free(r);
}

static void the_first_step_of_an_attempt_is_set_once(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *log = record_of(r, RECORD_LOG, 1, 50);

    assert_true(isnan(read_sql(f->path, "SELECT first_step FROM attempt")));
    record_add_scalar(log, "loss", 1);
    assert_int_equal(apply(f->store, log), 0);
    checkpoint(f, r, 2, 60, 0.5);
    assert_int_equal(read_sql(f->path, "SELECT first_step FROM attempt"), 50);
    record_free(log);
    record_free(r);
}

static void a_closed_run_stays_closed(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *close = record_of(r, RECORD_CLOSE, 1, 0);
    struct record *lost = record_of(r, RECORD_LOST, 0, 0);

    close->failed = true;
    assert_int_equal(apply(f->store, close), 0);
    assert_int_equal(apply(f->store, lost), 0);
    expect_open(f, "w1", 1, RESUME_ALLOW, 0); /* to have the close acknowledged again */
    assert_int_equal(apply(f->store, close), 0);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_FAILED);
    assert_int_equal(read_sql(f->path, "SELECT state FROM attempt"), STATE_FAILED);
    record_free(lost);
    record_free(close);
    record_free(r);
}

static void a_lost_run_is_open_when_its_trainer_is_back(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    struct record *lost = record_of(r, RECORD_LOST, 0, 0);

    assert_int_equal(apply(f->store, lost), 0);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_LOST);
    expect_open(f, "w1", 1, RESUME_ALLOW, 0);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_OPEN);
    assert_true(isnan(read_sql(f->path, "SELECT closed FROM attempt")));
    history_fixture_reopen(f);
    assert_int_equal(read_sql(f->path, "SELECT state FROM run"), STATE_LOST);
    record_free(lost);
    record_free(r);
}

static void a_measure_that_is_new_gets_its_column(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    checkpoint(f, r, 1, 100, 0.5);
    store_close(f->store);
    f->store = NULL;
    run_sql(f->path, "ALTER TABLE point DROP COLUMN pr");
    history_fixture_reopen(f);
    assert_true(isnan(read_sql(f->path, "SELECT pr FROM point WHERE step = 100")));
    checkpoint(f, r, 2, 200, 0.5);
    assert_true(read_sql(f->path, "SELECT pr FROM point WHERE step = 200") == 0.125);
    assert_true(read_sql(f->path, "SELECT d_lr FROM point WHERE step = 100") == 0.5);
    record_free(r);
}

static void a_member_of_a_point_that_is_new_gets_its_column(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    checkpoint(f, r, 1, 100, 0.5);
    store_close(f->store);
    f->store = NULL;
    run_sql(f->path,
            "ALTER TABLE point DROP COLUMN rows_from; ALTER TABLE point DROP COLUMN rows_to");
    history_fixture_reopen(f);
    assert_int_equal(read_sql(f->path,
                              "SELECT count(*) FROM pragma_table_info('point')"
                              " WHERE name IN ('rows_from', 'rows_to') AND type = 'INTEGER'"),
                     2);
    assert_true(isnan(read_sql(f->path, "SELECT rows_to FROM point WHERE step = 100")));
    checkpoint(f, r, 2, 200, 0.5);
    assert_int_equal(read_sql(f->path, "SELECT rows_from FROM point WHERE step = 200"), 199);
    assert_int_equal(read_sql(f->path, "SELECT rows_to FROM point WHERE step = 200"), 200);
    record_free(r);
}

/* Values of a probe of three rows, each its own. */
static struct probe small_probe(double *values, double scale)
{
    static const double one[] = {1, 2, 3, 2, 4, -5, 3, -5, 6e-300, 7, 8, 9, 1.0 / 3};

    for (size_t i = 0; i < 13; i++)
        values[i] = scale * one[i];
    return (struct probe){.n = 3, .values = values};
}

/* Stores a checkpoint whose point made the probe. */
static void checkpoint_with_probe(struct history_fixture *f, const struct record *opened,
                                  uint64_t seq, const struct probe *probe)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, 100 * (int64_t)seq);

    assert_int_equal(probe_copy(&record_add_point(r, "head", 0.5)->probe, probe), 0);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static struct record *open_probe(struct history_fixture *f, uint32_t attempt, bool wanted, int rc)
{
    struct record *r = record_open("a", "w1", attempt, RESUME_ALLOW);

    r->open.probe_bytes = wanted ? 1 << 20 : 0;
    assert_int_equal(apply(f->store, r), rc);
    return r;
}

static void the_first_probe_comes_back_bit_for_bit_and_is_never_replaced(void **state)
{
    struct history_fixture *f = *state;
    double first[13], other[13];
    struct probe probe = small_probe(first, 1), later = small_probe(other, 2);
    struct record *r = open_probe(f, 0, true, 0), *again;

    checkpoint(f, r, 1, 50, 0.5);
    checkpoint_with_probe(f, r, 2, &probe);
    checkpoint_with_probe(f, r, 3, &later);
    history_fixture_reopen(f);
    again = open_probe(f, 1, true, 0);
    assert_int_equal(again->opened.n_layers, 1);
    assert_int_equal(again->opened.layers[0].probe.n, 3);
    assert_memory_equal(again->opened.layers[0].probe.values, first, sizeof first);
    record_free(again);
    again = open_probe(f, 0, true, 0);
    assert_int_equal(again->opened.attempt, 2);
    assert_memory_equal(again->opened.layers[0].probe.values, first, sizeof first);
    record_free(again);
    again = open_probe(f, 2, false, 0);
    assert_null(again->opened.layers[0].probe.values);
    record_free(again);
    record_free(r);
}

static void probes_that_find_no_room_refuse_their_run_alone(void **state)
{
    struct history_fixture *f = *state;
    double values[13];
    struct probe probe = small_probe(values, 1);
    struct record *r = open_probe(f, 0, true, 0);
    struct record *both[] = {record_open("a", "w2", 0, RESUME_ALLOW),
                             record_open("b", "w3", 0, RESUME_ALLOW)};

    checkpoint_with_probe(f, r, 1, &probe);
    both[0]->open.probe_bytes = sizeof values - 1;
    assert_int_equal(apply_many(f->store, both, 2), 0);
    assert_int_equal(both[0]->rc, -ENOMEM);
    assert_int_equal(both[1]->rc, 0);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM attempt WHERE writer = 'w2'"), 0);
    both[0]->open.probe_bytes = sizeof values;
    assert_int_equal(apply(f->store, both[0]), 0);
    assert_memory_equal(both[0]->opened.layers[0].probe.values, values, sizeof values);
    record_free(both[0]);
    record_free(both[1]);
    record_free(r);
}

static void a_damaged_probe_fails_the_open_with_its_reason(void **state)
{
    static const char *const damages[] = {
        "UPDATE probe SET n_rows = 4",
        "UPDATE probe SET n_rows = 0",
        "UPDATE probe SET n_rows = -1",
        "UPDATE probe SET data = x''",
    };
    struct history_fixture *f = *state;
    double values[13];
    struct probe probe = small_probe(values, 1);
    struct record *r = open_probe(f, 0, true, 0), *again;

    checkpoint_with_probe(f, r, 1, &probe);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        run_sql(f->path, damages[i]);
        again = open_probe(f, 1, true, -EUCLEAN);
        assert_int_equal(again->rc, -EIO);
        assert_non_null(strstr(again->error, "probe"));
        record_free(again);
    }
    record_free(open_probe(f, 1, false, 0));
    record_free(r);
}

/* Stores a checkpoint whose point has a representation of four rows. */
static void checkpoint_with_rows(struct history_fixture *f, const struct record *opened,
                                 uint64_t seq, int64_t step)
{
    struct record *r = record_of(opened, RECORD_CHECKPOINT, seq, step);
    struct layer_point *point = record_add_point(r, "head", 0.5);

    assert_int_equal(representation_alloc(&point->representation, 4), 0);
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static void a_layer_keeps_its_first_newest_and_every_sth_representation(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    for (int i = 0; i < 300; i++) {
        checkpoint_with_rows(f, r, (uint64_t)i + 1, 10 * i);
        assert_true(read_sql(f->path, "SELECT count(*) FROM representation") <= 33);
        assert_int_equal(read_sql(f->path, "SELECT max(step) FROM representation"), 10 * i);
        if (i == 31)
            assert_int_equal(read_sql(f->path, "SELECT count(*) FROM representation"), 32);
    }
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM representation"), 20);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM representation"
                                       " WHERE step % 160 = 0 OR step = 2990"),
                     20);
    checkpoint(f, r, 301, 3000, 0.5);
    assert_int_equal(read_sql(f->path, "SELECT max(step) FROM representation"), 2990);
    record_free(r);
}

static void expect_refused(struct history_fixture *f, int rc, const char *text)
{
    struct err e = {0};

    store_close(f->store);
    f->store = NULL;
    assert_int_equal(store_open(f->path, &f->store, &e), rc);
    assert_null(f->store);
    if (!strstr(e.text, text))
        fail_msg("\"%s\" does not say \"%s\"", e.text, text);
    assert_non_null(strstr(e.text, f->path));
}

#define NO_MEMBERS                                                                                 \
    "DROP TABLE relayed; DROP TABLE relayed_run; DROP TABLE source; DROP TABLE pulled;"            \
    "DROP TABLE saved_view; ALTER TABLE attempt DROP COLUMN host;"                                 \
    "DROP INDEX run_by_hidden; ALTER TABLE run DROP COLUMN revision;"                              \
    "DROP TABLE run_note; ALTER TABLE run DROP COLUMN hidden; ALTER TABLE run DROP COLUMN edited;" \
    "DROP TABLE tombstone; DROP TABLE leaving; ALTER TABLE state DROP COLUMN gone_key;"            \
    "DROP TABLE block; ALTER TABLE scalar_name DROP COLUMN n_put;"                                 \
    "ALTER TABLE state DROP COLUMN in_use; DROP TABLE member; DROP TABLE member_total;"            \
    "ALTER TABLE attempt DROP COLUMN launch;"                                                      \
    "ALTER TABLE attempt DROP COLUMN world; ALTER TABLE attempt DROP COLUMN last_step;"

static void a_history_of_version_1_gets_the_tables_of_later_ones(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *later;

    assert_int_equal(checkpoint(f, r, 1, 100, 0.75), 1);
    store_close(f->store);
    f->store = NULL;
    run_sql(f->path,
            "DROP TABLE finding; DROP TABLE spectrum; DROP TABLE probe; DROP TABLE watched;"
            "DROP TABLE representation; DROP TABLE run_summary;" NO_MEMBERS
            "ALTER TABLE run_config DROP COLUMN updates;"
            "ALTER TABLE point DROP COLUMN rows_from;"
            "ALTER TABLE point DROP COLUMN rows_to; ALTER TABLE total DROP COLUMN rows_thinned;"
            "PRAGMA user_version = 1");
    history_fixture_reopen(f);
    assert_int_equal(read_sql(f->path, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point"), 1);
    later = record_of(r, RECORD_CHECKPOINT, 2, 200);
    record_add_finding(later, record_add_point(later, "head", 0.1), METRIC_D_LR, 110, 150);
    assert_int_equal(apply(f->store, later), 0);
    assert_int_equal(read_sql(f->path, "SELECT start_step FROM finding"), 110);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point WHERE rows_to IS NULL"), 1);
    assert_int_equal(read_sql(f->path, "SELECT rows_to FROM point WHERE step = 200"), 200);
    record_free(later);
    record_free(r);
}

#define OLD_FINDING                                                                                \
    NO_MEMBERS                                                                                     \
    "DROP TABLE run_summary; ALTER TABLE run_config DROP COLUMN updates;"                          \
    "DROP TABLE representation; DROP TABLE watched; DROP TABLE finding; CREATE TABLE "             \
    "finding(layer_key INTEGER NOT NULL, "                                                         \
    "attempt INTEGER NOT"                                                                          \
    " NULL, step INTEGER NOT NULL, metric TEXT NOT NULL, time REAL, direction INTEGER NOT NULL,"   \
    " start_step INTEGER NOT NULL, end_step INTEGER NOT NULL, level_from REAL, level_to REAL,"     \
    " confidence REAL, agrees INTEGER NOT NULL, accuracy TEXT, accuracy_from REAL,"                \
    " accuracy_to REAL, feed_seq INTEGER NOT NULL, PRIMARY KEY(layer_key, attempt, step, metric))" \
    " WITHOUT ROWID;"

static void findings_of_version_5_are_kept(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");

    assert_int_equal(checkpoint(f, r, 1, 100, 0.75), 1);
    store_close(f->store);
    f->store = NULL;
    run_sql(f->path, OLD_FINDING "INSERT INTO finding VALUES(1, 1, 100, 'pr', 1.5, 1, 40, 60, 0.5,"
                                 " 0.75, 0.99, 2, 'val_acc', 0.25, 0.5, 1);"
                                 "ALTER TABLE total DROP COLUMN rows_thinned;"
                                 "PRAGMA user_version = 5");
    history_fixture_reopen(f);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM finding WHERE run_key = 1"
                                       " AND layer_key = 1 AND attempt = 1 AND step = 100"
                                       " AND metric = 'pr' AND time = 1.5 AND direction = 1"
                                       " AND start_step = 40 AND end_step = 60"
                                       " AND level_from = 0.5 AND level_to = 0.75"
                                       " AND n_from IS NULL AND returned IS NULL AND agrees = 2"
                                       " AND accuracy = 'val_acc' AND accuracy_from = 0.25"
                                       " AND accuracy_to = 0.5 AND feed_seq = 1"),
                     1);
    record_free(r);
}

/* The point at step 200 finds that what step 100 completed has returned. */
static void a_return_is_written_into_the_event_s_row(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *back, *unknown;
    struct record *first = record_of(r, RECORD_CHECKPOINT, 1, 100);

    record_add_finding(first, record_add_point(first, "head", 0.1), METRIC_D_LR, 40, 60);
    assert_int_equal(apply(f->store, first), 0);
    assert_int_equal(first->points[0].findings[0].feed_seq, 2);
    back = record_of(r, RECORD_CHECKPOINT, 2, 200);
    record_add_finding(back, record_add_point(back, "head", 0.5), METRIC_D_LR, 40, 60);
    back->points[0].findings[0].step = 100;
    back->points[0].findings[0].transition.returned = 180;
    assert_int_equal(apply(f->store, back), 0);
    assert_int_equal(back->points[0].findings[0].feed_seq, 4);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM finding"), 1);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM finding WHERE step = 100 AND"
                                       " returned = 180 AND returned_attempt = 1 AND feed_seq = 4"),
                     1);
    /* what was never told is not told now */
    unknown = record_of(r, RECORD_CHECKPOINT, 3, 300);
    record_add_finding(unknown, record_add_point(unknown, "head", 0.5), METRIC_PR, 40, 60);
    unknown->points[0].findings[0].step = 100;
    unknown->points[0].findings[0].transition.returned = 280;
    assert_int_equal(apply(f->store, unknown), 0);
    assert_int_equal(unknown->points[0].findings[0].feed_seq, 0);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM finding"), 1);
    record_free(unknown);
    record_free(back);
    record_free(first);
    record_free(r);
}

static void a_newer_schema_is_refused_naming_both_versions(void **state)
{
    struct history_fixture *f = *state;

    char newest[32];

    snprintf(newest, sizeof newest, "up to version %d", STORE_SCHEMA_VERSION);
    run_sql(f->path, "PRAGMA user_version = 1000");
    expect_refused(f, -ENOTSUP, "version 1000");
    expect_refused(f, -ENOTSUP, newest);
    assert_int_equal(read_sql(f->path, "PRAGMA user_version"), 1000);
}

static void another_programs_database_is_left_alone(void **state)
{
    struct history_fixture *f = *state;

    store_close(f->store);
    f->store = NULL;
    unlink(f->path);
    run_sql(f->path, "CREATE TABLE bookmark(url TEXT)");
    expect_refused(f, -EINVAL, "another program");
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void a_path_that_cannot_be_opened_is_named(void **state)
{
    struct history_fixture *f = *state;

    snprintf(f->path, sizeof f->path, "/nonexistent/history.db");
    expect_refused(f, -EIO, "unable to open");
}

/* Overwrites every page but the first `keep` bytes. */
static void damage(const char *path, long keep)
{
    FILE *file = fopen(path, "r+");
    struct stat st;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    fseek(file, keep, SEEK_SET);
    for (long i = keep; i < st.st_size; i++)
        fputc(0xA5, file);
    fclose(file);
}

static void a_damaged_file_is_told_and_set_aside(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1");
    char aside[300];
    struct err e;

    record_free(r);
    store_close(f->store);
    f->store = NULL;
    damage(f->path, 4096);
    expect_refused(f, -EUCLEAN, "malformed");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), 0);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_int_equal(access(aside, F_OK), 0);
    history_fixture_reopen(f);
    assert_int_equal(store_feed_seq(f->store), 0);
    store_close(f->store);
    f->store = NULL;
    damage(f->path, 0);
    expect_refused(f, -EUCLEAN, "not a database");
    assert_int_equal(store_set_aside(f->path, aside, sizeof aside, &e), 0);
    assert_non_null(strstr(aside, "damaged-2"));
}

static void a_truncated_file_is_told(void **state)
{
    struct history_fixture *f = *state;

    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate(f->path, 3 * 4096), 0);
    expect_refused(f, -EUCLEAN, "malformed");
}

static void limit_file_size(rlim_t size)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void no_record_tries_whether_the_disk_takes_a_page(void **state)
{
    struct history_fixture *f = *state;
    double version = read_sql(f->path, "PRAGMA user_version");
    char wal[300];
    struct stat st;

    snprintf(wal, sizeof wal, "%s-wal", f->path);
    record_free(open_run(f, "a", "w1"));
    assert_int_equal(stat(wal, &st), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size((rlim_t)st.st_size + 100);
    assert_int_equal(apply_many(f->store, NULL, 0), -ENOSPC);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(apply_many(f->store, NULL, 0), 0);
    assert_true(read_sql(f->path, "PRAGMA user_version") == version);
}

static void a_full_disk_refuses_all_and_heals(void **state)
{
    struct history_fixture *f = *state;
    struct record *a = open_run(f, "a", "w1"), *b = open_run(f, "b", "w1");
    struct record *batch[2] = {record_of(a, RECORD_CHECKPOINT, 1, 10),
                               record_of(b, RECORD_LOG, 1, 10)};
    char wal[300];
    struct stat st;
    int rc;

    record_add_point(batch[0], "head", 0.5);
    record_add_scalar(batch[1], "loss", 0.5);
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(stat(wal, &st), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size((rlim_t)st.st_size + 5000); /* room for one frame, not for the commit */
    rc = apply_many(f->store, batch, 2);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(rc, -ENOSPC);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(batch[i]->rc, -ENOSPC);
        assert_true(batch[i]->error[0] != '\0');
    }
    assert_int_equal(store_feed_seq(f->store), 0);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point"), 0);
    assert_int_equal(apply_many(f->store, batch, 2), 0);
    assert_int_equal(batch[0]->rc, 0);
    assert_int_equal(batch[0]->points[0].feed_seq, 1);
    assert_int_equal(batch[1]->scalar_feed_seqs[0], 2);
    history_fixture_reopen(f);
    assert_int_equal(store_feed_seq(f->store), 2);
    record_free(batch[0]);
    record_free(batch[1]);
    record_free(b);
    record_free(a);
}

static void a_lock_of_another_process_refuses_all_and_heals(void **state)
{
    struct history_fixture *f = *state;
    struct record *opened = open_run(f, "a", "w");
    struct record *log = record_of(opened, RECORD_LOG, 1, 10);
    sqlite3 *other;

    record_add_scalar(log, "loss", 0.5);
    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(apply(f->store, log), -EAGAIN);
    assert_true(record_may_come_again(log->rc));
    assert_non_null(strstr(log->error, "locked"));
    sqlite3_close(other);
    assert_int_equal(apply(f->store, log), 0);
    assert_int_equal(log->scalar_feed_seqs[0], 1);
    record_free(log);
    record_free(opened);
}

static void counters_count_what_was_written(void **state)
{
    struct history_fixture *f = *state;
    struct record *r = open_run(f, "a", "w1"), *recall;

    assert_int_equal(store_commits(f->store), 1);
    checkpoint(f, r, 1, 10, 0.5);
    checkpoint(f, r, 2, 20, 0.5);
    recall = record_of(r, RECORD_RECALL, 1, 10);
    assert_int_equal(apply(f->store, recall), 0);
    assert_int_equal(store_commits(f->store), 3);
    assert_int_equal(read_sql(f->path, "SELECT count(*) FROM point"), 2);
    record_free(recall);
    record_free(r);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, history_fixture_set_up, history_fixture_tear_down)

/* ---- what a person writes ---------------------------------------------------------------------
 */

static char *text_of(struct history_fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    char *text;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    text = strdup(sqlite3_step(statement) == SQLITE_ROW
                      ? (const char *)sqlite3_column_text(statement, 0)
                      : "no row");
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return text;
}

static void expect_sql(struct history_fixture *f, const char *sql, const char *expected)
{
    char *text = text_of(f, sql);

    assert_string_equal(text, expected);
    free(text);
}

static void an_opening_does_not_undo_what_a_person_wrote(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = record_open("a", "w1", 0, RESUME_ALLOW),
                  *again = record_open("a", "w2", 0, RESUME_ALLOW),
                  *untouched = record_open("b", "w1", 0, RESUME_ALLOW),
                  *renamed = record_open("b", "w2", 0, RESUME_ALLOW);
    struct run_edit edit = {
        .name = "mine", .note = "why", .tags = "[\"x\"]", .has_hidden = true, .hidden = true};

    first->open.name = strdup("theirs");
    again->open.name = strdup("newer");
    again->open.tags = strdup("[\"y\"]");
    renamed->open.name = strdup("newer");
    assert_int_equal(apply(f->store, first), 0);
    assert_int_equal(apply(f->store, untouched), 0);
    edit.run_key = first->opened.run_key;
    assert_int_equal(store_edit_run(f->store, &edit, NULL), 0);
    assert_int_equal(apply(f->store, again), 0);
    assert_int_equal(apply(f->store, renamed), 0);
    expect_sql(f,
               "SELECT name || tags || hidden || note FROM run JOIN run_note USING(run_key)"
               " WHERE id = 'a'",
               "mine[\"x\"]1why");
    expect_sql(f, "SELECT name FROM run WHERE id = 'b'", "newer");

    edit = (struct run_edit){.run_key = edit.run_key, .note = ""};
    assert_int_equal(store_edit_run(f->store, &edit, NULL), 0);
    expect_sql(f, "SELECT name || hidden || note FROM run JOIN run_note USING(run_key)", "mine1");
    record_free(first);
    record_free(again);
    record_free(untouched);
    record_free(renamed);
}

static void an_edit_of_a_run_that_is_gone_is_told(void **state)
{
    struct history_fixture *f = *state;
    struct run_edit edit = {.run_key = 7, .note = "why"};
    struct err e;

    assert_int_equal(store_edit_run(f->store, &edit, &e), -ENOENT);
    expect_sql(f, "SELECT count(*) FROM run_note", "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_created_with_defaults),
        TEST(an_attempt_opened_again_goes_on_looking),
        TEST(a_new_attempt_goes_on_where_it_takes_over),
        TEST(what_a_newer_attempt_supersedes_stays_out_of_all_later_ones),
        TEST(scalars_have_a_past_too),
        TEST(a_return_is_written_into_the_event_s_row),
        TEST(findings_of_version_5_are_kept),
        TEST(constants_are_merged_by_their_names),
        TEST(constants_are_kept_over_attempts),
        TEST(constants_that_grow_too_large_are_refused_alone),
        TEST(an_implied_step_begins_no_attempt),
        TEST(what_was_committed_is_there_after_reopening),
        TEST(a_checkpoint_sent_twice_is_stored_once),
        TEST(a_later_checkpoint_of_a_step_replaces_the_point),
        TEST(a_spectrum_that_follows_completes_its_point_alone),
        TEST(a_log_sent_twice_is_stored_once),
        TEST(resume_policies_are_kept),
        TEST(an_open_sent_twice_is_one_attempt),
        TEST(another_writer_does_not_get_a_held_attempt),
        TEST(a_newer_attempt_fences_the_older_one),
        TEST(a_replay_goes_on_with_an_older_attempt),
        TEST(a_refused_record_does_not_hinder_the_others),
        TEST(totals_of_a_layer_without_rows_are_kept),
        TEST(the_first_step_of_an_attempt_is_set_once),
        TEST(a_closed_run_stays_closed),
        TEST(a_lost_run_is_open_when_its_trainer_is_back),
        TEST(a_measure_that_is_new_gets_its_column),
        TEST(a_member_of_a_point_that_is_new_gets_its_column),
        TEST(the_first_probe_comes_back_bit_for_bit_and_is_never_replaced),
        TEST(probes_that_find_no_room_refuse_their_run_alone),
        TEST(a_damaged_probe_fails_the_open_with_its_reason),
        TEST(a_layer_keeps_its_first_newest_and_every_sth_representation),
        TEST(a_history_of_version_1_gets_the_tables_of_later_ones),
        TEST(a_newer_schema_is_refused_naming_both_versions),
        TEST(another_programs_database_is_left_alone),
        TEST(a_path_that_cannot_be_opened_is_named),
        TEST(a_damaged_file_is_told_and_set_aside),
        TEST(a_truncated_file_is_told),
        TEST(no_record_tries_whether_the_disk_takes_a_page),
        TEST(a_full_disk_refuses_all_and_heals),
        TEST(a_lock_of_another_process_refuses_all_and_heals),
        TEST(an_opening_does_not_undo_what_a_person_wrote),
        TEST(an_edit_of_a_run_that_is_gone_is_told),
        TEST(counters_count_what_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
