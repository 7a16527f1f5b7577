#include "tests/lib/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/monitor/run.h"

#define PEER 7

struct fixture {
    struct run *run;
    struct actions out;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct record *open = record_new(RECORD_OPEN, "run");

    actions_init(&fixture->out);
    open->open.writer = strdup("writer");
    open->open.watched = (struct watch_list){.n = 1, .metrics = {METRIC_D_LR}};
    fixture->run = run_new(open, (struct window){.kind = WINDOW_CHECKPOINT}, PEER);
    record_free(open);
    *state = fixture;
    return fixture->run ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    run_free(fixture->run);
    actions_release(&fixture->out);
    free(fixture);
    return 0;
}

static struct journal_entry *add(struct fixture *fixture, uint64_t seq, size_t n_marks)
{
    struct record *record = record_new(RECORD_LOG, "run");

    record->seq = seq;
    return run_add_entry(fixture->run, run_opener(fixture->run), record, n_marks);
}

/* As when the store gives them back. */
static void come_home(struct fixture *fixture, struct journal_entry *entry)
{
    fixture->run->n_lent--;
    entry->lent = false;
    record_free(entry->record);
    run_remove_entry(fixture->run, entry);
}

static void opened_run_knows_the_layers_of_the_store(void **state)
{
    struct fixture *fixture = *state;
    struct stored_layer stored = {
        .name = "head", .p = 5, .c = 2, .batch_seq = 9, .rows_offered = 90};
    struct open_result opened = {
        .run_key = 3, .attempt = 2, .last_seq = 4, .layers = &stored, .n_layers = 1};
    const struct layer *layer;

    assert_int_equal(run_take_stored(fixture->run, &opened), 0);
    assert_int_equal(fixture->run->state, RUN_OPEN);
    assert_int_equal(run_opener(fixture->run)->durable_seq, 4);
    layer = run_layer(fixture->run, "head");
    assert_non_null(layer);
    assert_int_equal(layer->sources[0].last_seq, 9);
    assert_int_equal(layer->window_offered, 90);
    assert_false(layer->has_memory);
    assert_null(run_layer(fixture->run, "hea"));
}

/* What it has stored has to be shown to its watches first. */
static void a_run_with_a_past_does_not_watch_yet(void **state)
{
    struct fixture *fixture = *state;
    struct open_result opened = {.run_key = 3, .attempt = 2};

    assert_int_equal(run_take_stored(fixture->run, &opened), 0);
    assert_int_equal(fixture->run->watching, RUN_HAS_PAST);
}

static void a_new_run_watches_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct open_result opened = {.run_key = 3, .attempt = 1, .created = true};

    assert_int_equal(run_take_stored(fixture->run, &opened), 0);
    assert_int_equal(fixture->run->watching, RUN_WATCHES);
}

static void a_run_that_watches_nothing_asks_for_no_past(void **state)
{
    struct fixture *fixture = *state;
    struct open_result opened = {.run_key = 3, .attempt = 2};

    fixture->run->watched = (struct watch_list){0};
    assert_int_equal(run_take_stored(fixture->run, &opened), 0);
    assert_int_equal(fixture->run->watching, RUN_WATCHES);
}

static void nothing_is_lent_behind_a_question_about_the_past(void **state)
{
    struct fixture *fixture = *state;
    struct record *replay = record_new(RECORD_REPLAY, "");
    struct journal_entry *question = run_add_entry(fixture->run, NULL, replay, 0);
    struct journal_entry *log = add(fixture, 1, 0);

    run_store_ready(fixture->run, &fixture->out);
    assert_true(question->lent);
    assert_string_equal(replay->run, "run");
    assert_false(log->lent);
    come_home(fixture, question);
    run_store_ready(fixture->run, &fixture->out);
    assert_true(log->lent);
    come_home(fixture, log);
}

static void journal_is_lent_up_to_the_first_that_is_not_ready(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *first = add(fixture, 1, 0), *second = add(fixture, 2, 1);

    add(fixture, 3, 0);
    second->n_pending = 1;
    run_store_ready(fixture->run, &fixture->out);
    assert_int_equal(fixture->out.n, 1);
    assert_ptr_equal(fixture->out.items[0].record, first->record);
    assert_false(run_is_quiet(fixture->run));
    come_home(fixture, first);
    assert_true(run_is_quiet(fixture->run));
    assert_false(run_is_settled(fixture->run));
}

static void journal_is_not_lent_past_records_that_are_out(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *first = add(fixture, 1, 0), *second;

    run_store_ready(fixture->run, &fixture->out);
    second = add(fixture, 2, 0);
    run_store_ready(fixture->run, &fixture->out);
    assert_int_equal(fixture->out.n, 1);
    come_home(fixture, first);
    run_store_ready(fixture->run, &fixture->out);
    assert_int_equal(fixture->out.n, 2);
    assert_ptr_equal(fixture->out.items[1].record, second->record);
    come_home(fixture, second);
    assert_true(run_is_settled(fixture->run));
}

static void journal_rests_while_the_store_cannot_write(void **state)
{
    struct fixture *fixture = *state;

    add(fixture, 1, 0);
    fixture->run->store_waits = true;
    run_store_ready(fixture->run, &fixture->out);
    assert_int_equal(fixture->out.n, 0);
}

static void credit_is_told_in_steps(void **state)
{
    struct fixture *fixture = *state;
    struct member *member = run_opener(fixture->run);

    member->credit_bytes = 800;
    member->held_bytes = 300;
    member_start_credit(member);
    assert_int_equal(member->granted, 500);
    member->held_bytes -= 99;
    member_grant(member, 800, &fixture->out);
    assert_int_equal(fixture->out.n, 0);
    member->held_bytes -= 1;
    member_grant(member, 800, &fixture->out);
    assert_int_equal(fixture->out.n, 1);
    assert_int_equal(fixture->out.items[0].granted, 600);
    member_send_credit(member, &fixture->out);
    assert_int_equal(fixture->out.n, 1); /* nothing new */
    member->received = 400;
    member->held_bytes = 600;
    member_grant(member, 700, &fixture->out);
    assert_int_equal(member->granted, 600); /* what was granted stays, where the window shrinks */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opened_run_knows_the_layers_of_the_store),
        TEST(a_run_with_a_past_does_not_watch_yet),
        TEST(a_new_run_watches_at_once),
        TEST(a_run_that_watches_nothing_asks_for_no_past),
        TEST(nothing_is_lent_behind_a_question_about_the_past),
        TEST(journal_is_lent_up_to_the_first_that_is_not_ready),
        TEST(journal_is_not_lent_past_records_that_are_out),
        TEST(journal_rests_while_the_store_cannot_write),
        TEST(credit_is_told_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
