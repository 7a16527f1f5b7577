#include "tests/lib/cmocka.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/store.h"
#include "proto/base/state.h"
#include "tests/lib/history_fixture.h"
#include "tests/lib/records.h"

/* OPEN by a rank of two, applied. */
static struct record *open_as(struct history_fixture *f, const char *launch, uint32_t rank,
                              const char *writer, int rc)
{
    struct record *r = record_open("job", writer, 0, RESUME_ALLOW);

    r->open.launch = strdup(launch);
    r->open.rank = rank;
    r->open.world = 2;
    assert_int_equal(apply(f->store, r), rc);
    return r;
}

/* A message of ranks 0..n-1, or of `rank` alone, in which each has number `seq`. */
static struct record *say(const struct record *opened, enum record_kind kind, uint32_t rank,
                          size_t n, uint64_t seq, int64_t step)
{
    struct record *r = record_of(opened, kind, seq, step);

    r->senders = calloc(n, sizeof *r->senders);
    r->n_senders = n;
    for (size_t i = 0; i < n; i++)
        r->senders[i] = (struct record_sender){.rank = rank + (uint32_t)i, .seq = seq};
    return r;
}

static void apply_and_free(struct history_fixture *f, struct record *r)
{
    assert_int_equal(apply(f->store, r), 0);
    record_free(r);
}

static void join(struct history_fixture *f, const struct record *opened, uint32_t rank,
                 const char *writer)
{
    struct record *r = say(opened, RECORD_JOIN, rank, 1, 0, 0);

    r->open.writer = strdup(writer);
    apply_and_free(f, r);
}

static void close_rank(struct history_fixture *f, const struct record *opened, uint32_t rank,
                       uint64_t seq, bool failed)
{
    struct record *r = say(opened, RECORD_CLOSE, rank, 1, seq, 0);

    r->failed = failed;
    apply_and_free(f, r);
}

/* Of both ranks: each has offered rows up to `rows`. */
static void checkpoint(struct history_fixture *f, const struct record *opened, uint64_t seq,
                       int64_t step, uint64_t rows)
{
    struct record *r = say(opened, RECORD_CHECKPOINT, 0, 2, seq, step);

    record_add_point(r, "head", 0.25);
    r->totals = calloc(2, sizeof *r->totals);
    r->n_totals = 2;
    for (uint32_t i = 0; i < 2; i++)
        r->totals[i] = (struct record_total){
            .rank = i, .batch_seq = seq, .rows_offered = rows + i, .rows_thinned = 7};
    apply_and_free(f, r);
}

static int read_state(const struct history_fixture *f)
{
    sqlite3_stmt *q;
    sqlite3 *db;
    int state;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT state FROM run", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    state = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return state;
}

static void each_rank_has_numbers_and_totals_of_its_own(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *again;

    join(f, first, 1, "w1");
    checkpoint(f, first, 1, 10, 100);
    apply_and_free(f, say(first, RECORD_LOG, 1, 1, 2, 11));
    history_fixture_reopen(f);
    again = open_as(f, "L", 1, "w1", 0);
    assert_int_equal(again->opened.attempt, 1);
    assert_int_equal(again->opened.last_seq, 2);
    assert_true(again->opened.has_cut);
    assert_int_equal(again->opened.cut_step, 10);
    assert_int_equal(again->opened.n_members, 2);
    assert_string_equal(again->opened.members[0].writer, "w0");
    assert_int_equal(again->opened.members[0].last_seq, 1);
    assert_int_equal(again->opened.members[1].last_step, 10);
    assert_int_equal(again->opened.n_totals, 2);
    assert_int_equal(again->opened.totals[1].member, 1);
    assert_int_equal(again->opened.totals[1].rows_offered, 101);
    assert_int_equal(again->opened.totals[1].rows_thinned, 7);
    assert_int_equal(again->opened.layers[0].rows_offered, 0); /* the totals are the members' */
    record_free(first);
    record_free(again);
}

static void another_writer_of_a_rank_begins_with_nothing(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *again;

    join(f, first, 1, "w1");
    checkpoint(f, first, 1, 10, 100);
    join(f, first, 1, "again");
    again = open_as(f, "L", 1, "again", 0);
    assert_int_equal(again->opened.last_seq, 0);
    assert_int_equal(again->opened.members[1].last_step, -1);
    assert_int_equal(again->opened.n_totals, 1);
    assert_int_equal(again->opened.cut_step, 10);
    record_free(first);
    record_free(again);
}

/* Only one who was welcomed to an attempt names it. */
static void a_writer_that_was_replaced_is_refused(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *old;

    join(f, first, 1, "w1");
    join(f, first, 1, "again");
    old = record_open("job", "w1", 1, RESUME_ALLOW);
    old->open.launch = strdup("L");
    old->open.rank = 1;
    old->open.world = 2;
    assert_int_equal(apply(f->store, old), -ESTALE);
    assert_non_null(strstr(old->error, "rank 1 of run job was started again"));
    record_free(old);
    old = open_as(f, "L", 0, "w0", 0);
    assert_string_equal(old->opened.members[1].writer, "again");
    record_free(first);
    record_free(old);
}

static void a_message_that_comes_twice_is_stored_once(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *log;
    uint64_t feed_seq;

    log = say(first, RECORD_LOG, 0, 1, 1, 5);
    record_add_scalar(log, "loss", 0.5);
    apply_and_free(f, log);
    feed_seq = store_feed_seq(f->store);
    log = say(first, RECORD_LOG, 0, 1, 1, 5);
    record_add_scalar(log, "loss", 0.5);
    apply_and_free(f, log);
    assert_int_equal(store_feed_seq(f->store), feed_seq);
    record_free(first);
}

/* The record has the number of the lowest rank, its first sender may be another. */
static void a_checkpoint_is_new_where_its_senders_numbers_are(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 1, "w1", 0), *r, *again;

    join(f, first, 0, "w0");
    apply_and_free(f, say(first, RECORD_LOG, 1, 1, 5, 1));
    r = say(first, RECORD_CHECKPOINT, 0, 2, 1, 10);
    r->senders[0] = (struct record_sender){.rank = 1, .seq = 6};
    r->senders[1] = (struct record_sender){.rank = 0, .seq = 1};
    record_add_point(r, "head", 0.25);
    apply_and_free(f, r);
    assert_int_equal(store_feed_seq(f->store), 1);
    again = open_as(f, "L", 1, "w1", 0);
    assert_int_equal(again->opened.members[0].last_seq, 1);
    assert_int_equal(again->opened.members[1].last_seq, 6);
    record_free(first);
    record_free(again);
}

static void a_late_mark_is_noted_and_gets_the_points(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *late, *again;

    join(f, first, 1, "w1");
    late = say(first, RECORD_CHECKPOINT, 0, 1, 1, 10);
    record_add_point(late, "head", 0.25);
    apply_and_free(f, late);
    late = say(first, RECORD_RECALL, 1, 1, 1, 10);
    assert_int_equal(apply(f->store, late), 0);
    assert_int_equal(late->n_points, 1);
    assert_true(late->points[0].point.value[METRIC_D_LR] == 0.25);
    record_free(late);
    again = open_as(f, "L", 1, "w1", 0);
    assert_int_equal(again->opened.last_seq, 1);
    assert_int_equal(again->opened.members[1].last_step, 10);
    record_free(first);
    record_free(again);
}

/* Ranks 0 and 1 end so; -1: without a word. */
static void expect_end(struct history_fixture *f, const char *launch, int first, int second,
                       enum state expected)
{
    const int ends[] = {first, second};
    struct record *opened = open_as(f, launch, 0, "w0", 0);

    join(f, opened, 1, "w1");
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(read_state(f), STATE_OPEN);
        if (ends[i] < 0)
            apply_and_free(f, say(opened, RECORD_LOST, i, 1, 0, 0));
        else
            close_rank(f, opened, i, 1, ends[i] == STATE_FAILED);
    }
    assert_int_equal(read_state(f), expected);
    record_free(opened);
}

static void the_attempt_ends_with_its_last_member(void **state)
{
    struct history_fixture *f = *state;
    struct record *again;

    expect_end(f, "a", STATE_FINISHED, STATE_FINISHED, STATE_FINISHED);
    expect_end(f, "b", STATE_FAILED, STATE_FINISHED, STATE_FAILED);
    expect_end(f, "c", -1, STATE_FINISHED, STATE_LOST);
    expect_end(f, "d", -1, STATE_FAILED, STATE_FAILED);
    again = open_as(f, "d", 1, "w1", 0); /* it has closed, and stays so */
    assert_int_equal(read_state(f), STATE_FAILED);
    record_free(again);
    again = open_as(f, "d", 1, "again", 0);
    assert_int_equal(read_state(f), STATE_OPEN);
    record_free(again);
}

static void launches_fence_and_worlds_agree(void **state)
{
    struct history_fixture *f = *state;
    struct record *first = open_as(f, "L", 0, "w0", 0), *other;

    other = record_open("job", "w1", 0, RESUME_ALLOW);
    other->open.launch = strdup("L");
    other->open.rank = 1;
    other->open.world = 3;
    assert_int_equal(apply(f->store, other), -EPROTO);
    record_free(other);
    other = open_as(f, "L2", 0, "w0", 0); /* the same writer, too */
    assert_int_equal(other->opened.attempt, 2);
    record_free(other);
    record_free(open_as(f, "L", 1, "w1", -ESTALE));
    other = record_open("job", "w0", 2, RESUME_ALLOW); /* no member */
    assert_int_equal(apply(f->store, other), -EBUSY);
    record_free(other);
    record_free(first);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, history_fixture_set_up, history_fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_rank_has_numbers_and_totals_of_its_own),
        TEST(another_writer_of_a_rank_begins_with_nothing),
        TEST(a_writer_that_was_replaced_is_refused),
        TEST(a_message_that_comes_twice_is_stored_once),
        TEST(a_checkpoint_is_new_where_its_senders_numbers_are),
        TEST(a_late_mark_is_noted_and_gets_the_points),
        TEST(the_attempt_ends_with_its_last_member),
        TEST(launches_fence_and_worlds_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
