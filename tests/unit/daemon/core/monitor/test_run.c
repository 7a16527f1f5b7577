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
    struct fixture *f = calloc(1, sizeof *f);
    struct record *open = record_new(RECORD_OPEN, "run");

    actions_init(&f->out);
    open->open.writer = strdup("writer");
    open->open.watched = (struct watch_list){1, {METRIC_D_LR}};
    f->run = run_new(open, (struct window){.kind = WINDOW_CHECKPOINT}, PEER);
    record_free(open);
    *state = f;
    return f->run ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    run_free(f->run);
    actions_release(&f->out);
    free(f);
    return 0;
}

static struct journal_entry *add(struct fixture *f, uint64_t seq, size_t n_marks)
{
    struct record *r = record_new(RECORD_LOG, "run");

    r->seq = seq;
    return run_add_entry(f->run, r, n_marks);
}

/* As when the store gives them back. */
static void come_home(struct fixture *f, struct journal_entry *e)
{
    f->run->n_lent--;
    e->lent = false;
    record_free(e->record);
    run_remove_entry(f->run, e);
}

static void opened_run_knows_the_layers_of_the_store(void **state)
{
    struct fixture *f = *state;
    struct stored_layer stored = {
        .name = "head", .p = 5, .c = 2, .batch_seq = 9, .rows_offered = 90};
    struct open_result o = {
        .run_key = 3, .attempt = 2, .last_seq = 4, .layers = &stored, .n_layers = 1};
    const struct layer *l;

    assert_int_equal(run_take_stored(f->run, &o), 0);
    assert_int_equal(f->run->state, RUN_OPEN);
    assert_int_equal(f->run->durable_seq, 4);
    l = run_layer(f->run, "head");
    assert_non_null(l);
    assert_int_equal(l->last_seq, 9);
    assert_int_equal(l->window_offered, 90);
    assert_false(l->has_memory);
    assert_null(run_layer(f->run, "hea"));
}

/* Whether D_LR of 0.1 at that step completes a transition. */
static bool completes_one(struct layer *l, int64_t step)
{
    struct finding found[RUN_WATCHED_MAX];
    struct point p = {.step = step};

    p.value[METRIC_D_LR] = 0.1;
    return watch_feed(l->watch, &p, found) == 1;
}

static void opened_run_goes_on_looking_for_transitions(void **state)
{
    struct fixture *f = *state;
    struct stored_layer stored = {
        .name = "head", .p = 5, .c = 2, .watch = watch_new(&f->run->watched)};
    struct open_result o = {.run_key = 3, .attempt = 1, .layers = &stored, .n_layers = 1};
    struct finding found[RUN_WATCHED_MAX];
    struct point p = {0};
    struct layer *fresh;

    p.value[METRIC_D_LR] = 0.5;
    for (p.step = 0; p.step < 40; p.step++)
        assert_int_equal(watch_feed(stored.watch, &p, found), 0);
    assert_int_equal(run_take_stored(f->run, &o), 0);
    assert_null(stored.watch); /* it is the layer's now */
    fresh = run_add_layer(f->run, "new", 5, 2);
    for (int64_t i = 40; i < 50; i++) {
        assert_false(completes_one(run_layer(f->run, "head"), i));
        assert_false(completes_one(fresh, i));
    }
    assert_true(completes_one(run_layer(f->run, "head"), 50));
    assert_false(completes_one(fresh, 50));
}

static void journal_is_lent_up_to_the_first_that_is_not_ready(void **state)
{
    struct fixture *f = *state;
    struct journal_entry *first = add(f, 1, 0), *second = add(f, 2, 1);

    add(f, 3, 0);
    second->n_pending = 1;
    run_store_ready(f->run, &f->out);
    assert_int_equal(f->out.n, 1);
    assert_ptr_equal(f->out.items[0].record, first->record);
    assert_false(run_is_quiet(f->run));
    come_home(f, first);
    assert_true(run_is_quiet(f->run));
    assert_false(run_is_settled(f->run));
}

static void journal_is_not_lent_past_records_that_are_out(void **state)
{
    struct fixture *f = *state;
    struct journal_entry *first = add(f, 1, 0), *second;

    run_store_ready(f->run, &f->out);
    second = add(f, 2, 0);
    run_store_ready(f->run, &f->out);
    assert_int_equal(f->out.n, 1);
    come_home(f, first);
    run_store_ready(f->run, &f->out);
    assert_int_equal(f->out.n, 2);
    assert_ptr_equal(f->out.items[1].record, second->record);
    come_home(f, second);
    assert_true(run_is_settled(f->run));
}

static void journal_rests_while_the_store_cannot_write(void **state)
{
    struct fixture *f = *state;

    add(f, 1, 0);
    f->run->store_waits = true;
    run_store_ready(f->run, &f->out);
    assert_int_equal(f->out.n, 0);
}

static void credit_is_told_in_steps(void **state)
{
    struct fixture *f = *state;

    f->run->credit_bytes = 800;
    run_start_credit(f->run, 300);
    assert_int_equal(f->run->granted, 500);
    run_return_credit(f->run, 99, &f->out);
    assert_int_equal(f->out.n, 0);
    run_return_credit(f->run, 1, &f->out);
    assert_int_equal(f->out.n, 1);
    assert_int_equal(f->out.items[0].granted, 600);
    run_send_credit(f->run, &f->out);
    assert_int_equal(f->out.n, 1); /* nothing new */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opened_run_knows_the_layers_of_the_store),
        TEST(opened_run_goes_on_looking_for_transitions),
        TEST(journal_is_lent_up_to_the_first_that_is_not_ready),
        TEST(journal_is_not_lent_past_records_that_are_out),
        TEST(journal_rests_while_the_store_cannot_write),
        TEST(credit_is_told_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
