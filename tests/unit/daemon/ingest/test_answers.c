/* What a trainer gets: each answer as a line of INGEST.md, and the peers that take none. */
#include "daemon/ingest/ingest.h"

#include "tests/lib/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "tests/lib/records.h"

/* More answers than one peer may have waiting, and than the sockets' buffers hold. */
#define N_FLOOD 200000

struct fixture {
    uv_loop_t loop;
    struct ingest *ingest;
    void *context, *trainer;
    peer_id peer; /* of the trainer */
    peer_id gone;
    size_t n_gone;
};

static void note_event(void *arg, const struct event *event)
{
    struct fixture *f = arg;

    if (event->type == EV_GONE) {
        f->gone = event->peer;
        f->n_gone++;
    } else {
        assert_int_equal(event->type, EV_ALIVE);
        f->peer = event->peer;
    }
}

/* The next answer, or a text that no answer is. */
static const char *received(struct fixture *f)
{
    static char text[2048];
    int n = zmq_recv(f->trainer, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return n > 0 ? text : "nothing came";
}

/* Connects, and pings, so that ingest knows the peer. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct ingest_config config = {
        .on_event = note_event, .arg = f, .waiting_bytes_max = 256 << 20};
    int linger_ms = 0, timeout_ms = 5000;
    char endpoint[64];
    struct err why;

    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/test_answers-%d.sock", (int)getpid());
    uv_loop_init(&f->loop);
    assert_int_equal(ingest_open(&f->loop, endpoint, &config, &f->ingest, &why), 0);
    f->context = zmq_ctx_new();
    f->trainer = zmq_socket(f->context, ZMQ_DEALER);
    zmq_setsockopt(f->trainer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(f->trainer, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    assert_int_equal(zmq_connect(f->trainer, endpoint), 0);
    assert_true(zmq_send(f->trainer, "{\"type\":\"ping\",\"id\":7}", 22, 0) > 0);
    while (f->peer == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_string_equal(received(f), "{\"type\":\"pong\",\"id\":7}");
    *state = f;
    return 0;
}

static void on_closed(void *arg)
{
    (void)arg;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    zmq_close(f->trainer);
    zmq_ctx_term(f->context);
    ingest_close(f->ingest, on_closed, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void a_welcome_says_where_the_run_stands(void **state)
{
    struct fixture *f = *state;
    struct welcome welcome = {.run = "r1", .attempt = 2, .granted = 4096, .last_seq = 12};

    ingest_send_welcome(f->ingest, f->peer, &welcome);
    assert_string_equal(received(f), "{\"type\":\"welcome\",\"run\":\"r1\",\"attempt\":2,"
                                     "\"granted\":4096,\"last_seq\":12,\"last_step\":null}");
    welcome.has_last_step = true;
    welcome.last_step = 0;
    ingest_send_welcome(f->ingest, f->peer, &welcome);
    assert_non_null(strstr(received(f), "\"last_step\":0}"));
}

static void credit_and_acknowledgements_are_numbers(void **state)
{
    struct fixture *f = *state;

    ingest_send_progress(f->ingest, f->peer, 71303168);
    assert_string_equal(received(f), "{\"type\":\"progress\",\"granted\":71303168}");
    ingest_send_ack(f->ingest, f->peer, 8);
    assert_string_equal(received(f), "{\"type\":\"ack\",\"seq\":8}");
}

static void a_checkpoint_brings_the_points_that_were_measured(void **state)
{
    struct fixture *f = *state;
    struct record *opened = record_open("r1", "writer", 0, RESUME_ALLOW);
    struct record *record = record_of(opened, RECORD_CHECKPOINT, 3, 30);
    const char *text;

    record_add_point(record, "seen", 0.25);
    record_add_point(record, "without_rows", 0.5)->measured = false;
    ingest_send_record_acks(f->ingest, f->peer, record);
    text = received(f);
    assert_ptr_equal(strstr(text, "{\"type\":\"ack\",\"seq\":3,\"points\":["), text);
    assert_non_null(strstr(text, "\"layer\":\"seen\""));
    assert_non_null(strstr(text, "\"d_lr\":0.25"));
    assert_null(strstr(text, "without_rows"));
    record_free(record);
    record = record_of(opened, RECORD_LOG, 4, 30);
    ingest_send_record_acks(f->ingest, f->peer, record);
    assert_string_equal(received(f), "{\"type\":\"ack\",\"seq\":4}");
    record_free(record);
    record_free(opened);
}

static void a_refusal_names_the_message_that_it_refuses(void **state)
{
    struct fixture *f = *state;
    struct nack nack;

    nack_set(&nack, NACK_ECREDIT, "%d bytes beyond the credit", 9);
    snprintf(nack.layer, sizeof nack.layer, "head");
    nack.batch = 5;
    ingest_send_nack(f->ingest, f->peer, &nack);
    assert_string_equal(received(f),
                        "{\"type\":\"nack\",\"code\":\"ECREDIT\",\"text\":\"9 bytes beyond the "
                        "credit\",\"fatal\":false,\"layer\":\"head\",\"batch\":5}");
    nack_set(&nack, NACK_EFENCED, "a newer attempt has the run");
    nack.fatal = true;
    nack.seq = 3;
    ingest_send_nack(f->ingest, f->peer, &nack);
    assert_string_equal(received(f),
                        "{\"type\":\"nack\",\"code\":\"EFENCED\",\"text\":\"a newer attempt has "
                        "the run\",\"fatal\":true,\"seq\":3}");
}

static void a_peer_that_takes_nothing_is_reported_gone_once(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < N_FLOOD; i++)
        ingest_send_progress(f->ingest, f->peer, (uint64_t)i);
    assert_int_equal(f->n_gone, 0);
    ingest_tick(f->ingest);
    assert_int_equal(f->n_gone, 1);
    assert_int_equal(f->gone, f->peer);
    ingest_tick(f->ingest);
    assert_int_equal(f->n_gone, 1);
}

static void an_answer_to_a_peer_that_left_goes_nowhere(void **state)
{
    struct fixture *f = *state;

    ingest_send_ack(f->ingest, f->peer + 1000, 1);
    ingest_tick(f->ingest);
    assert_int_equal(f->n_gone, 0);
    ingest_send_ack(f->ingest, f->peer, 2);
    assert_string_equal(received(f), "{\"type\":\"ack\",\"seq\":2}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_welcome_says_where_the_run_stands),
        TEST(credit_and_acknowledgements_are_numbers),
        TEST(a_checkpoint_brings_the_points_that_were_measured),
        TEST(a_refusal_names_the_message_that_it_refuses),
        TEST(a_peer_that_takes_nothing_is_reported_gone_once),
        TEST(an_answer_to_a_peer_that_left_goes_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
