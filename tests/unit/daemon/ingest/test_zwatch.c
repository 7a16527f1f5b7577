/* The one thing zwatch promises: no message is left behind, whatever else the loop does. A trainer
 * floods the socket with small messages and takes replies at the same time, which is what makes the
 * shared, edge-triggered descriptor go silent in naive designs (99 % of 20,000 messages stuck).
 * ZWATCH_MESSAGES sets the number; the default is the stress test of ten million. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <zmq.h>

#include "daemon/ingest/zwatch.h"

#define DEFAULT_MESSAGES UINT64_C(10000000)
#define REPLY_EVERY      8
/* A loop that makes no progress for so long is stuck. */
#define STALL_MS 10000

static uint64_t n_messages(void)
{
    const char *text = getenv("ZWATCH_MESSAGES");

    return text ? strtoull(text, NULL, 10) : DEFAULT_MESSAGES;
}

struct server {
    uv_loop_t loop;
    uv_timer_t stall;
    struct zwatch watch;
    void *socket;
    uint64_t n_expected, n_received, n_replies, n_at_last_check;
    int per_turn; /* messages taken in one call of on_readable */
    bool is_stuck;
};

static void stop(struct server *s)
{
    zwatch_close(&s->watch, NULL);
    uv_close((uv_handle_t *)&s->stall, NULL);
}

static void on_stall_check(uv_timer_t *timer)
{
    struct server *s = timer->data;

    s->is_stuck = s->n_received == s->n_at_last_check;
    s->n_at_last_check = s->n_received;
    if (s->is_stuck)
        stop(s);
}

static void reply(struct server *s, const void *id, size_t id_size)
{
    zmq_send(s->socket, id, id_size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    if (zmq_send(s->socket, &s->n_received, sizeof s->n_received, ZMQ_DONTWAIT) > 0)
        s->n_replies++;
}

static void on_readable(struct zwatch *watch)
{
    struct server *s = watch->data;
    uint8_t id[16], body[64];

    for (int i = 0; i < s->per_turn; i++) {
        int id_size = zmq_recv(s->socket, id, sizeof id, ZMQ_DONTWAIT);

        if (id_size < 0 || zmq_recv(s->socket, body, sizeof body, ZMQ_DONTWAIT) < 0)
            return;
        s->n_received++;
        if (s->n_received % REPLY_EVERY == 0)
            reply(s, id, (size_t)id_size);
        if (s->n_received == s->n_expected) {
            stop(s);
            return;
        }
    }
}

struct trainer {
    void *context;
    const char *endpoint;
    uint64_t n_to_send, n_replies;
    bool *done;
};

/* Sends as fast as it can, and takes what has come back after each burst. */
static void *run_trainer(void *arg)
{
    struct trainer *trainer = arg;
    void *socket = zmq_socket(trainer->context, ZMQ_DEALER);
    int linger = 0;
    uint64_t reply;

    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_connect(socket, trainer->endpoint);
    for (uint64_t i = 0; i < trainer->n_to_send; i++) {
        zmq_send(socket, &i, sizeof i, 0);
        while (i % 16 == 0 && zmq_recv(socket, &reply, sizeof reply, ZMQ_DONTWAIT) > 0)
            trainer->n_replies++;
    }
    while (!__atomic_load_n(trainer->done, __ATOMIC_ACQUIRE)) {
        if (zmq_recv(socket, &reply, sizeof reply, ZMQ_DONTWAIT) > 0)
            trainer->n_replies++;
    }
    zmq_close(socket);
    return NULL;
}

static void flood(uint64_t n, int per_turn, size_t n_trainers)
{
    struct server s = {.n_expected = n / n_trainers * n_trainers, .per_turn = per_turn};
    void *context = zmq_ctx_new();
    struct trainer trainers[4];
    pthread_t threads[4];
    uint64_t n_replies = 0, start;
    char endpoint[64];
    bool done = false;

    s.socket = zmq_socket(context, ZMQ_ROUTER);
    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/test_zwatch.%d", (int)getpid());
    assert_int_equal(zmq_bind(s.socket, endpoint), 0);
    assert_int_equal(uv_loop_init(&s.loop), 0);
    s.watch.data = &s;
    assert_int_equal(zwatch_init(&s.watch, &s.loop, s.socket, on_readable), 0);
    uv_timer_init(&s.loop, &s.stall);
    s.stall.data = &s;
    uv_timer_start(&s.stall, on_stall_check, STALL_MS, STALL_MS);
    for (size_t i = 0; i < n_trainers; i++) {
        trainers[i] = (struct trainer){context, endpoint, n / n_trainers, 0, &done};
        pthread_create(&threads[i], NULL, run_trainer, &trainers[i]);
    }
    start = uv_hrtime();
    uv_run(&s.loop, UV_RUN_DEFAULT);
    printf("zwatch: %llu of %llu received, %llu replies sent, %d a turn, %zu senders: %.2f million "
           "a second\n",
           (unsigned long long)s.n_received, (unsigned long long)s.n_expected,
           (unsigned long long)s.n_replies, per_turn, n_trainers,
           (double)s.n_received / ((double)(uv_hrtime() - start) * 1e-9) * 1e-6);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < n_trainers; i++) {
        pthread_join(threads[i], NULL);
        n_replies += trainers[i].n_replies;
    }
    assert_false(s.is_stuck);
    assert_true(s.n_received == s.n_expected);
    assert_true(s.n_replies > 0 && n_replies > 0 && n_replies <= s.n_replies);
    assert_int_equal(uv_loop_close(&s.loop), 0);
    zmq_close(s.socket);
    zmq_ctx_term(context);
}

static void no_message_stays_behind_in_a_flood(void **state)
{
    (void)state;
    flood(n_messages(), 256, 2);
}

static void no_message_stays_behind_when_one_is_taken_a_turn(void **state)
{
    (void)state;
    flood(n_messages() / 50, 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_message_stays_behind_in_a_flood),
        cmocka_unit_test(no_message_stays_behind_when_one_is_taken_a_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
