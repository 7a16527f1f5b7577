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
#include "proto/curve/joined.h"

/* The timers of the session are whole seconds, so a look every quarter of a second is enough, and
 * cheap. */
#define TICK_MS 250
/* A connection that is not made in this time is given up; the endpoint is looked up again. */
#define CONNECT_MS 5000
/* How often the files are read again while there is no endpoint. */
#define LOOK_MS 500
/* A daemon that does not know our key is asked no more often. libzmq itself asks no more at all. */
#define REFUSED_MS 2000
#define HANDSHAKE_REFUSED                                                                          \
    (ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                       \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
/* The pause between two connections: doubled from the first to the last until a welcome. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS  5000
/* Messages in libzmq's pipe. libzmq counts messages and not bytes, so the number is small. */
#define SEND_HIGH_WATER 16
/* Frames below this are copied; beyond it libzmq borrows them from the item. */
#define COPY_MAX 1024

struct sender {
    struct shared *shared;
    struct endpoints *endpoints;
    pthread_t thread;
    int wake; /* eventfd */
    atomic_bool stop;

    void *context;
    void *socket;  /* DEALER, or NULL between connections */
    void *monitor; /* its connection's events */
    unsigned n_monitors;
    struct endpoint endpoint; /* what the socket connects to */
    bool is_connected;
    bool is_refused;   /* for its keys, or the lack of them */
    bool is_full;      /* the pipe took no more: wait for POLLOUT */
    int64_t looked_at; /* the last turn; a much later one says that this thread stood still */
    int64_t began_at;
    int64_t retry_at;
    int64_t backoff_ms;
};

static void lock(struct sender *sender)
{
    pthread_mutex_lock(&sender->shared->lock);
}

static void unlock(struct sender *sender)
{
    pthread_mutex_unlock(&sender->shared->lock);
}

static void complain(struct sender *sender, const char *text)
{
    lock(sender);
    session_complain(sender->shared->session, text);
    unlock(sender);
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

static int open_monitor(struct sender *sender)
{
    char address[48];

    snprintf(address, sizeof address, "inproc://monitor-%u", ++sender->n_monitors);
    if (zmq_socket_monitor(sender->socket, address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                               HANDSHAKE_REFUSED) < 0)
        return -1;
    sender->monitor = zmq_socket(sender->context, ZMQ_PAIR);
    if (!sender->monitor)
        return -1;
    set_int(sender->monitor, ZMQ_LINGER, 0);
    return zmq_connect(sender->monitor, address);
}

static void close_connection(struct sender *sender)
{
    if (sender->socket) {
        zmq_socket_monitor(sender->socket, NULL, 0);
        zmq_close(sender->socket);
    }
    if (sender->monitor)
        zmq_close(sender->monitor);
    sender->socket = sender->monitor = NULL;
    sender->is_connected = sender->is_full = sender->is_refused = false;
}

/* Ends this connection. After one that was made and failed, the next follows when the back-off has
 * passed. After one that libzmq could not make, and tried again and again, it follows a look at the
 * endpoint. */
static void give_up_connection(struct sender *sender, int64_t now)
{
    int64_t pause_ms = sender->is_connected ? sender->backoff_ms
                       : sender->is_refused ? REFUSED_MS
                                            : LOOK_MS;

    if (sender->is_connected)
        sender->backoff_ms =
            2 * sender->backoff_ms < BACKOFF_LAST_MS ? 2 * sender->backoff_ms : BACKOFF_LAST_MS;
    close_connection(sender);
    lock(sender);
    session_disconnected(sender->shared->session, now);
    sender->retry_at = session_retry_at(sender->shared->session);
    unlock(sender);
    if (sender->retry_at < now + pause_ms)
        sender->retry_at = now + pause_ms;
}

static void complain_of_no_key(struct sender *sender)
{
    struct err err;

    err_set(&err, 0, "there is no key for %.300s (richctl invite, richctl join)",
            sender->endpoint.address);
    complain(sender, err.text);
}

static void begin_connection(struct sender *sender, int64_t now)
{
    struct err err = {""};
    int keys;

    if (endpoints_find(sender->endpoints, "ingest", &sender->endpoint, &err) < 0) {
        complain(sender, err.text);
        sender->retry_at = now + LOOK_MS;
        return;
    }
    endpoints_stay(sender->endpoints, &sender->endpoint);
    sender->began_at = now;
    sender->socket = zmq_socket(sender->context, ZMQ_DEALER);
    keys = sender->socket ? joined_set_keys(sender->endpoints->joined, sender->endpoint.address,
                                            sender->socket)
                          : 0;
    if (keys == -EACCES) {
        complain_of_no_key(sender);
        give_up_connection(sender, now);
        return;
    }
    if (sender->socket && keys == 0 && set_options(sender->socket) == 0 &&
        set_int(sender->socket, ZMQ_IPV6, strchr(sender->endpoint.address, '[') != NULL) == 0 &&
        open_monitor(sender) == 0 && zmq_connect(sender->socket, sender->endpoint.address) == 0)
        return;
    err_set(&err, -errno, "connecting to %s: %s", sender->endpoint.address, zmq_strerror(errno));
    complain(sender, err.text);
    give_up_connection(sender, now);
}

static void complain_of_refusal(struct sender *sender, uint16_t code)
{
    struct err err;

    err_set(&err, 0, "the daemon at %.300s %s (richctl invite, richctl join)",
            sender->endpoint.address,
            code == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
                ? "does not know the key of this host"
                : "ends the handshake: it asks for a key, or has another one now");
    complain(sender, err.text);
    sender->is_refused = true;
}

/* True when the event says that this connection has ended. */
static bool receive_event(struct sender *sender, const zmq_msg_t *event, int64_t now)
{
    uint16_t code;

    memcpy(&code, zmq_msg_data((zmq_msg_t *)(uintptr_t)event), sizeof code);
    if (code & HANDSHAKE_REFUSED)
        complain_of_refusal(sender, code);
    if (code == ZMQ_EVENT_DISCONNECTED || (code & HANDSHAKE_REFUSED))
        return true;
    sender->is_connected = true;
    lock(sender);
    session_connected(sender->shared->session, now);
    unlock(sender);
    return false;
}

/* An event is two frames, its code and an address. */
static void drain_monitor(struct sender *sender, int64_t now)
{
    bool ended = false;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (!ended && zmq_msg_recv(&frame, sender->monitor, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more(&frame) && zmq_msg_size(&frame) >= sizeof(uint16_t))
            ended = receive_event(sender, &frame, now);
    }
    zmq_msg_close(&frame);
    if (ended)
        give_up_connection(sender, now);
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

static struct item *next_item(struct sender *sender, int64_t now)
{
    struct item *item;

    lock(sender);
    item = session_next(sender->shared->session, now);
    unlock(sender);
    return item;
}

static void send_all(struct sender *sender, int64_t now)
{
    struct item *item;

    sender->is_full = false;
    while ((item = next_item(sender, now)) != NULL) {
        if (send_item(sender->socket, item) < 0) {
            sender->is_full = true;
            return;
        }
        lock(sender);
        session_sent(sender->shared->session, item);
        unlock(sender);
    }
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void receive(struct sender *sender, zmq_msg_t *frame, int64_t now)
{
    struct control message;
    struct err err = {""};

    if (control_parse(zmq_msg_data(frame), zmq_msg_size(frame), &message, &err) < 0) {
        err_prefix(&err, 0, "from the daemon: ");
        complain(sender, err.text);
        return;
    }
    lock(sender);
    if (session_receive(sender->shared->session, &message, now))
        pthread_cond_broadcast(&sender->shared->settled);
    unlock(sender);
    if (message.type == CONTROL_WELCOME)
        sender->backoff_ms = BACKOFF_FIRST_MS;
    control_release(&message);
}

/* The daemon sends one frame for each message. When more come, the parser refuses each of them. */
static void drain_socket(struct sender *sender, int64_t now)
{
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, sender->socket, ZMQ_DONTWAIT) >= 0)
        receive(sender, &frame, now);
    zmq_msg_close(&frame);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* True when the session wants no more of this connection, or when it is broken. */
static bool is_over(struct sender *sender, int64_t now)
{
    struct session *session = sender->shared->session;
    bool silent, over;
    struct err err;

    lock(sender);
    session_tick(session, now);
    silent = sender->is_connected ? session_is_stale(session, now)
                                  : now - sender->began_at >= CONNECT_MS;
    over = sender->is_connected && session_state(session) == SESSION_AWAY;
    if (silent) {
        err_set(&err, 0, "no answer from %s", sender->endpoint.address);
        session_complain(session, err.text);
    }
    unlock(sender);
    return silent || over;
}

static bool has_ended(struct sender *sender)
{
    bool ended;

    lock(sender);
    ended = session_state(sender->shared->session) == SESSION_ENDED;
    unlock(sender);
    return ended;
}

/* A thread that waits for an answer goes on when no answer can be expected. */
static void note_absence(struct sender *sender, int64_t now)
{
    int64_t late_ms = now - sender->looked_at - TICK_MS;

    lock(sender);
    if (late_ms >= TICK_MS)
        session_note_stall(sender->shared->session, late_ms);
    sender->looked_at = now;
    if (session_note_absence(sender->shared->session, now))
        pthread_cond_broadcast(&sender->shared->settled);
    unlock(sender);
}

static void serve_connection(struct sender *sender, int64_t now)
{
    drain_monitor(sender, now);
    if (sender->is_connected)
        drain_socket(sender, now);
    if (has_ended(sender))
        close_connection(sender);
    else if (sender->socket && is_over(sender, now))
        give_up_connection(sender, now);
    else if (sender->is_connected)
        send_all(sender, now);
}

static void wait_for_events(struct sender *sender)
{
    short in_out = (short)(ZMQ_POLLIN | (sender->is_full ? ZMQ_POLLOUT : 0));
    zmq_pollitem_t items[] = {{NULL, sender->wake, ZMQ_POLLIN, 0},
                              {sender->monitor, 0, ZMQ_POLLIN, 0},
                              {sender->socket, 0, in_out, 0}};
    uint64_t count;

    zmq_poll(items, sender->socket ? 3 : 1, TICK_MS);
    if (read(sender->wake, &count, sizeof count) < 0)
        return; /* nobody woke us */
}

static void *sender_main(void *argument)
{
    struct sender *sender = argument;

    pthread_setname_np(pthread_self(), "richd-sender");
    sender->looked_at = clock_monotonic_ms();
    while (!atomic_load(&sender->stop)) {
        int64_t now = clock_monotonic_ms();

        if (!sender->socket && now >= sender->retry_at && !has_ended(sender))
            begin_connection(sender, now);
        if (sender->socket)
            serve_connection(sender, now);
        note_absence(sender, now);
        if (!atomic_load(&sender->stop))
            wait_for_events(sender);
    }
    close_connection(sender);
    return NULL;
}

/* The program's signal handlers must not run here. */
static int start_thread(struct sender *sender)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&sender->thread, NULL, sender_main, sender);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

static void release(struct sender *sender)
{
    if (sender->context)
        zmq_ctx_term(sender->context);
    if (sender->wake >= 0)
        close(sender->wake);
    free(sender);
}

struct sender *sender_start(struct shared *shared, struct endpoints *endpoints, struct err *err)
{
    struct sender *sender = calloc(1, sizeof *sender);
    int rc;

    assert(shared->session);

    if (!sender) {
        err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    sender->shared = shared;
    sender->endpoints = endpoints;
    sender->backoff_ms = BACKOFF_FIRST_MS;
    sender->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sender->context = zmq_ctx_new();
    if (sender->wake < 0 || !sender->context) {
        err_set(err, -errno, "starting the sender: %s", strerror(errno));
        goto fail;
    }
    rc = start_thread(sender);
    if (rc < 0) {
        err_set(err, rc, "starting the sender's thread: %s", strerror(-rc));
        goto fail;
    }
    return sender;
fail:
    release(sender);
    return NULL;
}

void sender_wake(struct sender *sender)
{
    uint64_t one = 1;

    /* A full counter wakes the thread too; if it did not, the next tick would. */
    if (write(sender->wake, &one, sizeof one) < 0)
        return;
}

void sender_stop(struct sender *sender)
{
    if (!sender)
        return;
    atomic_store(&sender->stop, true);
    sender_wake(sender);
    pthread_join(sender->thread, NULL);
    release(sender);
}
