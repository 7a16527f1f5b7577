/* Queries on their way through libuv's pool: their order, how many run, and those that nobody waits
 * for. Their work here only notes that it was done, and waits where a test has it wait. */
#include "daemon/history/readers.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/store.h"
#include "tests/lib/answers.h"
#include "tests/lib/records.h"

#define N_QUERIES 8

struct fixture {
    uv_loop_t loop;
    char *directory;
    struct store *store;
    struct readers *readers;
    int done[N_QUERIES]; /* the numbers of queries, as they came back */
    size_t n_done;
};

struct numbered {
    struct query query;
    struct fixture *fixture;
    int number;
    uv_sem_t *wait; /* NULL, or what the work waits for */
    _Atomic(struct history *) history;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *path;
    struct err e;

    uv_loop_init(&f->loop);
    f->directory = scratch_new();
    path = scratch_path(f->directory, "history.db");
    if (store_open(path, &f->store, &e) < 0 || readers_open(&f->loop, path, &f->readers, &e) < 0)
        fail_msg("%s", e.text);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    readers_close(f->readers);
    store_close(f->store);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    scratch_free(f->directory);
    free(f);
    return 0;
}

static void on_work(struct history *history, struct query *query)
{
    struct numbered *n = (struct numbered *)query;

    if (n->wait)
        uv_sem_wait(n->wait);
    n->history = history;
}

static void on_done(struct query *query)
{
    struct numbered *n = (struct numbered *)query;

    n->fixture->done[n->fixture->n_done++] = n->number;
}

static void submit(struct fixture *f, struct numbered *n, int number, uv_sem_t *wait,
                   const bool *is_unwanted)
{
    memset(n, 0, sizeof *n);
    n->query.work = on_work;
    n->query.done = on_done;
    n->query.is_unwanted = is_unwanted;
    n->fixture = f;
    n->number = number;
    n->wait = wait;
    readers_submit(f->readers, &n->query);
}

static void each_query_is_done_once_with_a_history(void **state)
{
    struct fixture *f = *state;
    struct numbered queries[N_QUERIES];
    unsigned seen = 0;

    for (int i = 0; i < N_QUERIES; i++)
        submit(f, &queries[i], i, NULL, NULL);
    assert_int_equal(f->n_done, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_done, N_QUERIES);
    for (int i = 0; i < N_QUERIES; i++) {
        assert_non_null(queries[i].history);
        seen |= 1u << f->done[i];
    }
    assert_int_equal(seen, (1u << N_QUERIES) - 1);
}

/* One connection is held: the others pass through the second one, in their order. */
static void a_long_query_leaves_a_reader_to_the_others(void **state)
{
    struct fixture *f = *state;
    struct numbered queries[4];
    uv_sem_t wait;

    uv_sem_init(&wait, 0);
    submit(f, &queries[0], 0, &wait, NULL);
    for (int i = 1; i < 4; i++)
        submit(f, &queries[i], i, NULL, NULL);
    while (f->n_done < 3)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->done[i], i + 1);
    assert_ptr_equal(queries[1].history, queries[2].history);
    uv_sem_post(&wait);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->done[3], 0);
    assert_ptr_not_equal(queries[0].history, queries[1].history);
    uv_sem_destroy(&wait);
}

static void a_query_that_nobody_waits_for_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct numbered busy[2], left, last;
    bool is_unwanted = false;
    uv_sem_t wait;

    uv_sem_init(&wait, 0);
    submit(f, &busy[0], 0, &wait, NULL);
    submit(f, &busy[1], 1, &wait, NULL);
    submit(f, &left, 2, NULL, &is_unwanted);
    submit(f, &last, 3, NULL, NULL);
    is_unwanted = true;
    uv_sem_post(&wait);
    uv_sem_post(&wait);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_done, 4);
    assert_int_equal(f->done[0], 2);
    assert_null(left.history);
    assert_non_null(last.history);
    uv_sem_destroy(&wait);
}

static void readers_need_a_store(void **state)
{
    struct fixture *f = *state;
    struct readers *none = NULL;
    struct err e;

    assert_true(readers_open(&f->loop, scratch_path(f->directory, "missing.db"), &none, &e) < 0);
    assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* One connection is held; the other passes four questions and two patient queries through. */
static void who_is_patient_lets_the_others_go_first_and_has_turns(void **state)
{
    struct fixture *f = *state;
    struct numbered busy[2], queries[6];
    const int expected[] = {101, 0, 1, 2, 4, 3, 5, 100};
    uv_sem_t wait, hold;

    uv_sem_init(&wait, 0);
    uv_sem_init(&hold, 0);
    submit(f, &busy[0], 100, &hold, NULL);
    submit(f, &busy[1], 101, &wait, NULL);
    for (int i = 0; i < 6; i++) {
        memset(&queries[i], 0, sizeof queries[i]);
        queries[i].query = (struct query){.work = on_work, .done = on_done, .is_patient = i >= 4};
        queries[i].fixture = f;
        queries[i].number = i;
        readers_submit(f->readers, &queries[i].query);
    }
    uv_sem_post(&wait);
    while (f->n_done < 7)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_sem_post(&hold);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_memory_equal(f->done, expected, sizeof expected);
    uv_sem_destroy(&wait);
    uv_sem_destroy(&hold);
}

struct cancelled {
    struct query query;
    uv_sem_t started;
    bool is_unwanted;
    int rc;
};

/* Asks again and again until it is told to stop. */
static void ask_until_cancelled(struct history *history, struct query *query)
{
    struct cancelled *c = (struct cancelled *)query;
    struct feed_run_list all = {.limit = 1};
    struct err why;

    uv_sem_post(&c->started);
    do {
        cJSON *answer = NULL;

        c->rc = asked_run_list(history, &all, &answer, &why);
        cJSON_Delete(answer);
    } while (c->rc == 0);
}

static void on_cancelled(struct query *query)
{
    (void)query;
}

static void a_query_that_runs_ends_when_nobody_waits_for_it_any_more(void **state)
{
    struct fixture *f = *state;
    struct cancelled c = {.query = {.work = ask_until_cancelled, .done = on_cancelled}};
    struct numbered next;

    uv_sem_init(&c.started, 0);
    c.query.is_unwanted = &c.is_unwanted;
    readers_submit(f->readers, &c.query);
    uv_sem_wait(&c.started);
    readers_cancel_unwanted(f->readers); /* it is wanted */
    c.is_unwanted = true;
    readers_cancel_unwanted(f->readers);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(c.rc, -ECANCELED);
    submit(f, &next, 1, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->n_done, 1);
    uv_sem_destroy(&c.started);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_query_is_done_once_with_a_history),
        TEST(a_long_query_leaves_a_reader_to_the_others),
        TEST(a_query_that_nobody_waits_for_is_not_read),
        TEST(who_is_patient_lets_the_others_go_first_and_has_turns),
        TEST(a_query_that_runs_ends_when_nobody_waits_for_it_any_more),
        TEST(readers_need_a_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
