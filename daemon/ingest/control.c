#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ingest/parts.h"
#include "proto/control.h"

static void on_hello(struct ingest *in, peer_id peer, const struct control_hello *h)
{
    struct err why;

    if (h->protocol_min > CONTROL_PROTOCOL || h->protocol_max < CONTROL_PROTOCOL) {
        err_set(&why, 0, "protocols %d to %d are offered, this daemon speaks %d to %d",
                (int)h->protocol_min, (int)h->protocol_max, CONTROL_PROTOCOL, CONTROL_PROTOCOL);
        ingest_refuse(in, peer, "EVERSION", &why, NULL);
        return;
    }
    log_debug("hello peer=%llu client=\"%s\" host=%s pid=%lld", (unsigned long long)peer,
              h->client ? h->client : "", h->host ? h->host : "", (long long)h->pid);
    ingest_send_text(in, peer,
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
        r->open.resume = o->resume;
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
    return (struct window){o->window, o->window == WINDOW_EXPONENTIAL ? o->half_life_rows : 0};
}

static struct projector open_projector(const struct control_open *o)
{
    return (struct projector){
        .kind = o->projector,
        .energy = isnan(o->energy) ? PROJECTOR_ENERGY : o->energy,
        .k = (uint32_t)o->k,
        .lambda = isnan(o->lambda) ? PROJECTOR_LAMBDA : o->lambda,
    };
}

/* D_LR when the trainer says nothing; -EPROTO for a name that is no measure. */
static int read_watched(const cJSON *names, struct watch_list *out, struct err *why)
{
    const cJSON *name;

    *out = (struct watch_list){1, {METRIC_D_LR}};
    if (!names)
        return 0;
    out->n = 0;
    cJSON_ArrayForEach(name, names)
    {
        int metric = metric_find(name->valuestring);

        if (metric < 0)
            return err_set(why, -EPROTO, "open: transitions: \"%.*s\" is no measure of a point",
                           TEXT_MAX, name->valuestring);
        out->metrics[out->n++] = (enum metric)metric;
    }
    return 0;
}

static void on_open(struct ingest *in, peer_id peer, const struct control_open *o)
{
    struct event e = {.open = {.record = open_record(o),
                               .window = open_window(o),
                               .projector = open_projector(o),
                               .spectrum = {.every = (uint32_t)o->every,
                                            .leading = (uint32_t)o->leading,
                                            .uncentred = o->uncentred},
                               .probe = o->probe}};
    struct nack nack = {.code = NACK_EPROTO, .fatal = true};

    if (!e.open.record) {
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, NULL);
    } else if (read_watched(o->watched, &e.open.record->open.watched, &nack.why) < 0) {
        record_free(e.open.record);
        ingest_send_nack(in, peer, &nack);
    } else {
        ingest_emit(in, &e, EV_OPEN, peer);
    }
}

/* The values that the trainer reports, NaN where it does not; -EPROTO for a name that is not of
 * these. */
static int read_reported(const cJSON *metrics, double reported[METRIC_COUNT], struct err *why)
{
    const cJSON *metric;

    for (int i = 0; i < METRIC_COUNT; i++)
        reported[i] = (double)NAN;
    cJSON_ArrayForEach(metric, metrics)
    {
        int i = metric_find(metric->string);

        if (i < 0 || metric_table[i].needs != NEEDS_TRAINER)
            return err_set(why, -EPROTO, "\"%.*s\" is no metric that a trainer reports", TEXT_MAX,
                           metric->string);
        if (cJSON_IsNumber(metric))
            reported[i] = metric->valuedouble;
    }
    return 0;
}

static void on_checkpoint(struct ingest *in, peer_id peer, const struct control_checkpoint *c)
{
    struct checkpoint_layer *layers = calloc(c->n_layers ? c->n_layers : 1, sizeof *layers);
    double reported[METRIC_COUNT];
    struct err why;
    struct event e = {.checkpoint = {.seq = (uint64_t)c->seq,
                                     .step = c->step,
                                     .time = isnan(c->time) ? ingest_clock() : c->time,
                                     .layers = layers,
                                     .n_layers = c->n_layers,
                                     .spectrum = c->spectrum,
                                     .reported = reported}};

    if (!layers) {
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, NULL);
        return;
    }
    if (read_reported(c->metrics, reported, &why) < 0) {
        free(layers);
        ingest_send_nack(in, peer,
                         &(struct nack){.code = NACK_EPROTO, .why = why, .seq = (uint64_t)c->seq});
        return;
    }
    for (size_t i = 0; i < c->n_layers; i++)
        layers[i] = (struct checkpoint_layer){.name = c->layers[i].layer,
                                              .seq = (uint64_t)c->layers[i].seq,
                                              .rows = (uint64_t)c->layers[i].rows};
    ingest_emit(in, &e, EV_CHECKPOINT, peer);
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
    r->time = isnan(l->time) ? ingest_clock() : l->time;
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
        ingest_emit(in, &e, EV_LOG, peer);
    else
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, NULL);
}

static void on_close(struct ingest *in, peer_id peer, const struct control_close *c)
{
    struct event e = {.close = {.seq = (uint64_t)c->seq, .failed = c->status == CONTROL_FAILED}};

    ingest_emit(in, &e, EV_CLOSE, peer);
}

static void on_ping(struct ingest *in, peer_id peer, const struct control_ping *p)
{
    struct event e = {0};

    ingest_send_text(in, peer, control_encode_pong(p));
    ingest_emit(in, &e, EV_ALIVE, peer);
}

void ingest_take_control(struct ingest *in, peer_id peer, struct message *m)
{
    struct control c;
    struct err why;
    int rc;

    rc = m->n_frames == 1
             ? control_parse(zmq_msg_data(&m->frames[0]), zmq_msg_size(&m->frames[0]), &c, &why)
             : err_set(&why, -EPROTO, "a control message has 1 frame, this one has more");
    if (rc < 0) {
        ingest_refuse(in, peer, rc == -ENOMEM ? "EBUSY" : "EPROTO", &why, NULL);
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
        ingest_refuse(in, peer, "EPROTO", &why, NULL);
    }
    control_release(&c);
}
