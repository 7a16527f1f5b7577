#include "client/c/sender.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/base/clock.h"

/* The timers of the session are whole seconds, so a look every quarter of a second is enough, and
 * cheap. */
#define TICK_MS 250
/* A connection that is not made in this time is given up; the endpoint is looked up again. */
#define CONNECT_MS 5000
/* How often the files are read again while there is no endpoint. */
#define LOOK_MS 500
/* The pause between two connections: doubled from the first to the last until a welcome. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS  5000
/* Messages in libzmq's pipe. libzmq counts messages and not bytes, so the number is small. */
#define SEND_HIGH_WATER 16
/* Frames below this are copied; beyond it libzmq borrows them from the item. */
#define COPY_MAX 1024

struct sender {
    struct shared *shared;
    const struct endpoints *endpoints;
    pthread_t thread;
    int wake; /* eventfd */
    atomic_bool stop;

    void *context;
    void *socket;  /* DEALER, or NULL between connections */
    void *monitor; /* its connection's events */
    unsigned n_monitors;
    struct endpoint endpoint; /* what the socket connects to */
    bool is_connected;
    bool is_full; /* the pipe took no more: wait for POLLOUT */
    int64_t began_at;
    int64_t retry_at;
    int64_t backoff_ms;
};

static void lock(struct sender *s)
{
    pthread_mutex_lock(&s->shared->lock);
}

static void unlock(struct sender *s)
{
    pthread_mutex_unlock(&s->shared->lock);
}

static void complain(struct sender *s, const char *text)
{
    lock(s);
    session_complain(s->shared->session, text);
    unlock(s);
}

/* ---- connections --------------------------------------------------------------------------- */

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* Set before connect, because libzmq takes most of them only then. Heartbeats stay 0: with them
 * libzmq 4.3.4 aborts its process when the reader is slow. */
static int set_options(void *socket)
{
    int64_t size_max = JSON_MAX_SIZE;

    if (set_int(socket, ZMQ_LINGER, 0) < 0 || set_int(socket, ZMQ_SNDHWM, SEND_HIGH_WATER) < 0 ||
        set_int(socket, ZMQ_RCVHWM, 0) < 0 || set_int(socket, ZMQ_IMMEDIATE, 1) < 0 ||
        set_int(socket, ZMQ_RECONNECT_IVL, BACKOFF_FIRST_MS) < 0 ||
        set_int(socket, ZMQ_RECONNECT_IVL_MAX, BACKOFF_LAST_MS) < 0)
        return -1;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
}

static int open_monitor(struct sender *s)
{
    char address[48];

    snprintf(address, sizeof address, "inproc://monitor-%u", ++s->n_monitors);
    if (zmq_socket_monitor(s->socket, address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) < 0)
        return -1;
    s->monitor = zmq_socket(s->context, ZMQ_PAIR);
    if (!s->monitor)
        return -1;
    set_int(s->monitor, ZMQ_LINGER, 0);
    return zmq_connect(s->monitor, address);
}

static void close_connection(struct sender *s)
{
    if (s->socket) {
        zmq_socket_monitor(s->socket, NULL, 0);
        zmq_close(s->socket);
    }
    if (s->monitor)
        zmq_close(s->monitor);
    s->socket = s->monitor = NULL;
    s->is_connected = s->is_full = false;
}

/* Ends this connection. After one that was made and failed, the next follows when the back-off has
 * passed. After one that libzmq could not make, and tried again and again, it follows a look at the
 * endpoint. */
static void give_up_connection(struct sender *s, int64_t now)
{
    int64_t pause_ms = s->is_connected ? s->backoff_ms : LOOK_MS;

    if (s->is_connected)
        s->backoff_ms = 2 * s->backoff_ms < BACKOFF_LAST_MS ? 2 * s->backoff_ms : BACKOFF_LAST_MS;
    close_connection(s);
    lock(s);
    session_disconnected(s->shared->session, now);
    s->retry_at = session_retry_at(s->shared->session);
    unlock(s);
    if (s->retry_at < now + pause_ms)
        s->retry_at = now + pause_ms;
}

static void begin_connection(struct sender *s, int64_t now)
{
    struct err e = {""};

    if (endpoints_find(s->endpoints, "ingest", &s->endpoint, &e) < 0) {
        complain(s, e.text);
        s->retry_at = now + LOOK_MS;
        return;
    }
    s->began_at = now;
    s->socket = zmq_socket(s->context, ZMQ_DEALER);
    if (s->socket && set_options(s->socket) == 0 &&
        set_int(s->socket, ZMQ_IPV6, strchr(s->endpoint.address, '[') != NULL) == 0 &&
        open_monitor(s) == 0 && zmq_connect(s->socket, s->endpoint.address) == 0)
        return;
    err_set(&e, -errno, "connecting to %s: %s", s->endpoint.address, zmq_strerror(errno));
    complain(s, e.text);
    give_up_connection(s, now);
}

/* True when the event says that this connection has ended. */
static bool receive_event(struct sender *s, const zmq_msg_t *event, int64_t now)
{
    uint16_t code;

    memcpy(&code, zmq_msg_data((zmq_msg_t *)(uintptr_t)event), sizeof code);
    if (code == ZMQ_EVENT_DISCONNECTED)
        return true;
    s->is_connected = true;
    lock(s);
    session_connected(s->shared->session, now);
    unlock(s);
    return false;
}

/* An event is two frames, its code and an address. */
static void drain_monitor(struct sender *s, int64_t now)
{
    bool ended = false;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (!ended && zmq_msg_recv(&frame, s->monitor, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more(&frame) && zmq_msg_size(&frame) >= sizeof(uint16_t))
            ended = receive_event(s, &frame, now);
    }
    zmq_msg_close(&frame);
    if (ended)
        give_up_connection(s, now);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void on_frame_sent(void *data, void *hint)
{
    (void)data;
    item_release(hint);
}

static int send_frame(void *socket, const struct wire_frame *frame, struct item *item, int flags)
{
    zmq_msg_t message;
    int rc;

    if (frame->size <= COPY_MAX || !item_is_batch(item)) {
        rc = zmq_msg_init_size(&message, frame->size);
        if (rc == 0 && frame->size > 0)
            memcpy(zmq_msg_data(&message), frame->data, frame->size);
    } else {
        rc = zmq_msg_init_data(&message, (void *)(uintptr_t)frame->data, frame->size, on_frame_sent,
                               item_retain(item));
        if (rc < 0)
            item_release(item);
    }
    if (rc < 0)
        return -1;
    rc = zmq_msg_send(&message, socket, flags | ZMQ_DONTWAIT);
    if (rc < 0) {
        int error = errno;

        zmq_msg_close(&message);
        errno = error;
    }
    return rc < 0 ? -1 : 0;
}

static size_t list_frames(const struct item *item, uint8_t header[WIRE_HEADER_SIZE],
                          struct wire_frame frames[2 + ITEM_ROW_FRAMES])
{
    size_t n = 0;

    if (!item_is_batch(item)) {
        frames[n++] = (struct wire_frame){item->text, item->text_size};
        return n;
    }
    wire_header_encode(&item->header, header);
    frames[n++] = (struct wire_frame){header, WIRE_HEADER_SIZE};
    frames[n++] = (struct wire_frame){item->layer, strlen(item->layer)};
    frames[n++] = item->rows[0];
    if (item->header.outputs_dtype != DTYPE_NONE)
        frames[n++] = item->rows[1];
    if (item->header.targets_dtype != DTYPE_NONE && item->header.kind == WIRE_ROWS)
        frames[n++] = item->rows[2];
    return n;
}

/* 0 when libzmq has the whole message. When it refuses a later frame, it has taken the earlier ones
 * back, so that the message may be sent again from its start. */
static int send_item(void *socket, struct item *item)
{
    uint8_t header[WIRE_HEADER_SIZE];
    struct wire_frame frames[2 + ITEM_ROW_FRAMES];
    size_t n = list_frames(item, header, frames);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = send_frame(socket, &frames[i], item, i + 1 < n ? ZMQ_SNDMORE : 0);
    return rc;
}

static struct item *next_item(struct sender *s, int64_t now)
{
    struct item *item;

    lock(s);
    item = session_next(s->shared->session, now);
    unlock(s);
    return item;
}

static void send_all(struct sender *s, int64_t now)
{
    struct item *item;

    s->is_full = false;
    while ((item = next_item(s, now)) != NULL) {
        if (send_item(s->socket, item) < 0) {
            s->is_full = true;
            return;
        }
        lock(s);
        session_sent(s->shared->session, item);
        unlock(s);
    }
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void receive(struct sender *s, zmq_msg_t *frame, int64_t now)
{
    struct control message;
    struct err e = {""};

    if (control_parse(zmq_msg_data(frame), zmq_msg_size(frame), &message, &e) < 0) {
        err_prefix(&e, 0, "from the daemon: ");
        complain(s, e.text);
        return;
    }
    lock(s);
    if (session_receive(s->shared->session, &message, now))
        pthread_cond_broadcast(&s->shared->settled);
    unlock(s);
    if (message.type == CONTROL_WELCOME)
        s->backoff_ms = BACKOFF_FIRST_MS;
    control_release(&message);
}

/* The daemon sends one frame for each message. When more come, the parser refuses each of them. */
static void drain_socket(struct sender *s, int64_t now)
{
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, s->socket, ZMQ_DONTWAIT) >= 0)
        receive(s, &frame, now);
    zmq_msg_close(&frame);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* True when the session wants no more of this connection, or when it is broken. */
static bool is_over(struct sender *s, int64_t now)
{
    struct session *session = s->shared->session;
    bool silent, over;
    struct err e;

    lock(s);
    session_tick(session, now);
    silent = s->is_connected ? session_is_stale(session, now) : now - s->began_at >= CONNECT_MS;
    over = s->is_connected && session_state(session) == SESSION_AWAY;
    if (silent) {
        err_set(&e, 0, "no answer from %s", s->endpoint.address);
        session_complain(session, e.text);
    }
    unlock(s);
    return silent || over;
}

static bool has_ended(struct sender *s)
{
    bool ended;

    lock(s);
    ended = session_state(s->shared->session) == SESSION_ENDED;
    unlock(s);
    return ended;
}

/* A thread that waits for an answer goes on when no answer can be expected. */
static void note_absence(struct sender *s, int64_t now)
{
    lock(s);
    if (session_note_absence(s->shared->session, now))
        pthread_cond_broadcast(&s->shared->settled);
    unlock(s);
}

static void serve_connection(struct sender *s, int64_t now)
{
    drain_monitor(s, now);
    if (s->is_connected)
        drain_socket(s, now);
    if (has_ended(s))
        close_connection(s);
    else if (s->socket && is_over(s, now))
        give_up_connection(s, now);
    else if (s->is_connected)
        send_all(s, now);
}

static void wait_for_events(struct sender *s)
{
    short in_out = (short)(ZMQ_POLLIN | (s->is_full ? ZMQ_POLLOUT : 0));
    zmq_pollitem_t items[] = {
        {NULL, s->wake, ZMQ_POLLIN, 0}, {s->monitor, 0, ZMQ_POLLIN, 0}, {s->socket, 0, in_out, 0}};
    uint64_t count;

    zmq_poll(items, s->socket ? 3 : 1, TICK_MS);
    if (read(s->wake, &count, sizeof count) < 0)
        return; /* nobody woke us */
}

static void *sender_main(void *argument)
{
    struct sender *s = argument;

    pthread_setname_np(pthread_self(), "richd-sender");
    while (!atomic_load(&s->stop)) {
        int64_t now = clock_monotonic_ms();

        if (!s->socket && now >= s->retry_at && !has_ended(s))
            begin_connection(s, now);
        if (s->socket)
            serve_connection(s, now);
        note_absence(s, now);
        if (!atomic_load(&s->stop))
            wait_for_events(s);
    }
    close_connection(s);
    return NULL;
}

/* The program's signal handlers must not run here. */
static int start_thread(struct sender *s)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->thread, NULL, sender_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

static void release(struct sender *s)
{
    if (s->context)
        zmq_ctx_term(s->context);
    if (s->wake >= 0)
        close(s->wake);
    free(s);
}

struct sender *sender_start(struct shared *shared, const struct endpoints *endpoints, struct err *e)
{
    struct sender *s = calloc(1, sizeof *s);
    int rc;

    assert(shared->session);

    if (!s) {
        err_set(e, -ENOMEM, "out of memory");
        return NULL;
    }
    s->shared = shared;
    s->endpoints = endpoints;
    s->backoff_ms = BACKOFF_FIRST_MS;
    s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->context = zmq_ctx_new();
    if (s->wake < 0 || !s->context) {
        err_set(e, -errno, "starting the sender: %s", strerror(errno));
        goto fail;
    }
    rc = start_thread(s);
    if (rc < 0) {
        err_set(e, rc, "starting the sender's thread: %s", strerror(-rc));
        goto fail;
    }
    return s;
fail:
    release(s);
    return NULL;
}

void sender_wake(struct sender *s)
{
    uint64_t one = 1;

    /* A full counter wakes the thread too; if it did not, the next tick would. */
    if (write(s->wake, &one, sizeof one) < 0)
        return;
}

void sender_stop(struct sender *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    sender_wake(s);
    pthread_join(s->thread, NULL);
    release(s);
}
