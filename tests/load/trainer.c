#include "tests/load/trainer.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "client/c/item.h"
#include "client/c/session.h"
#include "proto/base/clock.h"

/* A socket that has made no connection in this time, or has lost it, is made again. */
#define RECONNECT_MS 1000

struct trainer {
    const struct trainer_plan *plan;
    void *context, *socket;
    struct session *session;
    struct ticket ticket; /* of the checkpoint, or the close, that is on its way */
    bool waits, closes, has_ended, was_open;
    size_t n_made; /* checkpoints */
    double next_s, asked_s;
};

static int64_t ms_of(double now_s)
{
    return (int64_t)(now_s * 1e3);
}

/* ---- making and freeing -------------------------------------------------------------------- */

static void connect_socket(struct trainer *trainer, double now_s)
{
    const int none = 0;

    if (trainer->socket)
        zmq_close(trainer->socket);
    trainer->socket = zmq_socket(trainer->context, ZMQ_DEALER);
    if (!trainer->socket)
        return;
    zmq_setsockopt(trainer->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(trainer->socket, ZMQ_RCVHWM, &none, sizeof none);
    if (zmq_connect(trainer->socket, trainer->plan->endpoint) == 0)
        session_connected(trainer->session, ms_of(now_s));
}

static struct session *make_session(const struct trainer_plan *plan, size_t number)
{
    const size_t run = number / plan->n_ranks, rank = number % plan->n_ranks;
    char id[RUN_ID_MAX + 1], writer[WRITER_MAX + 1];
    struct control_open open = {.run = id,
                                .name = id,
                                .project = "load",
                                .group = "",
                                .resume = RESUME_ALLOW,
                                .writer = writer,
                                .window = WINDOW_CHECKPOINT,
                                .energy = (double)NAN,
                                .lambda = (double)NAN,
                                .time = (double)NAN};
    struct session *session;
    struct err err;
    char *text;

    snprintf(id, sizeof id, "%s-%zu", plan->tag, run);
    snprintf(writer, sizeof writer, "%s-%zu", plan->tag, number);
    if (plan->n_ranks > 1) {
        open.launch = id;
        open.rank = (int64_t)rank;
        open.world = (int64_t)plan->n_ranks;
    }
    text = control_encode_open(&open);
    session = text ? session_new(text, "load", getpid(), &err) : NULL;
    if (text && !session)
        fprintf(stderr, "%s\n", err.text);
    cJSON_free(text);
    return session;
}

struct trainer *trainer_new(void *zmq_context, const struct trainer_plan *plan, size_t number,
                            double now_s)
{
    struct trainer *trainer = calloc(1, sizeof *trainer);

    if (!trainer)
        return NULL;
    *trainer = (struct trainer){.plan = plan, .context = zmq_context, .next_s = now_s};
    trainer->session = make_session(plan, number);
    if (trainer->session)
        connect_socket(trainer, now_s);
    if (!trainer->session || !trainer->socket) {
        trainer_free(trainer);
        return NULL;
    }
    return trainer;
}

void trainer_free(struct trainer *trainer)
{
    if (!trainer)
        return;
    session_abandon(&trainer->ticket);
    if (trainer->socket)
        zmq_close(trainer->socket);
    session_free(trainer->session);
    free(trainer);
}

/* ---- in and out ---------------------------------------------------------------------------- */

static void receive(struct trainer *trainer, double now_s)
{
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, trainer->socket, ZMQ_DONTWAIT) >= 0) {
        struct control message;
        struct err err;

        if (control_parse(zmq_msg_data(&frame), zmq_msg_size(&frame), &message, &err) < 0)
            continue;
        session_receive(trainer->session, &message, ms_of(now_s));
        control_release(&message);
    }
    zmq_msg_close(&frame);
}

static int send_copy(void *socket, const void *data, size_t size, int flags)
{
    return zmq_send(socket, data, size, flags | ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

/* The payload is nobody's to free: libzmq reads it where it lies. */
static int send_payload(void *socket, const struct payload *payload)
{
    int rc = 0;

    for (size_t i = 0; i < payload->n_frames && rc == 0; i++)
        rc = zmq_send_const(socket, payload->frames[i].data, payload->frames[i].size,
                            ZMQ_DONTWAIT | (i + 1 < payload->n_frames ? ZMQ_SNDMORE : 0)) < 0
                 ? -1
                 : 0;
    return rc;
}

static int send_item(struct trainer *trainer, const struct item *item)
{
    uint8_t header[WIRE_HEADER_SIZE];
    int rc;

    if (!item_is_batch(item))
        return send_copy(trainer->socket, item->text, item->text_size, 0);
    wire_header_encode(&item->header, header);
    rc = send_copy(trainer->socket, header, sizeof header, ZMQ_SNDMORE);
    if (rc == 0)
        rc = send_copy(trainer->socket, item->layer, strlen(item->layer), ZMQ_SNDMORE);
    return rc == 0 ? send_payload(trainer->socket, trainer->plan->payload) : rc;
}

static void send_all(struct trainer *trainer, double now_s)
{
    struct item *item = session_next(trainer->session, ms_of(now_s));

    while (item && send_item(trainer, item) == 0) {
        session_sent(trainer->session, item);
        item = session_next(trainer->session, ms_of(now_s));
    }
}

/* ---- what it does -------------------------------------------------------------------------- */

static void fail(struct trainer *trainer, struct trainer_tally *tally, const char *why)
{
    snprintf(tally->complaint, sizeof tally->complaint, "%s", why);
    tally->n_failed++;
    trainer->has_ended = true;
}

static int submit_layers(struct trainer *trainer, int64_t step)
{
    const struct wire_frame none[ITEM_ROW_FRAMES] = {{NULL, 0}};
    const struct payload *payload = trainer->plan->payload;
    int rc = 0;

    for (size_t i = 0; i < trainer->plan->n_layers && rc == 0; i++) {
        struct wire_header header = payload->header;
        char layer[32];
        struct item *batch;

        header.step = step;
        snprintf(layer, sizeof layer, "block.%zu", i);
        batch = item_batch(&header, layer, none, NULL, 0);
        if (!batch)
            return -ENOMEM;
        batch->bytes_total += payload->size;
        rc = session_submit(trainer->session, batch);
    }
    return rc;
}

static void make_checkpoint(struct trainer *trainer, double now_s, struct trainer_tally *tally)
{
    const int64_t step = (int64_t)++trainer->n_made;
    const struct richd_extras extras = RICHD_EXTRAS;
    struct err err = {""};
    int rc = submit_layers(trainer, step);

    trainer->ticket = (struct ticket){0};
    if (rc == 0)
        rc = session_checkpoint(trainer->session, step, clock_wall_s(), &extras, &trainer->ticket,
                                &err);
    if (rc < 0) {
        fail(trainer, tally, *err.text ? err.text : strerror(-rc));
        return;
    }
    trainer->waits = true;
    trainer->asked_s = now_s;
    trainer->next_s += trainer->plan->period_s;
    if (trainer->next_s < now_s)
        trainer->next_s = now_s;
}

static void close_run(struct trainer *trainer, struct trainer_tally *tally)
{
    struct err err = {""};

    trainer->ticket = (struct ticket){0};
    if (session_close(trainer->session, CONTROL_FINISHED, &trainer->ticket, &err) < 0)
        fail(trainer, tally, err.text);
    trainer->waits = trainer->closes = true;
}

static void settle(struct trainer *trainer, double now_s, struct trainer_tally *tally)
{
    trainer->waits = false;
    if (trainer->ticket.rc < 0) {
        fail(trainer, tally, session_complaint(trainer->session));
        return;
    }
    trainer->has_ended = trainer->closes;
    if (trainer->closes)
        return;
    tally->n_acknowledged++;
    if (tally->n_waits < tally->waits_max)
        tally->waits_s[tally->n_waits++] = now_s - trainer->asked_s;
}

static void add_stats(const struct trainer *trainer, struct trainer_tally *tally)
{
    struct richd_stats stats;

    session_stats(trainer->session, &stats);
    tally->batches_dropped += stats.batches_dropped;
    tally->batches_refused += stats.batches_refused;
}

static void reconnect_when_stale(struct trainer *trainer, double now_s, struct trainer_tally *tally)
{
    if (trainer->socket && !session_is_stale(trainer->session, ms_of(now_s)) &&
        session_state(trainer->session) != SESSION_AWAY)
        return;
    if (ms_of(now_s) < session_retry_at(trainer->session))
        return;
    session_disconnected(trainer->session, ms_of(now_s));
    connect_socket(trainer, now_s);
    tally->n_reconnects++;
}

void trainer_turn(struct trainer *trainer, double now_s, struct trainer_tally *tally)
{
    if (trainer->has_ended)
        return;
    receive(trainer, now_s);
    if (trainer->waits && trainer->ticket.settled)
        settle(trainer, now_s, tally);
    if (!trainer->has_ended && session_ended(trainer->session) < 0)
        fail(trainer, tally, session_complaint(trainer->session));
    if (session_state(trainer->session) == SESSION_OPEN) {
        trainer->was_open = true;
        if (!trainer->waits && !trainer->has_ended && !trainer->plan->holds &&
            now_s >= trainer->next_s) {
            if (trainer->n_made < trainer->plan->n_checkpoints)
                make_checkpoint(trainer, now_s, tally);
            else
                close_run(trainer, tally);
        }
    }
    if (trainer->has_ended) {
        add_stats(trainer, tally);
        return;
    }
    session_tick(trainer->session, ms_of(now_s));
    reconnect_when_stale(trainer, now_s, tally);
    if (trainer->socket)
        send_all(trainer, now_s);
}

bool trainer_was_open(const struct trainer *trainer)
{
    return trainer->was_open;
}

bool trainer_has_ended(const struct trainer *trainer)
{
    return trainer->has_ended;
}

void *trainer_socket(const struct trainer *trainer)
{
    return trainer->socket;
}
