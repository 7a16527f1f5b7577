#include "daemon/ingest/ingest.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/host/files.h"
#include "daemon/host/holder.h"
#include "daemon/ingest/parts.h"
#include "proto/control.h"

/* Messages taken in one turn of the loop, so that timers and the feed are not kept waiting. */
#define MESSAGES_A_TURN 256
/* Answers waiting for one peer: all its control messages may be acknowledged by one commit, as when
 * a full disk has room again, between credit and pongs. */
#define MAX_ANSWERS (RUN_UNSTORED_MAX + 1024)
/* Time that the last acknowledgements get at the end. */
#define LINGER_MS 500
/* Memory of fewer is not worth a walk through all of it: 6 MB. */
#define MANY_TRAINERS 256

static void close_frames(struct incoming *message)
{
    for (size_t i = 0; i < message->n_frames; i++)
        zmq_msg_close(&message->frames[i]);
    message->n_frames = 0;
}

/* The peer's number, or 0 for a routing id that libzmq did not make. */
static peer_id peer_of(zmq_msg_t *message)
{
    const uint8_t *bytes = zmq_msg_data(message);

    if (zmq_msg_size(message) != ROUTING_ID_SIZE || bytes[0] != 0)
        return 0;
    return ((peer_id)bytes[1] << 24 | (peer_id)bytes[2] << 16 | (peer_id)bytes[3] << 8 | bytes[4]) +
           1;
}

static void count_frame(struct incoming *message, zmq_msg_t *frame)
{
    message->bytes += ingest_frame_bytes(zmq_msg_size(frame));
    if (message->fd < 0)
        message->fd = zmq_msg_get(frame, ZMQ_SRCFD);
}

/* Takes the frames behind the routing id; those beyond WIRE_FRAMES_MAX are discarded. */
static void receive_frames(struct ingest *ingest, struct incoming *message)
{
    zmq_msg_t spare = {0};
    bool more = true;

    while (more) {
        zmq_msg_t *frame =
            message->n_frames < WIRE_FRAMES_MAX ? &message->frames[message->n_frames] : &spare;

        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, ingest->socket, ZMQ_DONTWAIT) < 0)
            break;
        more = zmq_msg_more(frame);
        count_frame(message, frame);
        if (frame == &spare) {
            message->too_many = true;
            zmq_msg_close(frame);
        } else {
            message->n_frames++;
        }
    }
}

/* Takes one message. False when none waits. */
static bool receive(struct ingest *ingest)
{
    struct incoming message = {.fd = -1};
    zmq_msg_t frame;
    peer_id peer;
    const char *first;

    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, ingest->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&frame);
        return false;
    }
    peer = peer_of(&frame);
    if (zmq_msg_more(&frame))
        receive_frames(ingest, &message);
    zmq_msg_close(&frame);
    gate_take(message.fd, message.bytes);
    ingest->places[peer % PEER_PLACES] = (struct place){peer, message.fd};
    first = message.n_frames > 0 && zmq_msg_size(&message.frames[0]) > 0
                ? zmq_msg_data(&message.frames[0])
                : "";
    if (!peer)
        log_warn_limited(&ingest->limit,
                         "ignored a message of a peer that chose its own routing id");
    else if (*first == '{')
        ingest_take_control(ingest, peer, &message);
    else
        ingest_take_data(ingest, peer, &message);
    close_frames(&message);
    return true;
}

static void on_readable(struct zwatch *watch)
{
    struct ingest *ingest = watch->data;

    /* What one message does may stop us: the others of this turn are no longer wanted. */
    for (int i = 0; i < MESSAGES_A_TURN && !ingest->stopped && receive(ingest); i++)
        ;
}

static int set_options(void *socket)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, /* say when a peer is gone or full, in place of dropping */
        {ZMQ_HANDSHAKE_IVL, 2000}, /* ms; connections that never speak are cut */
        {ZMQ_SNDHWM, MAX_ANSWERS}, {ZMQ_BACKLOG, 1024}, {ZMQ_LINGER, LINGER_MS},
    };
    int64_t max_size = WIRE_FRAME_MAX;

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof(int)) < 0)
            return -zmq_errno();
    }
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_size, sizeof max_size) < 0)
        return -zmq_errno();
    return 0;
}

/* Off unless needed: with it, 127.0.0.1 would be reported as [::ffff:127.0.0.1]. */
static int allow_ipv6(void *socket, const char *endpoint)
{
    int on = strchr(endpoint, '[') != NULL;

    return zmq_setsockopt(socket, ZMQ_IPV6, &on, sizeof on);
}

static int bind_socket(struct ingest *ingest, const char *endpoint)
{
    size_t size = sizeof ingest->endpoint;

    ingest->context = zmq_ctx_new();
    ingest->socket = ingest->context ? zmq_socket(ingest->context, ZMQ_ROUTER) : NULL;
    if (!ingest->socket || set_options(ingest->socket) < 0 ||
        allow_ipv6(ingest->socket, endpoint) < 0 || zmq_bind(ingest->socket, endpoint) < 0 ||
        zmq_getsockopt(ingest->socket, ZMQ_LAST_ENDPOINT, ingest->endpoint, &size) < 0)
        return -zmq_errno();
    return 0;
}

/* libzmq 4.3.4 leaves the file of a socket behind. It goes while the socket still listens, when it
 * cannot be another daemon's yet (lock_check_socket). */
static void remove_file(const struct ingest *ingest)
{
    if (strncmp(ingest->endpoint, "ipc://", 6) == 0)
        unlink(ingest->endpoint + 6);
}

static void free_ingest(struct ingest *ingest)
{
    remove_file(ingest);
    if (ingest->socket)
        zmq_close(ingest->socket);
    if (ingest->context)
        zmq_ctx_term(ingest->context);
    gate_close();
    free(ingest->places);
    free(ingest);
}

int ingest_open(uv_loop_t *loop, const char *endpoint, const struct ingest_config *config,
                struct ingest **out, struct err *why)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    char held[HOLDER_SIZE];
    int rc;

    if (!ingest)
        return err_set(why, -ENOMEM, "out of memory");
    ingest->on_event = config->on_event;
    ingest->arg = config->arg;
    ingest->places = calloc(PEER_PLACES, sizeof *ingest->places);
    rc = ingest->places ? gate_open(config->waiting_bytes_max) : -ENOMEM;
    if (rc == 0)
        rc = bind_socket(ingest, endpoint);
    if (rc == 0) {
        ingest->watch.data = ingest;
        rc = zwatch_init(&ingest->watch, loop, ingest->socket, on_readable);
    }
    if (rc < 0) {
        err_set(why, rc, "%s: %s%s", endpoint, zmq_strerror(-rc),
                holder_describe(endpoint, rc, held));
        free_ingest(ingest);
        return rc;
    }
    *out = ingest;
    return 0;
}

void ingest_tell(struct ingest *ingest, const char *feed, const char *page)
{
    ingest->feed = feed;
    ingest->page = strncmp(ingest->endpoint, "ipc://", 6) == 0 ? page : NULL;
}

const char *ingest_endpoint(const struct ingest *ingest)
{
    return ingest->endpoint;
}

uint64_t ingest_n_refused(const struct ingest *ingest)
{
    return ingest->n_refused;
}

static void log_gate(struct ingest *ingest)
{
    struct gate_counts counts = gate_counts();

    if (counts.refused > ingest->counts.refused)
        log_warn_limited(&ingest->limit,
                         "refused %" PRIu64 " connections of trainers: the others have all of the "
                         "%zu files that may be open, but for what readers and the store need "
                         "(ulimit -n, LimitNOFILE=)",
                         counts.refused - ingest->counts.refused, files_limit());
    if (counts.cut > ingest->counts.cut)
        log_warn_limited(
            &ingest->limit,
            "cut trainers whose messages have no end, or who take no answers: %" PRIu64
            ", the last one process %lld of user %lld, with %.1f MiB that could not be "
            "read and %.1f MiB that could not be sent",
            counts.cut - ingest->counts.cut, (long long)counts.cut_pid,
            (long long)(int)counts.cut_uid, (double)counts.cut_unread / 0x1p20,
            (double)counts.cut_unsent / 0x1p20);
    ingest->was_cut |= counts.cut > ingest->counts.cut;
    ingest->counts = counts;
}

/* libzmq has 25 kB for each trainer, in pieces among others: they go back to the system when most
 * of many trainers have been gone for a second. So does what one sent that was cut, once libzmq has
 * let go of it, which it has a second later. */
static void give_back_memory(struct ingest *ingest)
{
    size_t peak = gate_peak();
    bool have_gone;

    if (peak > ingest->most_connected)
        ingest->most_connected = peak;
    have_gone = ingest->most_connected >= MANY_TRAINERS && peak <= ingest->most_connected / 2;
    if (have_gone)
        ingest->most_connected = peak;
    if (have_gone || ingest->was_cut)
        malloc_trim(0);
    ingest->was_cut = false;
}

/* What a step answers may fail again, which is for the next report. */
static void report_gone(struct ingest *ingest)
{
    peer_id gone[MAX_GONE];
    size_t n = ingest->n_gone;

    memcpy(gone, ingest->gone, n * sizeof *gone);
    ingest->n_gone = 0;
    for (size_t i = 0; i < n; i++) {
        struct event why = {0};

        ingest_emit(ingest, &why, EV_GONE, gone[i]);
    }
}

void ingest_tick(struct ingest *ingest)
{
    give_back_memory(ingest);
    log_gate(ingest);
    report_gone(ingest);
}

void ingest_stop(struct ingest *ingest)
{
    ingest->stopped = true;
    zwatch_stop(&ingest->watch);
}

static void on_watch_closed(struct zwatch *watch)
{
    struct ingest *ingest = watch->data;
    void (*on_closed)(void *) = ingest->on_closed;
    void *arg = ingest->closed_arg;

    free_ingest(ingest);
    on_closed(arg);
}

void ingest_close(struct ingest *ingest, void (*on_closed)(void *arg), void *arg)
{
    ingest->on_closed = on_closed;
    ingest->closed_arg = arg;
    zwatch_close(&ingest->watch, on_watch_closed);
}
