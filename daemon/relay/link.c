#include "daemon/relay/link.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/base/clock.h"
#include "proto/base/nack.h"
#include "proto/curve/joined.h"

/* So often a silent other side is asked whether it is there. A busy one answers that: the store's
 * lane may have a long repair before us. */
#define PING_MS 1000
/* How large an answer may be: the list of runs. */
#define ANSWER_BYTES_MAX (64 << 20)
/* What a slow way carries in a millisecond: no answer comes before the batch is there. A side that
 * has gone is found by ZMQ_TCP_MAXRT, whatever is on the way. */
#define BYTES_A_MS 16

/* ---- the socket ------------------------------------------------------------------------------ */

static int set_options(struct link *link, struct err *err)
{
    static const struct {
        int option, value;
    } options[] = {{ZMQ_LINGER, 0},        {ZMQ_SNDHWM, 16},        {ZMQ_RCVHWM, 0},
                   {ZMQ_TCP_KEEPALIVE, 1}, {ZMQ_RECONNECT_IVL, -1}, {ZMQ_CONNECT_TIMEOUT, 5000},
                   {ZMQ_TCP_MAXRT, 30000}};
    int64_t size_max = ANSWER_BYTES_MAX;
    int rc, v6 = strchr(link->address, '[') != NULL;

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        zmq_setsockopt(link->socket, options[i].option, &options[i].value, sizeof(int));
    zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    zmq_setsockopt(link->socket, ZMQ_IPV6, &v6, sizeof v6);
    rc = joined_set_keys(link->keys, link->address, link->socket);
    if (rc == -ENOTSUP)
        return err_set(err, rc, "%s: this libzmq has no CURVE", link->address);
    if (rc < 0)
        return err_set(err, rc, "%s: no key for it in %s (`richctl join --relay` puts one there)",
                       link->address, *link->keys ? link->keys : "any file");
    return 0;
}

/* A connection that has ended is told at once, and is not made again behind our back: what was
 * said on it has to be said again. */
static int watch(struct link *link, struct err *err)
{
    static const char address[] = "inproc://link";
    int linger = 0;

    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    if (!link->monitor ||
        zmq_socket_monitor(
            link->socket, address,
            ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) < 0 ||
        zmq_setsockopt(link->monitor, ZMQ_LINGER, &linger, sizeof linger) < 0 ||
        zmq_connect(link->monitor, address) < 0)
        return err_set(err, -ENOMEM, "no socket: %s", zmq_strerror(zmq_errno()));
    return 0;
}

void link_close(struct link *link)
{
    if (link->socket)
        zmq_close(link->socket);
    if (link->monitor)
        zmq_close(link->monitor);
    link->socket = link->monitor = NULL;
}

void link_release(struct link *link)
{
    link_close(link);
    if (link->context)
        zmq_ctx_term(link->context);
    link->context = NULL;
}

/* ---- messages -------------------------------------------------------------------------------- */

static int send_frame(struct link *link, const void *data, size_t size, bool has_more,
                      struct err *err)
{
    if (zmq_send(link->socket, data, size, ZMQ_DONTWAIT | (has_more ? ZMQ_SNDMORE : 0)) >= 0)
        return 0;
    return err_set(err, -ETIMEDOUT, "%s: it takes nothing", link->address);
}

/* Frees the text. */
static int say(struct link *link, char *text, const struct cbor *rows, struct err *err)
{
    int rc = text ? send_frame(link, text, strlen(text), rows != NULL, err)
                  : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0 && rows)
        rc = send_frame(link, rows->data, rows->size, false, err);
    cJSON_free(text);
    return rc;
}

/* A second frame is copied into `known`. */
static int receive(struct link *link, struct control *out, struct cbor *known, struct err *err)
{
    zmq_msg_t frames[2];
    int n = 0, rc;

    do {
        zmq_msg_t *frame = &frames[n < 2 ? n++ : 1];

        zmq_msg_init(frame);
        zmq_msg_recv(frame, link->socket, ZMQ_DONTWAIT);
    } while (zmq_msg_more(&frames[n - 1]));
    rc = control_parse(zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0]), out, err);
    if (rc < 0)
        err_prefix(err, rc, "%s: ", link->address);
    if (rc == 0 && n > 1 && known) {
        known->data = malloc(zmq_msg_size(&frames[1]) + 1);
        known->size = known->data ? zmq_msg_size(&frames[1]) : 0;
        if (known->data)
            memcpy(known->data, zmq_msg_data(&frames[1]), known->size);
    }
    for (int i = 0; i < n; i++)
        zmq_msg_close(&frames[i]);
    return rc;
}

/* The connection has ended, or did not come to be. */
static int lost(struct link *link, struct err *err)
{
    zmq_msg_t frame;
    uint16_t event = 0;

    zmq_msg_init(&frame);
    zmq_msg_recv(&frame, link->monitor, ZMQ_DONTWAIT);
    if (zmq_msg_size(&frame) >= sizeof event)
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
    zmq_msg_close(&frame);
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return err_set(err, -EACCES, "%s: it does not know our key", link->address);
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ||
        event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        return err_set(err, -EACCES, "%s: it does not take our key, or has another one",
                       link->address);
    return err_set(err, -ETIMEDOUT, "%s: it is away", link->address);
}

/* Asks a side that is silent whether it is there. */
static int stay_awake(struct link *link, struct err *err)
{
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - link->heard_ms > link->patience_ms)
        return err_set(err, -ETIMEDOUT, "%s: nobody answers", link->address);
    if (now_ms - link->heard_ms < PING_MS || now_ms - link->pinged_ms < PING_MS)
        return 0;
    link->pinged_ms = now_ms;
    return say(link, control_encode_ping(&(struct control_ping){.id = ++link->ping}), NULL, err);
}

/* Waits so long for a message: 1 when there is one, 0 when not, or as above. */
static int wait_within(struct link *link, int timeout_ms, struct err *err)
{
    zmq_pollitem_t items[] = {{link->socket, 0, ZMQ_POLLIN, 0},
                              {NULL, link->stop_fd, ZMQ_POLLIN, 0},
                              {link->monitor, 0, ZMQ_POLLIN, 0}};
    int rc = zmq_poll(items, 3, timeout_ms);

    if (rc > 0 && items[1].revents)
        return err_set(err, -ECANCELED, "richd is stopping");
    if (rc > 0 && items[0].revents) {
        link->heard_ms = clock_monotonic_ms();
        return 1;
    }
    return rc > 0 ? lost(link, err) : stay_awake(link, err);
}

static int code_of(const char *name)
{
    switch (nack_code_find(name)) {
    case NACK_EFENCED:
        return -ESTALE;
    case NACK_EACCES:
        return -EACCES;
    case NACK_EVERSION:
        return -ENOTSUP;
    case NACK_EIO:
    case NACK_EBUSY:
        return -EAGAIN;
    default:
        return -EPROTO;
    }
}

/* A ping is answered by ENOTOPEN, too, as no run is open here. */
static int refused(const struct link *link, const struct control_nack *nack, struct err *err)
{
    if (strcmp(nack->code, "ENOTOPEN") == 0)
        return 0;
    return err_set(err, code_of(nack->code), "%s: %s", link->address,
                   nack->text ? nack->text : nack->code);
}

/* Waits for a message of that type (release it), passing over others. */
static int expect(struct link *link, enum control_type type, struct control *out,
                  struct cbor *known, struct err *err)
{
    int rc = 0;

    while (rc == 0) {
        rc = wait_within(link, PING_MS, err);
        if (rc == 0)
            continue;
        if (rc > 0)
            rc = receive(link, out, known, err);
        if (rc < 0)
            return rc;
        if (out->type == type)
            return 0;
        if (out->type == CONTROL_NACK)
            rc = refused(link, &out->nack, err);
        control_release(out);
    }
    return rc;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static int greet(struct link *link, struct err *err)
{
    char host[HOST_NAME_MAX + 1] = "";
    struct control answer;
    int rc;

    gethostname(host, sizeof host - 1);
    rc = say(link,
             control_encode_hello(&(struct control_hello){.protocol_min = CONTROL_PROTOCOL,
                                                          .protocol_max = CONTROL_PROTOCOL,
                                                          .client = "richd " RICHD_VERSION,
                                                          .host = host,
                                                          .pid = getpid()}),
             NULL, err);
    if (rc == 0)
        rc = expect(link, CONTROL_HELLO_ANSWER, &answer, NULL, err);
    if (rc < 0)
        return rc;
    if (answer.hello_answer.relays < CONTROL_RELAYS)
        rc = err_set(err, -ENOTSUP, "%s: its richd is older and takes no relays: update it",
                     link->address);
    control_release(&answer);
    return rc;
}

int link_open(struct link *link, struct err *err)
{
    int rc;

    if (!link->context)
        link->context = zmq_ctx_new();
    link->socket = link->context ? zmq_socket(link->context, ZMQ_DEALER) : NULL;
    if (!link->socket)
        return err_set(err, -ENOMEM, "no socket: %s", zmq_strerror(zmq_errno()));
    link->heard_ms = clock_monotonic_ms();
    link->patience_ms = LINK_SILENT_MS;
    rc = set_options(link, err);
    if (rc == 0)
        rc = watch(link, err);
    if (rc == 0 && zmq_connect(link->socket, link->address) < 0)
        rc = err_set(err, -EPROTO, "%s: %s", link->address, zmq_strerror(zmq_errno()));
    return rc == 0 ? greet(link, err) : rc;
}

int link_keep(struct link *link, int timeout_ms, struct err *err)
{
    struct control message;
    int rc = wait_within(link, timeout_ms, err);

    if (rc <= 0)
        return rc;
    rc = receive(link, &message, NULL, err);
    if (rc == 0)
        control_release(&message);
    return rc;
}

int link_ask(struct link *link, char *text, const struct cbor *rows, struct link_place *out,
             struct cbor *known, struct err *err)
{
    struct control answer;
    int rc = say(link, text, rows, err);

    link->patience_ms += rows ? (int64_t)rows->size / BYTES_A_MS : 0;
    if (rc == 0)
        rc = expect(link, CONTROL_PLACE, &answer, known, err);
    link->patience_ms = LINK_SILENT_MS;
    if (rc < 0)
        return rc;
    out->batch = answer.place.batch;
    out->feed_seq = answer.place.feed_seq;
    snprintf(out->path, sizeof out->path, "%s", answer.place.path);
    snprintf(out->problem, sizeof out->problem, "%s",
             answer.place.problem ? answer.place.problem : "");
    control_release(&answer);
    return 0;
}
