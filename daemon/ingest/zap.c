#include "daemon/ingest/zap.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zmq.h>

#include "daemon/host/paths.h"

/* Tested end to end by tests/e2e/network/test_trainers_on_other_hosts.py. */

/* version, request id, domain, address, routing id, mechanism, key */
enum part {
    PART_VERSION,
    PART_ID,
    PART_DOMAIN,
    PART_ADDRESS,
    PART_ROUTING,
    PART_MECHANISM,
    PART_KEY
};
#define N_PARTS          (PART_KEY + 1)
#define KEY_BYTES        32
#define QUESTIONS_A_TURN 64

struct question {
    zmq_msg_t parts[N_PARTS + 1]; /* the last is for those beyond, one after the other */
    size_t n;                     /* also those beyond */
};

static bool receive(void *socket, struct question *question)
{
    bool more = true;

    question->n = 0;
    for (size_t i = 0; i <= N_PARTS; i++)
        zmq_msg_init(&question->parts[i]);
    while (more) {
        zmq_msg_t *part = &question->parts[question->n < N_PARTS ? question->n : N_PARTS];

        if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0)
            return question->n > 0;
        more = zmq_msg_more(part);
        question->n++;
    }
    return true;
}

static void release(struct question *question)
{
    for (size_t i = 0; i <= N_PARTS; i++)
        zmq_msg_close(&question->parts[i]);
}

static bool is_text(zmq_msg_t *part, const char *text)
{
    return zmq_msg_size(part) == strlen(text) &&
           memcmp(zmq_msg_data(part), text, strlen(text)) == 0;
}

/* The key of the one who asks, as text; false: it is no question about one. */
static bool read_key(struct question *question, char key[KEY_SIZE])
{
    zmq_msg_t *parts = question->parts;

    return question->n == N_PARTS && is_text(&parts[PART_VERSION], "1.0") &&
           is_text(&parts[PART_DOMAIN], ZAP_DOMAIN) && is_text(&parts[PART_MECHANISM], "CURVE") &&
           zmq_msg_size(&parts[PART_KEY]) == KEY_BYTES &&
           zmq_z85_encode(key, zmq_msg_data(&parts[PART_KEY]), KEY_BYTES) != NULL;
}

static void send_text(void *socket, const char *text, int flags)
{
    zmq_send(socket, text, strlen(text), ZMQ_DONTWAIT | flags);
}

/* 400 ends the connection, and its trainer hears it. */
static void answer(void *socket, struct question *question, const char *user)
{
    send_text(socket, "1.0", ZMQ_SNDMORE);
    zmq_send(socket, zmq_msg_data(&question->parts[PART_ID]),
             zmq_msg_size(&question->parts[PART_ID]), ZMQ_DONTWAIT | ZMQ_SNDMORE);
    send_text(socket, user ? "200" : "400", ZMQ_SNDMORE);
    send_text(socket, user ? "OK" : "the key is not authorised", ZMQ_SNDMORE);
    send_text(socket, user ? user : "", ZMQ_SNDMORE);
    send_text(socket, "", 0);
}

static void log_refused(struct zap *zap, struct question *question, const char *key)
{
    zmq_msg_t *address = &question->parts[PART_ADDRESS];

    zap->n_refused++;
    log_warn_limited(&zap->limit, "refused a trainer at %.*s: key %s is not in " AUTHORISED_FILE,
                     (int)zmq_msg_size(address), (const char *)zmq_msg_data(address), key);
}

static bool take_question(struct zap *zap)
{
    const struct authorised_key *known = NULL;
    struct question question;
    char key[KEY_SIZE] = "";

    if (!receive(zap->socket, &question)) {
        release(&question);
        return false;
    }
    if (read_key(&question, key))
        known = authorised_find(zap->authorised, key);
    if (*key && !known)
        log_refused(zap, &question, key);
    answer(zap->socket, &question, known ? key : NULL);
    release(&question);
    return true;
}

static void on_readable(struct zwatch *watch)
{
    struct zap *zap = watch->data;

    for (int i = 0; i < QUESTIONS_A_TURN && take_question(zap); i++)
        ;
}

int zap_open(struct zap *zap, uv_loop_t *loop, void *context, const struct authorised *authorised)
{
    int rc;

    zap->authorised = authorised;
    zap->watch.data = zap;
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (!zap->socket || zmq_bind(zap->socket, "inproc://zeromq.zap.01") < 0)
        rc = -zmq_errno();
    else
        rc = zwatch_init(&zap->watch, loop, zap->socket, on_readable);
    if (rc < 0)
        zap_release(zap);
    return rc;
}

void zap_stop(struct zap *zap)
{
    zwatch_stop(&zap->watch);
}

void zap_release(struct zap *zap)
{
    if (zap->socket)
        zmq_close(zap->socket);
    zap->socket = NULL;
}
