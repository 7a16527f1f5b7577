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
    if (message->fd < 0) {
        message->fd = zmq_msg_get(frame, ZMQ_SRCFD);
        message->key = zmq_msg_gets(frame, ZAP_KEY_PROPERTY);
    }
    message->bytes += ingest_frame_bytes(zmq_msg_size(frame), message->key != NULL);
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

/* Whether its sender has the right to send it, still. On our own machine everyone has who gets in.
 */
static bool is_authorised(const struct ingest *ingest, struct incoming *message)
{
    if (!ingest->authorised || !message->key)
        return true;
    message->who = authorised_find(ingest->authorised, message->key);
    return message->who;
}

/* The key has left the file, or its right. The trainer is told when it connects again. */
static void cut_off(struct ingest *ingest, peer_id peer, const struct incoming *message)
{
    struct event gone = {0};

    log_warn_limited(&ingest->limit, "cut off a trainer whose key may write no longer: %s",
                     message->who ? message->who->name : message->key);
    ingest->n_refused++;
    gate_cut(message->fd);
    ingest_emit(ingest, &gone, EV_GONE, peer);
}

static void take(struct ingest *ingest, peer_id peer, struct incoming *message)
{
    const char *first = message->n_frames > 0 && zmq_msg_size(&message->frames[0]) > 0
                            ? zmq_msg_data(&message->frames[0])
                            : "";

    if (!peer)
        log_warn_limited(&ingest->limit,
                         "ignored a message of a peer that chose its own routing id");
    else if (!is_authorised(ingest, message))
        cut_off(ingest, peer, message);
    else if (*first == '{')
        ingest_take_control(ingest, peer, message);
    else
        ingest_take_data(ingest, peer, message);
}

/* Notes where the peer's message came from. */
static void note_place(struct ingest *ingest, peer_id peer, const struct incoming *message)
{
    struct place *place = &ingest->places[peer % PEER_PLACES];
    bool is_relay = place->peer == peer && place->is_relay;

    *place = (struct place){peer, message->fd, message->key != NULL, is_relay};
}

/* Takes one message. False when none waits. */
static bool receive(struct ingest *ingest)
{
    struct incoming message = {.fd = -1};
    zmq_msg_t frame;
    peer_id peer;

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
    note_place(ingest, peer, &message);
    take(ingest, peer, &message);
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

struct option {
    int option;
    int value;
};

static int set_options(void *socket, const struct option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof(int)) < 0)
            return -zmq_errno();
    }
    return 0;
}

static int set_size_max(void *socket, int64_t size_max)
{
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max) < 0 ? -zmq_errno()
                                                                                  : 0;
}

static int set_local_options(void *socket)
{
    static const struct option options[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, /* say when a peer is gone or full, in place of dropping */
        {ZMQ_HANDSHAKE_IVL, 2000}, /* ms; connections that never speak are cut */
        {ZMQ_SNDHWM, MAX_ANSWERS}, {ZMQ_BACKLOG, 1024}, {ZMQ_LINGER, LINGER_MS},
    };
    int rc = set_options(socket, options, sizeof options / sizeof *options);

    return rc == 0 ? set_size_max(socket, WIRE_FRAME_MAX) : rc;
}

/* What holds for addresses that are bound from now on: libzmq asks us for every key, and lets
 * nobody in where we do not answer. A handshake takes three ways there and back, which a lost
 * packet makes seconds. A host that died is found after 10 s + 3 x 5 s, when its run is long lost
 * (MONITOR_SILENT_S): its memory is given back. ZMTP's own heartbeats would be counted as bytes
 * that ingest never takes. */
static int set_network_options(void *socket, const struct keyfile *key)
{
    static const struct option options[] = {
        {ZMQ_CURVE_SERVER, 1},      {ZAP_ENFORCE_DOMAIN, 1},      {ZMQ_HANDSHAKE_IVL, 5000},
        {ZMQ_TCP_KEEPALIVE, 1},     {ZMQ_TCP_KEEPALIVE_IDLE, 10}, {ZMQ_TCP_KEEPALIVE_INTVL, 5},
        {ZMQ_TCP_KEEPALIVE_CNT, 3}, {ZMQ_TCP_MAXRT, 30000},
    };
    int rc = set_options(socket, options, sizeof options / sizeof *options);

    if (rc == 0 && (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret_key, KEY_SIZE) < 0 ||
                    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) < 0))
        rc = -zmq_errno();
    return rc == 0 ? set_size_max(socket, WIRE_FRAME_MAX + CURVE_BOX_BYTES) : rc;
}

/* IPv6 is off unless needed: with it, 127.0.0.1 would be reported as [::ffff:127.0.0.1]. */
static int bind_one(void *socket, const char *address, char *bound, size_t size)
{
    int on = strchr(address, '[') != NULL;

    if (zmq_setsockopt(socket, ZMQ_IPV6, &on, sizeof on) < 0 || zmq_bind(socket, address) < 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) < 0)
        return -zmq_errno();
    return 0;
}

static int bind_local(struct ingest *ingest, const char *endpoint)
{
    int rc;

    ingest->context = zmq_ctx_new();
    ingest->socket = ingest->context ? zmq_socket(ingest->context, ZMQ_ROUTER) : NULL;
    if (!ingest->socket)
        return -zmq_errno();
    rc = set_local_options(ingest->socket);
    if (rc < 0)
        return rc;
    return bind_one(ingest->socket, endpoint, ingest->endpoint, sizeof ingest->endpoint);
}

static void read_keys(struct ingest *ingest, bool always)
{
    struct err problem;
    int rc = authorised_refresh(ingest->authorised, always, &problem);

    if (rc < 0)
        log_error("%s", problem.text);
    if (rc != 0)
        log_info("authorised_keys: %zu keys may connect", authorised_count(ingest->authorised));
}

/* One that is not open has no zap to close either. */
static int open_keys(struct ingest *ingest, uv_loop_t *loop, const struct ingest_config *config)
{
    int rc;

    ingest->authorised = authorised_new(config->authorised);
    if (!ingest->authorised)
        return -ENOMEM;
    read_keys(ingest, true);
    rc = zap_open(&ingest->zap, loop, ingest->context, ingest->authorised);
    if (rc == 0)
        rc = set_network_options(ingest->socket, config->key);
    return rc;
}

static int bind_network(struct ingest *ingest, uv_loop_t *loop, const struct ingest_config *config,
                        struct err *why)
{
    const struct listen *listen = config->listen;
    int rc = listen && listen->n_more > 0 ? open_keys(ingest, loop, config) : 0;

    if (rc < 0)
        return err_set(why, rc, "asking for keys: %s", zmq_strerror(-rc));
    for (size_t i = 0; rc == 0 && listen && i < listen->n_more; i++) {
        rc =
            bind_one(ingest->socket, listen->more[i], ingest->network.more[i], LISTEN_ADDRESS_SIZE);
        if (rc < 0)
            return err_set(why, rc, "%s: %s", listen->more[i], zmq_strerror(-rc));
        ingest->network.n_more++;
    }
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
    zap_release(&ingest->zap);
    if (ingest->context)
        zmq_ctx_term(ingest->context);
    gate_close();
    authorised_free(ingest->authorised);
    free(ingest->places);
    free(ingest);
}

static void on_given_up(void *arg)
{
    (void)arg;
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
    ingest->on_relay = config->on_relay;
    ingest->arg = config->arg;
    ingest->places = calloc(PEER_PLACES, sizeof *ingest->places);
    rc = ingest->places ? gate_open(config->waiting_bytes_max) : -ENOMEM;
    if (rc == 0)
        rc = bind_local(ingest, endpoint);
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
    rc = bind_network(ingest, loop, config, why);
    if (rc < 0) {
        ingest_close(ingest, on_given_up, NULL);
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

const struct listen *ingest_network(const struct ingest *ingest)
{
    return ingest->network.n_more > 0 ? &ingest->network : NULL;
}

void ingest_read_keys(struct ingest *ingest)
{
    if (ingest->authorised)
        read_keys(ingest, true);
}

uint64_t ingest_n_refused(const struct ingest *ingest)
{
    return ingest->n_refused;
}

static void log_gate(struct ingest *ingest)
{
    struct gate_counts counts = gate_counts();
    /* Keys that were refused have a line of their own. */
    uint64_t nameless =
        counts.strangers > ingest->zap.n_refused ? counts.strangers - ingest->zap.n_refused : 0;

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
    if (nameless > ingest->n_nameless)
        log_warn_limited(&ingest->strangers,
                         "%" PRIu64 " connections of the network ended without showing a key, the "
                         "last one from %s",
                         nameless - ingest->n_nameless, counts.stranger);
    if (nameless > ingest->n_nameless)
        ingest->n_nameless = nameless;
    if (counts.crowded > ingest->counts.crowded)
        log_warn_limited(&ingest->strangers,
                         "turned %" PRIu64 " connections of the network away, the last one from "
                         "%s: %d others have shown no key so far",
                         counts.crowded - ingest->counts.crowded, counts.stranger,
                         GATE_STRANGERS_MAX);
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
    if (ingest->authorised)
        read_keys(ingest, false);
    give_back_memory(ingest);
    log_gate(ingest);
    report_gone(ingest);
}

void ingest_stop(struct ingest *ingest)
{
    ingest->stopped = true;
    zwatch_stop(&ingest->watch);
    if (ingest->zap.socket)
        zap_stop(&ingest->zap);
}

static void end(struct ingest *ingest)
{
    void (*on_closed)(void *) = ingest->on_closed;
    void *arg = ingest->closed_arg;

    free_ingest(ingest);
    on_closed(arg);
}

static void on_zap_closed(struct zwatch *watch)
{
    end(LIST_ENTRY(watch->data, struct ingest, zap));
}

static void on_watch_closed(struct zwatch *watch)
{
    struct ingest *ingest = watch->data;

    if (ingest->zap.socket)
        zwatch_close(&ingest->zap.watch, on_zap_closed);
    else
        end(ingest);
}

void ingest_close(struct ingest *ingest, void (*on_closed)(void *arg), void *arg)
{
    ingest->on_closed = on_closed;
    ingest->closed_arg = arg;
    zwatch_close(&ingest->watch, on_watch_closed);
}
