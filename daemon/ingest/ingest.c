#include "daemon/ingest/ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/ingest/parts.h"
#include "proto/control.h"

/* Messages taken in one turn of the loop, so that timers and the feed are not kept waiting. */
#define MESSAGES_A_TURN 256
/* Answers waiting for one peer: all its control messages may be acknowledged by one commit, as when
 * a full disk has room again, between credit and pongs. */
#define MAX_ANSWERS (RUN_UNSTORED_MAX + 1024)
/* Time that the last acknowledgements get at the end. */
#define LINGER_MS 500

const struct err ingest_no_memory = {"the daemon is out of memory"};

double ingest_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void ingest_emit(struct ingest *in, struct event *e, enum event_type type, peer_id peer)
{
    e->type = type;
    e->peer = peer;
    e->time = ingest_clock();
    in->on_event(in->arg, e);
}

static void message_close(struct message *m)
{
    for (size_t i = 0; i < m->n_frames; i++)
        zmq_msg_close(&m->frames[i]);
    m->n_frames = 0;
}

/* The peer's number, or 0 for a routing id that libzmq did not make. */
static peer_id peer_of(zmq_msg_t *id)
{
    const uint8_t *b = zmq_msg_data(id);

    if (zmq_msg_size(id) != ROUTING_ID_SIZE || b[0] != 0)
        return 0;
    return ((peer_id)b[1] << 24 | (peer_id)b[2] << 16 | (peer_id)b[3] << 8 | b[4]) + 1;
}

/* Takes the frames behind the routing id; those beyond WIRE_FRAMES_MAX are discarded. */
static void receive_frames(struct ingest *in, struct message *m)
{
    zmq_msg_t spare = {0};
    bool more = true;

    *m = (struct message){0};
    while (more) {
        zmq_msg_t *frame = m->n_frames < WIRE_FRAMES_MAX ? &m->frames[m->n_frames] : &spare;

        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, in->socket, ZMQ_DONTWAIT) < 0)
            break;
        more = zmq_msg_more(frame);
        if (frame == &spare) {
            m->too_many = true;
            zmq_msg_close(frame);
        } else {
            m->n_frames++;
        }
    }
}

/* Takes one message. False when none waits. */
static bool receive(struct ingest *in)
{
    struct message m = {0};
    zmq_msg_t id;
    peer_id peer;
    const char *first;

    zmq_msg_init(&id);
    if (zmq_msg_recv(&id, in->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&id);
        return false;
    }
    peer = peer_of(&id);
    if (zmq_msg_more(&id))
        receive_frames(in, &m);
    zmq_msg_close(&id);
    first = m.n_frames > 0 && zmq_msg_size(&m.frames[0]) > 0 ? zmq_msg_data(&m.frames[0]) : "";
    if (!peer)
        log_warn_limited(&in->limit, "ignored a message of a peer that chose its own routing id");
    else if (*first == '{')
        ingest_take_control(in, peer, &m);
    else
        ingest_take_data(in, peer, &m);
    message_close(&m);
    return true;
}

static void on_readable(struct zwatch *w)
{
    struct ingest *in = w->data;

    /* What one message does may stop us: the others of this turn are no longer wanted. */
    for (int i = 0; i < MESSAGES_A_TURN && !in->stopped && receive(in); i++)
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

static int bind_socket(struct ingest *in, const char *endpoint)
{
    size_t size = sizeof in->endpoint;

    in->context = zmq_ctx_new();
    in->socket = in->context ? zmq_socket(in->context, ZMQ_ROUTER) : NULL;
    if (!in->socket || set_options(in->socket) < 0 || allow_ipv6(in->socket, endpoint) < 0 ||
        zmq_bind(in->socket, endpoint) < 0 ||
        zmq_getsockopt(in->socket, ZMQ_LAST_ENDPOINT, in->endpoint, &size) < 0)
        return -zmq_errno();
    return 0;
}

/* libzmq 4.3.4 leaves the file of a socket behind. It goes while the socket still listens, when it
 * cannot be another daemon's yet (lock_check_socket). */
static void remove_file(const struct ingest *in)
{
    if (strncmp(in->endpoint, "ipc://", 6) == 0)
        unlink(in->endpoint + 6);
}

static void free_ingest(struct ingest *in)
{
    remove_file(in);
    if (in->socket)
        zmq_close(in->socket);
    if (in->context)
        zmq_ctx_term(in->context);
    free(in);
}

int ingest_open(uv_loop_t *loop, const char *endpoint, ingest_event_cb *on_event, void *arg,
                struct ingest **out, struct err *e)
{
    struct ingest *in = calloc(1, sizeof *in);
    int rc;

    if (!in)
        return err_set(e, -ENOMEM, "out of memory");
    in->on_event = on_event;
    in->arg = arg;
    rc = bind_socket(in, endpoint);
    if (rc == 0) {
        in->watch.data = in;
        rc = zwatch_init(&in->watch, loop, in->socket, on_readable);
    }
    if (rc < 0) {
        err_set(e, rc, "%s: %s", endpoint, zmq_strerror(-rc));
        free_ingest(in);
        return rc;
    }
    *out = in;
    return 0;
}

const char *ingest_endpoint(const struct ingest *in)
{
    return in->endpoint;
}

uint64_t ingest_n_refused(const struct ingest *in)
{
    return in->n_refused;
}

/* What a step answers may fail again, which is for the next report. */
void ingest_report_gone(struct ingest *in)
{
    peer_id gone[MAX_GONE];
    size_t n = in->n_gone;

    memcpy(gone, in->gone, n * sizeof *gone);
    in->n_gone = 0;
    for (size_t i = 0; i < n; i++) {
        struct event e = {0};

        ingest_emit(in, &e, EV_GONE, gone[i]);
    }
}

void ingest_stop(struct ingest *in)
{
    in->stopped = true;
    zwatch_stop(&in->watch);
}

static void on_watch_closed(struct zwatch *w)
{
    struct ingest *in = w->data;
    void (*on_closed)(void *) = in->on_closed;
    void *arg = in->closed_arg;

    free_ingest(in);
    on_closed(arg);
}

void ingest_close(struct ingest *in, void (*on_closed)(void *arg), void *arg)
{
    in->on_closed = on_closed;
    in->closed_arg = arg;
    zwatch_close(&in->watch, on_watch_closed);
}
