#include "daemon/io/ingest.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "daemon/io/log.h"
#include "daemon/io/model_json.h"
#include "daemon/io/zwatch.h"
#include "proto/control.h"
#include "proto/wire.h"

/* Messages taken in one turn of the loop, so that timers and the feed are not kept waiting. */
#define MESSAGES_A_TURN 256
/* A routing id that libzmq made: a zero byte and 32 bits. Peers that chose their own are refused.
 */
#define ROUTING_ID_SIZE 5
/* Answers waiting for one peer: all its control messages may be acknowledged by one commit, as when
 * a full disk has room again, between credit and pongs. */
#define MAX_ANSWERS (CONTROL_UNACKED_MAX + 1024)
/* Time that the last acknowledgements get at the end. */
#define LINGER_MS 500
/* Peers found dead between two reports; more wait for their next failing answer. */
#define MAX_GONE 64

struct ingest {
    void *context;
    void *socket;
    struct zwatch watch;
    ingest_event_cb *on_event;
    void *arg;
    char endpoint[256];
    uint64_t n_refused;
    peer_id gone[MAX_GONE];
    size_t n_gone;
    struct log_limit limit;
    bool stopped;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

/* A message as it came, behind its routing id. */
struct message {
    zmq_msg_t frames[WIRE_FRAMES_MAX];
    size_t n_frames;
    bool too_many; /* frames beyond those were discarded */
};

/* The frames of a data message while batches of it are on their way. */
struct held {
    size_t n_batches;
    size_t n_frames;
    zmq_msg_t frames[];
};

/* A layer's share of a data message, on its way through the core. */
struct inbound {
    struct batch batch;
    struct held *held;
    double *aligned; /* copies of frames of moments that did not lie on 8 bytes */
};

static void message_close(struct message *m)
{
    for (size_t i = 0; i < m->n_frames; i++)
        zmq_msg_close(&m->frames[i]);
    m->n_frames = 0;
}

/* Takes the frames out of `m`. They must not move again: libzmq keeps the bytes of a small one
 * inside the zmq_msg_t itself. Returns NULL when memory ran out. */
static struct held *hold(struct message *m)
{
    struct held *h = malloc(sizeof *h + m->n_frames * sizeof h->frames[0]);

    if (!h)
        return NULL;
    h->n_batches = 0;
    h->n_frames = m->n_frames;
    for (size_t i = 0; i < m->n_frames; i++) {
        zmq_msg_init(&h->frames[i]);
        zmq_msg_move(&h->frames[i], &m->frames[i]);
    }
    return h;
}

static void free_held(struct held *h)
{
    for (size_t i = 0; i < h->n_frames; i++)
        zmq_msg_close(&h->frames[i]);
    free(h);
}

void ingest_release(struct batch *b)
{
    struct inbound *in = LIST_ENTRY(b, struct inbound, batch);

    if (--in->held->n_batches == 0)
        free_held(in->held);
    free(in->aligned);
    free(in);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void note_gone(struct ingest *in, peer_id peer)
{
    for (size_t i = 0; i < in->n_gone; i++) {
        if (in->gone[i] == peer)
            return;
    }
    if (in->n_gone < MAX_GONE)
        in->gone[in->n_gone++] = peer;
}

/* Takes the text. */
static void send_text(struct ingest *in, peer_id peer, char *text)
{
    uint32_t number = (uint32_t)(peer - 1);
    uint8_t id[ROUTING_ID_SIZE] = {0, (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                   (uint8_t)(number >> 8), (uint8_t)number};

    if (!text) {
        note_gone(in, peer);
        return;
    }
    if (zmq_send(in->socket, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() == EAGAIN)
            note_gone(in, peer);
    } else if (zmq_send(in->socket, text, strlen(text), ZMQ_DONTWAIT) < 0) {
        note_gone(in, peer);
    }
    cJSON_free(text);
}

void ingest_send_welcome(struct ingest *in, peer_id peer, const struct welcome *w)
{
    send_text(in, peer,
              control_encode_welcome(&(struct control_welcome){
                  .run = w->run,
                  .attempt = w->attempt,
                  .granted = (int64_t)w->granted,
                  .last_seq = (int64_t)w->last_seq,
                  .last_step = w->has_last_step ? w->last_step : -1,
              }));
}

void ingest_send_progress(struct ingest *in, peer_id peer, uint64_t granted)
{
    send_text(in, peer,
              control_encode_progress(&(struct control_progress){.granted = (int64_t)granted}));
}

void ingest_send_ack(struct ingest *in, peer_id peer, uint64_t seq)
{
    send_text(in, peer, control_encode_ack(&(struct control_ack){.seq = (int64_t)seq}));
}

static cJSON *points_to_json(const struct record *r)
{
    cJSON *points = cJSON_CreateArray();

    for (size_t i = 0; points && i < r->n_points; i++) {
        if (r->points[i].measured)
            cJSON_AddItemToArray(
                points, point_to_json(r->run, r->points[i].layer, r->attempt, &r->points[i].point));
    }
    return points;
}

void ingest_send_record_ack(struct ingest *in, peer_id peer, const struct record *r)
{
    bool has_points = r->kind == RECORD_CHECKPOINT || r->kind == RECORD_RECALL;
    cJSON *points = has_points ? points_to_json(r) : NULL;

    send_text(in, peer,
              control_encode_ack(&(struct control_ack){.seq = (int64_t)r->seq, .points = points}));
    cJSON_Delete(points);
}

void ingest_send_nack(struct ingest *in, peer_id peer, const struct nack *n)
{
    log_warn_limited(&in->limit, "refused code=%s %s", nack_code_name(n->code), n->why.text);
    send_text(in, peer,
              control_encode_nack(&(struct control_nack){
                  .code = nack_code_name(n->code),
                  .text = n->why.text,
                  .fatal = n->fatal,
                  .seq = (int64_t)n->seq,
                  .layer = n->layer[0] ? n->layer : NULL,
                  .batch = (int64_t)n->batch,
              }));
}

/* Refuses a message that the core never sees; of a batch, the text names layer and number. */
static void refuse(struct ingest *in, peer_id peer, const char *code, const struct err *why,
                   const struct wire_batch *w)
{
    char layer[WIRE_LAYER_MAX + 1] = "";
    bool fatal = strcmp(code, "EVERSION") == 0;
    struct err named = *why;

    if (w && w->layer) {
        snprintf(layer, sizeof layer, "%.*s", (int)w->layer_size, w->layer);
        err_prefix(&named, 0, "layer %s, batch %llu: ", layer, (unsigned long long)w->header.seq);
    }
    in->n_refused++;
    log_warn_limited(&in->limit, "refused code=%s %s", code, named.text);
    send_text(in, peer,
              control_encode_nack(&(struct control_nack){
                  .code = code,
                  .text = named.text,
                  .fatal = fatal,
                  .layer = layer[0] ? layer : NULL,
                  .batch = w ? (int64_t)w->header.seq : 0,
              }));
}

/* ---- control messages ---------------------------------------------------------------------- */

static double clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void emit(struct ingest *in, struct event *e, enum event_type type, peer_id peer)
{
    e->type = type;
    e->peer = peer;
    e->time = clock_now();
    in->on_event(in->arg, e);
}

static void on_hello(struct ingest *in, peer_id peer, const struct control_hello *h)
{
    struct err why;

    if (h->protocol_min > CONTROL_PROTOCOL || h->protocol_max < CONTROL_PROTOCOL) {
        err_set(&why, 0, "protocols %d to %d are offered, this daemon speaks %d to %d",
                (int)h->protocol_min, (int)h->protocol_max, CONTROL_PROTOCOL, CONTROL_PROTOCOL);
        refuse(in, peer, "EVERSION", &why, NULL);
        return;
    }
    log_debug("hello peer=%llu client=\"%s\" host=%s pid=%lld", (unsigned long long)peer,
              h->client ? h->client : "", h->host ? h->host : "", (long long)h->pid);
    send_text(in, peer,
              control_encode_hello_answer(&(struct control_hello_answer){
                  .protocol = CONTROL_PROTOCOL, .server = "richd " RICHD_VERSION}));
}

static struct record *open_record(const struct control_open *o)
{
    struct record *r = record_new(RECORD_OPEN, o->run);
    char *tags = o->tags ? control_text(o->tags) : NULL;
    char *config = o->config ? control_text(o->config) : NULL;
    bool ok = r && (tags || !o->tags) && (config || !o->config);

    if (ok) {
        r->open.name = strdup(o->name);
        r->open.project = strdup(o->project);
        r->open.group = strdup(o->group);
        r->open.tags = strdup(tags ? tags : "[]");
        r->open.config = strdup(config ? config : "{}");
        r->open.writer = strdup(o->writer);
        r->open.attempt = (uint32_t)o->attempt;
        r->open.resume = o->resume == CONTROL_RESUME_MUST    ? RESUME_MUST
                         : o->resume == CONTROL_RESUME_NEVER ? RESUME_NEVER
                                                             : RESUME_ALLOW;
        ok = r->open.name && r->open.project && r->open.group && r->open.tags && r->open.config &&
             r->open.writer;
    }
    cJSON_free(tags);
    cJSON_free(config);
    if (!ok) {
        record_free(r);
        return NULL;
    }
    return r;
}

static struct window open_window(const struct control_open *o)
{
    switch (o->window) {
    case CONTROL_WINDOW_EXPONENTIAL:
        return (struct window){WINDOW_EXPONENTIAL, o->half_life_rows};
    case CONTROL_WINDOW_CUMULATIVE:
        return (struct window){WINDOW_CUMULATIVE, 0};
    case CONTROL_WINDOW_CHECKPOINT:
        break;
    }
    return (struct window){WINDOW_CHECKPOINT, 0};
}

static const struct err no_memory = {"the daemon is out of memory"};

static void on_open(struct ingest *in, peer_id peer, const struct control_open *o)
{
    struct event e = {.open = {.record = open_record(o),
                               .window = open_window(o),
                               .spectrum = {.every = (uint32_t)o->every,
                                            .leading = (uint32_t)o->leading,
                                            .uncentred = o->uncentred}}};

    if (e.open.record)
        emit(in, &e, EV_OPEN, peer);
    else
        refuse(in, peer, "EBUSY", &no_memory, NULL);
}

static void on_checkpoint(struct ingest *in, peer_id peer, const struct control_checkpoint *c)
{
    struct checkpoint_layer *layers = calloc(c->n_layers ? c->n_layers : 1, sizeof *layers);
    struct event e = {.checkpoint = {.seq = (uint64_t)c->seq,
                                     .step = c->step,
                                     .time = isnan(c->time) ? clock_now() : c->time,
                                     .layers = layers,
                                     .n_layers = c->n_layers,
                                     .spectrum = c->spectrum}};

    if (!layers) {
        refuse(in, peer, "EBUSY", &no_memory, NULL);
        return;
    }
    for (size_t i = 0; i < c->n_layers; i++)
        layers[i] = (struct checkpoint_layer){.name = c->layers[i].layer,
                                              .seq = (uint64_t)c->layers[i].seq,
                                              .rows = (uint64_t)c->layers[i].rows};
    emit(in, &e, EV_CHECKPOINT, peer);
    free(layers);
}

static struct record *log_record(const struct control_log *l)
{
    struct record *r = record_new(RECORD_LOG, "");
    size_t n = l->n_scalars;

    if (!r)
        return NULL;
    r->seq = (uint64_t)l->seq;
    r->step = l->step;
    r->time = isnan(l->time) ? clock_now() : l->time;
    r->scalars = calloc(n ? n : 1, sizeof *r->scalars);
    r->scalar_feed_seqs = calloc(n ? n : 1, sizeof *r->scalar_feed_seqs);
    if (!r->scalars || !r->scalar_feed_seqs) {
        record_free(r);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(r->scalars[i].name, sizeof r->scalars[i].name, "%s", l->scalars[i].name);
        r->scalars[i].value = l->scalars[i].value;
    }
    r->n_scalars = n;
    return r;
}

static void on_log(struct ingest *in, peer_id peer, const struct control_log *l)
{
    struct event e = {.log = log_record(l)};

    if (e.log)
        emit(in, &e, EV_LOG, peer);
    else
        refuse(in, peer, "EBUSY", &no_memory, NULL);
}

static void on_close(struct ingest *in, peer_id peer, const struct control_close *c)
{
    struct event e = {.close = {.seq = (uint64_t)c->seq, .failed = c->status == CONTROL_FAILED}};

    emit(in, &e, EV_CLOSE, peer);
}

static void on_ping(struct ingest *in, peer_id peer, const struct control_ping *p)
{
    struct event e = {0};

    send_text(in, peer, control_encode_pong(p));
    emit(in, &e, EV_ALIVE, peer);
}

static void on_control(struct ingest *in, peer_id peer, struct message *m)
{
    struct control c;
    struct err why;
    int rc;

    rc = m->n_frames == 1
             ? control_parse(zmq_msg_data(&m->frames[0]), zmq_msg_size(&m->frames[0]), &c, &why)
             : err_set(&why, -EPROTO, "a control message has 1 frame, this one has more");
    if (rc < 0) {
        refuse(in, peer, rc == -ENOMEM ? "EBUSY" : "EPROTO", &why, NULL);
        return;
    }
    switch (c.type) {
    case CONTROL_HELLO:
        on_hello(in, peer, &c.hello);
        break;
    case CONTROL_OPEN:
        on_open(in, peer, &c.open);
        break;
    case CONTROL_CHECKPOINT:
        on_checkpoint(in, peer, &c.checkpoint);
        break;
    case CONTROL_LOG:
        on_log(in, peer, &c.log);
        break;
    case CONTROL_CLOSE:
        on_close(in, peer, &c.close);
        break;
    case CONTROL_PING:
        on_ping(in, peer, &c.ping);
        break;
    default:
        err_set(&why, 0, "\"%s\" is a message that the daemon sends", control_type_name(c.type));
        refuse(in, peer, "EPROTO", &why, NULL);
    }
    control_release(&c);
}

/* ---- data messages ------------------------------------------------------------------------- */

static enum dtype dtype_of(enum wire_dtype d)
{
    switch (d) {
    case WIRE_F32:
        return DTYPE_F32;
    case WIRE_F64:
        return DTYPE_F64;
    case WIRE_F16:
        return DTYPE_F16;
    case WIRE_BF16:
        return DTYPE_BF16;
    case WIRE_I32:
        return DTYPE_I32;
    case WIRE_I64:
        return DTYPE_I64;
    default:
        return DTYPE_NONE;
    }
}

/* The frame's doubles where BLAS may read them: in place when they lie on 8 bytes, else in a copy.
 */
static const double *align(const struct wire_frame *f, double **spare)
{
    const double *copy = *spare;

    if ((uintptr_t)f->data % sizeof(double) == 0)
        return f->data;
    memcpy(*spare, f->data, f->size);
    *spare += (f->size + sizeof(double) - 1) / sizeof(double);
    return copy;
}

static int fill_view(struct inbound *in, const struct wire_batch *w)
{
    const struct wire_frame *frames[] = {
        &w->mean_features, &w->mean_outputs, &w->xx, &w->xy, &w->yy, &w->fourth};
    struct moments_view *v = &in->batch.view;
    size_t n_doubles = 0;
    double *spare;

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        if ((uintptr_t)frames[i]->data % sizeof(double) != 0)
            n_doubles += frames[i]->size / sizeof(double) + 1;
    }
    spare = in->aligned = n_doubles ? malloc(n_doubles * sizeof *spare) : NULL;
    if (n_doubles && !spare)
        return -ENOMEM;
    v->n_rows = w->header.n_rows;
    v->mean_x = align(&w->mean_features, &spare);
    v->mean_y = align(&w->mean_outputs, &spare);
    v->xx = align(&w->xx, &spare);
    v->xx_dtype = dtype_of(w->header.features_dtype);
    v->xy = align(&w->xy, &spare);
    v->yy = align(&w->yy, &spare);
    v->sum_sx = align(&w->fourth, &spare);
    v->sum_s2 = *v->sum_sx++;
    return 0;
}

static void fill_rows(struct rows *r, const struct wire_batch *w)
{
    r->n = w->header.n_rows;
    r->features = w->features.data;
    r->outputs = w->outputs.data;
    r->features_dtype = dtype_of(w->header.features_dtype);
    r->outputs_dtype = dtype_of(w->header.outputs_dtype);
    r->targets = w->targets.data;
    r->targets_dtype = dtype_of(w->header.targets_dtype);
    r->weights = w->weights.data;
    r->weights_dtype = dtype_of(w->header.weights_dtype);
}

/* Header, name and features are the layer's own; what the layers share counts with the first. */
static size_t size_of(const struct held *h, const struct wire_batch *w, bool is_first)
{
    size_t all = 0;

    for (size_t i = 0; i < h->n_frames; i++)
        all += zmq_msg_size(&h->frames[i]);
    if (w->header.kind == WIRE_MOMENTS || (is_first && w->header.n_more == 0))
        return all;
    return WIRE_HEADER_SIZE + w->layer_size + w->features.size +
           (is_first ? w->outputs.size + w->targets.size + w->weights.size : 0);
}

static int fill_batch(struct inbound *in, const struct wire_batch *w, bool is_first)
{
    struct batch *b = &in->batch;

    assert(w->layer && w->layer_size <= LAYER_NAME_MAX);
    memcpy(b->layer, w->layer, w->layer_size);
    b->seq = w->header.seq;
    b->rows_before = w->header.rows_before;
    b->step = w->header.step;
    b->p = w->header.n_features;
    b->c = w->header.n_outputs;
    b->k = w->header.n_targets;
    b->outputs_dtype = dtype_of(w->header.outputs_dtype);
    b->size_bytes = size_of(in->held, w, is_first);
    b->is_reduced = w->header.kind == WIRE_MOMENTS;
    if (b->is_reduced)
        return fill_view(in, w);
    fill_rows(&b->rows, w);
    return 0;
}

/* Hands one layer's batch to the core, which takes it. */
static void emit_batch(struct ingest *in, peer_id peer, struct held *held,
                       const struct wire_batch *w, bool is_first)
{
    struct inbound *inbound = calloc(1, sizeof *inbound);
    struct event e = {0};

    if (!inbound) {
        refuse(in, peer, "EBUSY", &no_memory, w);
        return;
    }
    held->n_batches++;
    inbound->held = held;
    if (fill_batch(inbound, w, is_first) < 0) {
        refuse(in, peer, "EBUSY", &no_memory, w);
        ingest_release(&inbound->batch);
        return;
    }
    e.batch = &inbound->batch;
    emit(in, &e, EV_BATCH, peer);
}

static int decode(struct held *h, struct wire_batch *batches, size_t *n, struct err *why)
{
    struct wire_frame frames[WIRE_FRAMES_MAX];
    int rc;

    for (size_t i = 0; i < h->n_frames; i++)
        frames[i] = (struct wire_frame){zmq_msg_data(&h->frames[i]), zmq_msg_size(&h->frames[i])};
    rc = wire_message_decode(frames, h->n_frames, batches, n, why);
    return rc == 0 ? wire_labels_check(&batches[0], why) : rc;
}

static void on_data(struct ingest *in, peer_id peer, struct message *m)
{
    struct wire_batch batches[WIRE_LAYERS_MAX];
    struct held *held = hold(m);
    struct err why;
    size_t n = 0;
    int rc;

    if (!held) {
        refuse(in, peer, "EBUSY", &no_memory, NULL);
        return;
    }
    batches[0].layer = NULL;
    batches[0].header.seq = 0;
    rc = m->too_many ? err_set(&why, -EPROTO, "more than %d frames", WIRE_FRAMES_MAX)
                     : decode(held, batches, &n, &why);
    held->n_batches++; /* ours, until all are handed over */
    if (rc < 0)
        refuse(in, peer, "EPROTO", &why, &batches[0]);
    for (size_t i = 0; rc == 0 && i < n; i++)
        emit_batch(in, peer, held, &batches[i], i == 0);
    if (--held->n_batches == 0)
        free_held(held);
}

/* ---- the socket ---------------------------------------------------------------------------- */

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
        on_control(in, peer, &m);
    else
        on_data(in, peer, &m);
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

static void free_ingest(struct ingest *in)
{
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

        emit(in, &e, EV_GONE, gone[i]);
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
