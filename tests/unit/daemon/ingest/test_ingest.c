/* Ingest alone, on a loop of its own: what it promises to the one who steps the core, and what
 * control.c and data.c make of the messages of a trainer. */
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
#include "proto/wire.h"

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
    struct world *world = timer->data;

    uv_close((uv_handle_t *)timer, NULL);
    ingest_close(world->ingest, on_closed, world);
}

/* As the loop does when the core can go on no longer. */
static void stop_at_first(void *arg, const struct event *event)
{
    struct world *world = arg;

    assert_int_equal(event->type, EV_ALIVE);
    world->n_events++;
    ingest_stop(world->ingest);
    uv_timer_start(&world->end, on_end, 50, 0);
}

/* All of them have arrived before the loop turns for the first time. */
static void send_pings(struct world *world, const char *endpoint)
{
    static const char ping[] = "{\"type\":\"ping\",\"id\":1}";
    int linger_ms = 0;

    world->context = zmq_ctx_new();
    world->trainer = zmq_socket(world->context, ZMQ_DEALER);
    zmq_setsockopt(world->trainer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    assert_int_equal(zmq_connect(world->trainer, endpoint), 0);
    for (int i = 0; i < N_PINGS; i++)
        assert_true(zmq_send(world->trainer, ping, strlen(ping), 0) > 0);
    usleep(200000);
}

static void nothing_comes_after_stop_not_even_in_the_same_turn(void **state)
{
    struct world world = {0};
    struct ingest_config config = {
        .on_event = stop_at_first, .arg = &world, .waiting_bytes_max = 1 << 20};
    char endpoint[64];
    struct err why;

    (void)state;
    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/test_ingest-%d.sock", (int)getpid());
    uv_loop_init(&world.loop);
    uv_timer_init(&world.loop, &world.end);
    world.end.data = &world;
    assert_int_equal(ingest_open(&world.loop, endpoint, &config, &world.ingest, &why), 0);
    send_pings(&world, endpoint);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.n_events, 1);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    zmq_close(world.trainer);
    zmq_ctx_term(world.context);
    assert_int_equal(access(endpoint + strlen("ipc://"), F_OK), -1);
}

/* ---- what becomes of a message -------------------------------------------------------------- */

/* Takes what the events bring, and ends when a ping comes. */
struct seen {
    struct world world;
    struct batch *batches[2];
    size_t n_batches;
    uint64_t checkpoint_seq, checkpoint_rows;
    double param_norm;
};

static void note_event(void *arg, const struct event *event)
{
    struct seen *seen = arg;

    if (event->type == EV_BATCH) {
        assert_true(seen->n_batches < 2);
        seen->batches[seen->n_batches++] = event->batch;
    } else if (event->type == EV_CHECKPOINT) {
        seen->checkpoint_seq = event->checkpoint.seq;
        seen->checkpoint_rows = event->checkpoint.layers[0].rows;
        seen->param_norm = event->checkpoint.reported[METRIC_PARAM_NORM];
    } else {
        assert_int_equal(event->type, EV_ALIVE);
        ingest_stop(seen->world.ingest);
        uv_timer_start(&seen->world.end, on_end, 50, 0);
    }
    seen->world.n_events++;
}

static void send_frames(void *trainer, const struct wire_frame *frames, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(
            zmq_send(trainer, frames[i].data, frames[i].size, i + 1 < n ? ZMQ_SNDMORE : 0) >= 0);
}

static void send_text(void *trainer, const char *text)
{
    send_frames(trainer, &(struct wire_frame){text, strlen(text)}, 1);
}

/* Two layers, of 3 and 1 features, over the same two rows of one output. */
static void send_two_layers(void *trainer)
{
    static const float narrow[] = {7, 8}, wide[] = {1, 2, 3, 4, 5, 6}, outputs[] = {9, 10};
    struct wire_header header = {.kind = WIRE_ROWS,
                                 .n_more = 1,
                                 .seq = 4,
                                 .step = 40,
                                 .rows_before = 6,
                                 .n_rows = 2,
                                 .n_features = 3,
                                 .n_outputs = 1,
                                 .features_dtype = DTYPE_F32,
                                 .outputs_dtype = DTYPE_F32};
    uint8_t first[WIRE_HEADER_SIZE], second[WIRE_HEADER_SIZE];

    wire_header_encode(&header, first);
    header.n_more = 0;
    header.n_features = 1;
    wire_header_encode(&header, second);
    send_frames(trainer,
                (struct wire_frame[]){{first, sizeof first},
                                      {"wide", 4},
                                      {wide, sizeof wide},
                                      {second, sizeof second},
                                      {"narrow", 6},
                                      {narrow, sizeof narrow},
                                      {outputs, sizeof outputs}},
                7);
}

static void open_seen(struct seen *seen, char *endpoint, size_t size)
{
    struct world *world = &seen->world;
    struct ingest_config config = {
        .on_event = note_event, .arg = seen, .waiting_bytes_max = 1 << 20};
    int linger_ms = 0;
    struct err why;

    snprintf(endpoint, size, "ipc:///tmp/test_ingest-%d.sock", (int)getpid());
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->end);
    world->end.data = world;
    assert_int_equal(ingest_open(&world->loop, endpoint, &config, &world->ingest, &why), 0);
    world->context = zmq_ctx_new();
    world->trainer = zmq_socket(world->context, ZMQ_DEALER);
    zmq_setsockopt(world->trainer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    assert_int_equal(zmq_connect(world->trainer, endpoint), 0);
}

/* Ends with a ping. Returns how many messages were refused. */
static uint64_t run_seen(struct seen *seen)
{
    uint64_t n_refused;

    send_text(seen->world.trainer, "{\"type\":\"ping\",\"id\":1}");
    while (seen->world.n_events == 0 || !uv_is_active((uv_handle_t *)&seen->world.end))
        uv_run(&seen->world.loop, UV_RUN_ONCE);
    n_refused = ingest_n_refused(seen->world.ingest);
    for (size_t i = 0; i < seen->n_batches; i++)
        ingest_release(seen->batches[i]);
    uv_run(&seen->world.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&seen->world.loop), 0);
    return n_refused;
}

/* The first answer that the trainer finds, a nack or a pong. */
static void close_seen(struct seen *seen, char *answer, size_t size)
{
    int n = zmq_recv(seen->world.trainer, answer, size - 1, ZMQ_DONTWAIT);

    answer[n > 0 ? n : 0] = 0;
    zmq_close(seen->world.trainer);
    zmq_ctx_term(seen->world.context);
}

static void a_checkpoint_is_an_event_with_its_totals_and_reports(void **state)
{
    struct seen seen = {0};
    char endpoint[64], answer[1024];

    (void)state;
    open_seen(&seen, endpoint, sizeof endpoint);
    send_text(seen.world.trainer,
              "{\"type\":\"checkpoint\",\"seq\":3,\"step\":30,\"layers\":"
              "{\"head\":{\"seq\":2,\"rows\":20}},\"metrics\":{\"param_norm\":2.5}}");
    assert_int_equal(run_seen(&seen), 0);
    assert_int_equal(seen.checkpoint_seq, 3);
    assert_int_equal(seen.checkpoint_rows, 20);
    assert_true(seen.param_norm == 2.5);
    close_seen(&seen, answer, sizeof answer);
}

static void layers_of_one_message_are_batches_that_share_its_outputs(void **state)
{
    struct seen seen = {0};
    char endpoint[64], answer[1024];

    (void)state;
    open_seen(&seen, endpoint, sizeof endpoint);
    send_two_layers(seen.world.trainer);
    while (seen.n_batches < 2)
        uv_run(&seen.world.loop, UV_RUN_ONCE);
    for (size_t i = 0; i < 2; i++) {
        const struct batch *batch = seen.batches[i];

        assert_string_equal(batch->layer, i == 0 ? "wide" : "narrow");
        assert_int_equal(batch->kind, BATCH_ROWS);
        assert_int_equal(batch->p, i == 0 ? 3 : 1);
        assert_int_equal(batch->seq, 4);
        assert_int_equal(batch->rows_before, 6);
        assert_true(((const float *)batch->rows.features)[1] == (i == 0 ? 2.0f : 8.0f));
    }
    assert_ptr_equal(seen.batches[0]->rows.outputs, seen.batches[1]->rows.outputs);
    assert_int_equal(seen.batches[0]->size_bytes, WIRE_HEADER_SIZE + 4 + 6 * 4 + 2 * 4);
    assert_int_equal(seen.batches[1]->size_bytes, WIRE_HEADER_SIZE + 6 + 2 * 4);
    assert_int_equal(run_seen(&seen), 0);
    close_seen(&seen, answer, sizeof answer);
}

static void what_cannot_be_read_is_refused_with_a_sentence_and_counted(void **state)
{
    static const struct {
        const char *message, *code, *text;
    } rows[] = {
        {"{\"type\":\"hello\",\"protocol_min\":7,\"protocol_max\":9,\"client\":\"c\","
         "\"host\":\"h\",\"pid\":1}",
         "EVERSION", "protocols 7 to 9 are offered"},
        {"{\"type\":\"checkpoint\",\"seq\":3,\"step\":30,\"layers\":{},"
         "\"metrics\":{\"d_lr\":1}}",
         "EPROTO", "is no metric that a trainer reports"},
        {"{\"type\":\"pong\",\"id\":1}", "EPROTO", "is a message that the daemon sends"},
        {"not a header", "EPROTO", "the header has 12 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen seen = {0};
        char endpoint[64], answer[1024];

        open_seen(&seen, endpoint, sizeof endpoint);
        send_text(seen.world.trainer, rows[i].message);
        assert_int_equal(run_seen(&seen), 1);
        assert_int_equal(seen.world.n_events, 1); /* the ping */
        close_seen(&seen, answer, sizeof answer);
        assert_non_null(strstr(answer, rows[i].code));
        assert_non_null(strstr(answer, rows[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_comes_after_stop_not_even_in_the_same_turn),
        cmocka_unit_test(a_checkpoint_is_an_event_with_its_totals_and_reports),
        cmocka_unit_test(layers_of_one_message_are_batches_that_share_its_outputs),
        cmocka_unit_test(what_cannot_be_read_is_refused_with_a_sentence_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
