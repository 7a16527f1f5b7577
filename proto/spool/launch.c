#include "proto/spool/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "proto/base/clock.h"
#include "proto/curve/joined.h"

/* How long one wait takes at most: pings and pauses are whole seconds. */
#define TURN_MS 100
/* Messages in libzmq's pipe. It counts messages and not bytes, so the number is small. */
#define SEND_HIGH_WATER 16
/* Messages of one file until the next one has its turn. */
#define TURN_MESSAGES 64

struct line {
    struct replay *replay;
    void *socket; /* DEALER; NULL between connections */
    bool is_full; /* the pipe takes no more */
    int64_t connect_at;
};

struct sending {
    const struct launch_way *way;
    void *context;
    struct line *lines;
    zmq_pollitem_t *items;
    size_t n;
    bool all_are_open; /* once: until then nobody sends rows or marks */
    int64_t heard_at;
};

/* ---- connections --------------------------------------------------------------------------- */

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* Set before connect, because libzmq takes most of them only then. */
static int set_options(void *socket, const char *address)
{
    int64_t size_max = JSON_MAX_SIZE;

    if (set_int(socket, ZMQ_LINGER, 0) < 0 || set_int(socket, ZMQ_SNDHWM, SEND_HIGH_WATER) < 0 ||
        set_int(socket, ZMQ_RCVHWM, 0) < 0 || set_int(socket, ZMQ_IMMEDIATE, 1) < 0 ||
        set_int(socket, ZMQ_IPV6, strchr(address, '[') != NULL) < 0)
        return -1;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
}

/* Of a daemon of another host, where its user has joined one. */
static int set_keys(void *socket, const char *address)
{
    char path[JOINED_PATH_SIZE];

    if (joined_path(path, sizeof path) < 0)
        path[0] = '\0';
    return joined_set_keys(path, address, socket);
}

static void disconnect(struct line *line, int64_t now)
{
    if (line->socket)
        zmq_close(line->socket);
    line->socket = NULL;
    line->connect_at = now + REPLAY_RETRY_MS;
    replay_disconnected(line->replay);
}

/* 0 also where there is no daemon yet: it is looked for again. */
static int connect_line(struct sending *sending, struct line *line, int64_t now, struct err *err)
{
    char address[LAUNCH_ADDRESS_SIZE];
    int rc;

    if (sending->way->find(sending->way->context, address, err) < 0) {
        line->connect_at = now + REPLAY_RETRY_MS;
        return 0;
    }
    line->socket = zmq_socket(sending->context, ZMQ_DEALER);
    rc = line->socket ? set_keys(line->socket, address) : 0;
    if (rc == -EACCES)
        return err_set(err, rc, "there is no key for %s (richctl invite, richctl join)", address);
    if (!line->socket || rc < 0 || set_options(line->socket, address) < 0 ||
        zmq_connect(line->socket, address) < 0)
        return err_set(err, -errno, "connecting to %s: %s", address, zmq_strerror(errno));
    err_set(err, 0, "no richd answers at %s", address);
    replay_connected(line->replay, now);
    return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

static void receive(struct sending *sending, struct line *line, int64_t now)
{
    struct control message;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (!replay_is_over(line->replay) && zmq_msg_recv(&frame, line->socket, ZMQ_DONTWAIT) >= 0) {
        sending->heard_at = now;
        if (control_parse(zmq_msg_data(&frame), zmq_msg_size(&frame), &message, NULL) < 0)
            continue;
        replay_receive(line->replay, &message, now);
        control_release(&message);
    }
    zmq_msg_close(&frame);
}

static int send_frame(void *socket, const struct wire_frame *frame, int flags)
{
    zmq_msg_t message;
    int rc;

    if (zmq_msg_init_size(&message, frame->size) < 0)
        return -1;
    if (frame->size > 0)
        memcpy(zmq_msg_data(&message), frame->data, frame->size);
    rc = zmq_msg_send(&message, socket, flags | ZMQ_DONTWAIT);
    if (rc < 0)
        zmq_msg_close(&message);
    return rc < 0 ? -1 : 0;
}

/* When libzmq refuses a later frame, it has taken the earlier ones back. */
static int send_frames(void *socket, const struct wire_frame *frames, size_t n)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = send_frame(socket, &frames[i], i + 1 < n ? ZMQ_SNDMORE : 0);
    return rc;
}

static void send_some(const struct sending *sending, struct line *line, int64_t now)
{
    const struct wire_frame *frames;
    size_t n;

    line->is_full = false;
    for (int i = 0; i < TURN_MESSAGES; i++) {
        n = replay_next(line->replay, sending->all_are_open, now, &frames);
        if (n == 0)
            return;
        if (send_frames(line->socket, frames, n) < 0)
            break;
        replay_sent(line->replay);
    }
    line->is_full = true;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int take_turn(struct sending *sending, struct line *line, int64_t now, struct err *err)
{
    if (!line->socket && now >= line->connect_at && !replay_is_over(line->replay)) {
        int rc = connect_line(sending, line, now, err);

        if (rc < 0)
            return rc;
    }
    if (!line->socket)
        return 0;
    receive(sending, line, now);
    if (replay_tick(line->replay, now))
        send_some(sending, line, now);
    else
        disconnect(line, now);
    return 0;
}

static bool are_all_over(const struct sending *sending)
{
    for (size_t i = 0; i < sending->n; i++) {
        if (!replay_is_over(sending->lines[i].replay))
            return false;
    }
    return true;
}

/* A rank that was done before another one had joined would end the launch. */
static bool are_all_open(const struct sending *sending)
{
    for (size_t i = 0; i < sending->n; i++) {
        enum replay_state state = replay_state(sending->lines[i].replay);

        if (state != REPLAY_SENDING && state != REPLAY_KEPT)
            return false;
    }
    return true;
}

/* A rank that cannot come now: the others wait for it, as its rows belong into their points. */
static bool has_to_wait(const struct sending *sending)
{
    for (size_t i = 0; i < sending->n && !sending->all_are_open; i++) {
        if (replay_facts(sending->lines[i].replay)->may_pass)
            return true;
    }
    return false;
}

static void wait_for_events(struct sending *sending)
{
    int n = 0;

    for (size_t i = 0; i < sending->n; i++) {
        const struct line *line = &sending->lines[i];
        bool wants_out = line->is_full || replay_state(line->replay) == REPLAY_GREETING;

        if (line->socket)
            sending->items[n++] = (zmq_pollitem_t){
                line->socket, 0, (short)(ZMQ_POLLIN | (wants_out ? ZMQ_POLLOUT : 0)), 0};
    }
    zmq_poll(sending->items, n, TURN_MS);
}

static int send_all(struct sending *sending, struct replay *const *replays, struct err *err)
{
    const struct launch_way *way = sending->way;
    int rc = 0;

    sending->heard_at = clock_monotonic_ms();
    while (!are_all_over(sending) && !has_to_wait(sending)) {
        int64_t now = clock_monotonic_ms();

        sending->all_are_open = sending->all_are_open || are_all_open(sending);
        for (size_t i = 0; i < sending->n && rc == 0; i++)
            rc = take_turn(sending, &sending->lines[i], now, err);
        if (rc < 0)
            return rc;
        if (!way->turn(way->context, replays, sending->n))
            return err_set(err, -EINTR, "interrupted; the same command goes on with the rest");
        if (now - sending->heard_at >= way->timeout_ms)
            return -ENOTCONN; /* the text is that of the last try */
        wait_for_events(sending);
    }
    return 0;
}

static void release(struct sending *sending)
{
    for (size_t i = 0; sending->lines && i < sending->n; i++)
        disconnect(&sending->lines[i], 0);
    if (sending->context)
        zmq_ctx_term(sending->context);
    free(sending->lines);
    free(sending->items);
}

int launch_send(struct replay *const *replays, size_t n, const struct launch_way *way,
                struct err *err)
{
    struct sending sending = {.way = way, .n = n};
    int rc;

    sending.lines = calloc(n, sizeof *sending.lines);
    sending.items = calloc(n, sizeof *sending.items);
    sending.context = zmq_ctx_new();
    if (!sending.lines || !sending.items || !sending.context) {
        rc = err_set(err, -ENOMEM, "out of memory");
    } else {
        zmq_ctx_set(sending.context, ZMQ_MAX_SOCKETS, (int)n + 1);
        for (size_t i = 0; i < n; i++)
            sending.lines[i].replay = replays[i];
        rc = send_all(&sending, replays, err);
    }
    release(&sending);
    return rc;
}
