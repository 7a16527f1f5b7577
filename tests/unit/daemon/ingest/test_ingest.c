/* Ingest alone, on a loop of its own: what it promises to the one who steps the core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "daemon/ingest/ingest.h"

#define N_PINGS 10

struct world {
    uv_loop_t loop;
    uv_timer_t end;
    struct ingest *ingest;
    void *context, *trainer;
    int n_events;
};

static void on_closed(void *arg)
{
    (void)arg;
}

static void on_end(uv_timer_t *timer)
{
    struct world *w = timer->data;

    uv_close((uv_handle_t *)timer, NULL);
    ingest_close(w->ingest, on_closed, w);
}

/* As the loop does when the core can go on no longer. */
static void stop_at_first(void *arg, const struct event *e)
{
    struct world *w = arg;

    assert_int_equal(e->type, EV_ALIVE);
    w->n_events++;
    ingest_stop(w->ingest);
    uv_timer_start(&w->end, on_end, 50, 0);
}

/* All of them have arrived before the loop turns for the first time. */
static void send_pings(struct world *w, const char *endpoint)
{
    static const char ping[] = "{\"type\":\"ping\",\"id\":1}";
    int linger_ms = 0;

    w->context = zmq_ctx_new();
    w->trainer = zmq_socket(w->context, ZMQ_DEALER);
    zmq_setsockopt(w->trainer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    assert_int_equal(zmq_connect(w->trainer, endpoint), 0);
    for (int i = 0; i < N_PINGS; i++)
        assert_true(zmq_send(w->trainer, ping, strlen(ping), 0) > 0);
    usleep(200000);
}

static void nothing_comes_after_stop_not_even_in_the_same_turn(void **state)
{
    struct world w = {0};
    char endpoint[64];
    struct err e;

    (void)state;
    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/test_ingest-%d.sock", (int)getpid());
    uv_loop_init(&w.loop);
    uv_timer_init(&w.loop, &w.end);
    w.end.data = &w;
    assert_int_equal(ingest_open(&w.loop, endpoint, stop_at_first, &w, &w.ingest, &e), 0);
    send_pings(&w, endpoint);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(w.n_events, 1);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    zmq_close(w.trainer);
    zmq_ctx_term(w.context);
    assert_int_equal(access(endpoint + strlen("ipc://"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_after_stop_not_even_in_the_same_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
