#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ingest/parts.h"
#include "proto/base/clock.h"
#include "proto/control.h"
#include "proto/control_hint.h"

static int on_hello(struct ingest *ingest, peer_id peer, const struct control_hello *hello,
                    const struct authorised_key *who, struct nack *nack)
{
    if (hello->protocol_min > CONTROL_PROTOCOL || hello->protocol_max < CONTROL_PROTOCOL)
        return nack_set(
            nack, NACK_EVERSION,
            "protocols %" PRId64 " to %" PRId64 " are offered, this daemon speaks %d to %d",
            hello->protocol_min, hello->protocol_max, CONTROL_PROTOCOL, CONTROL_PROTOCOL);
    log_debug("hello peer=%llu client=\"%s\" host=%s pid=%lld", (unsigned long long)peer,
              hello->client ? hello->client : "", hello->host ? hello->host : "",
              (long long)hello->pid);
    ingest_send_text(ingest, peer,
                     control_encode_hello_answer(&(struct control_hello_answer){
                         .protocol = CONTROL_PROTOCOL,
                         .server = "richd " RICHD_VERSION,
                         .members = true,
                         .relays = ingest->on_relay ? CONTROL_RELAYS : 0,
                         .feed = ingest->feed,
                         .page = ingest->page && *ingest->page && !who ? ingest->page : NULL,
                         .pid = getpid()}));
    return 0;
}

static struct record *open_record(const struct control_open *open, const struct authorised_key *who)
{
    struct record *record = record_new(RECORD_OPEN, open->run);
    char *tags = open->tags ? control_text(open->tags) : NULL;
    char *config = open->config ? control_text(open->config) : NULL;
    bool ok = record && (tags || !open->tags) && (config || !open->config);

    if (ok) {
        record->open.name = strdup(open->name);
        record->open.project = strdup(open->project);
        record->open.group = strdup(open->group);
        record->open.tags = strdup(tags ? tags : "[]");
        record->open.config = strdup(config ? config : "{}");
        record->open.writer = strdup(open->writer);
        record->open.attempt = (uint32_t)open->attempt;
        record->open.resume = open->resume;
        record->open.is_replay = open->replay;
        record->open.began = open->replay ? open->time : 0;
        record->open.host = open->host ? strdup(open->host) : NULL;
        record->open.launch = open->launch ? strdup(open->launch) : NULL;
        record->open.projects = who && who->projects ? strdup(who->projects) : NULL;
        record->open.rank = (uint32_t)open->rank;
        record->open.world = (uint32_t)open->world;
        ok = record->open.name && record->open.project && record->open.group && record->open.tags &&
             record->open.config && record->open.writer && (record->open.host || !open->host) &&
             (record->open.launch || !open->launch) &&
             (record->open.projects || !who || !who->projects);
    }
    cJSON_free(tags);
    cJSON_free(config);
    if (!ok) {
        record_free(record);
        return NULL;
    }
    return record;
}

static struct window open_window(const struct control_open *open)
{
    return (struct window){open->window,
                           open->window == WINDOW_EXPONENTIAL ? open->half_life_rows : 0};
}

static struct projector open_projector(const struct control_open *open)
{
    return (struct projector){
        .kind = open->projector,
        .energy = isnan(open->energy) ? PROJECTOR_ENERGY : open->energy,
        .k = (uint32_t)open->k,
        .lambda = isnan(open->lambda) ? PROJECTOR_LAMBDA : open->lambda,
    };
}

/* "scalar:test_acc" names what the trainer logs, any other name a measure. Asked for by its prefix,
 * so that a measure with a letter wrong is refused, and not waited for as a scalar for ever. */
#define SCALAR_PREFIX "scalar:"

static int add_watched_scalar(const char *name, struct watch_list *out, struct nack *nack)
{
    size_t size = strlen(name);

    if (size == 0 || size > SCALAR_NAME_MAX)
        return nack_set(nack, NACK_EPROTO,
                        "open: transitions: a scalar's name has 1 to %d bytes, not %zu",
                        SCALAR_NAME_MAX, size);
    memcpy(out->scalars[out->n_scalars++], name, size + 1);
    return 0;
}

static int add_watched(const char *name, struct watch_list *out, struct nack *nack)
{
    int metric = metric_find(name);

    assert(out->n + out->n_scalars < RUN_WATCHED_MAX);
    if (strncmp(name, SCALAR_PREFIX, strlen(SCALAR_PREFIX)) == 0)
        return add_watched_scalar(name + strlen(SCALAR_PREFIX), out, nack);
    if (metric < 0)
        return nack_set(nack, NACK_EPROTO,
                        "open: transitions: \"%.*s\" is no measure of a point; a scalar is named "
                        "\"" SCALAR_PREFIX "%.*s\"",
                        TEXT_MAX / 4, name, TEXT_MAX / 4, name);
    out->metrics[out->n++] = (enum metric)metric;
    return 0;
}

static int read_watched(const cJSON *names, struct watch_list *out, struct nack *nack)
{
    const cJSON *name;

    *out = watch_default;
    if (names)
        *out = (struct watch_list){0};
    cJSON_ArrayForEach(name, names)
    {
        if (add_watched(name->valuestring, out, nack) < 0)
            return -1;
    }
    return 0;
}

/* A key may be for some projects alone. */
static int check_project(const struct control_open *open, const struct authorised_key *who,
                         struct nack *nack)
{
    const char *project = open->project;

    if (!who || record_projects_have(who->projects, project))
        return 0;
    return nack_set(nack, NACK_EACCES,
                    "the key %s may not write into project \"%.*s\", but into %.*s", who->name,
                    TEXT_MAX / 4, project, TEXT_MAX / 4, who->projects);
}

static int on_open(struct ingest *ingest, peer_id peer, const struct control_open *open,
                   const struct authorised_key *who, struct nack *nack)
{
    struct record *record = open_record(open, who);
    struct event event = {.open = {.record = record,
                                   .window = open_window(open),
                                   .projector = open_projector(open),
                                   .spectrum = {.every = (uint32_t)open->every,
                                                .leading = (uint32_t)open->leading,
                                                .uncentred = open->uncentred},
                                   .probe = open->probe}};

    if (!record)
        return nack_set(nack, NACK_EBUSY, OUT_OF_MEMORY);
    if (read_watched(open->watched, &record->open.watched, nack) < 0) {
        record_free(record);
        return -1;
    }
    ingest_emit(ingest, &event, EV_OPEN, peer);
    return 0;
}

/* The values that the trainer reports, NaN where it does not. */
static int read_reported(const struct control_checkpoint *checkpoint, double reported[METRIC_COUNT],
                         struct nack *nack)
{
    const cJSON *metric;

    for (int i = 0; i < METRIC_COUNT; i++)
        reported[i] = (double)NAN;
    cJSON_ArrayForEach(metric, checkpoint->metrics)
    {
        int i = metric_find(metric->string);

        if (i < 0 || metric_table[i].needs != NEEDS_TRAINER) {
            return nack_set(nack, NACK_EPROTO, "\"%.*s\" is no metric that a trainer reports",
                            TEXT_MAX, metric->string);
        }
        if (cJSON_IsNumber(metric))
            reported[i] = metric->valuedouble;
    }
    return 0;
}

static int on_checkpoint(struct ingest *ingest, peer_id peer,
                         const struct control_checkpoint *checkpoint, struct nack *nack)
{
    struct checkpoint_layer *layers =
        calloc(checkpoint->n_layers ? checkpoint->n_layers : 1, sizeof *layers);
    double reported[METRIC_COUNT];
    struct event event = {
        .checkpoint = {.seq = (uint64_t)checkpoint->seq,
                       .step = checkpoint->step,
                       .time = isnan(checkpoint->time) ? clock_wall_s() : checkpoint->time,
                       .layers = layers,
                       .n_layers = checkpoint->n_layers,
                       .spectrum = checkpoint->spectrum,
                       .implied = checkpoint->implied,
                       .reported = reported}};

    if (!layers)
        return nack_set(nack, NACK_EBUSY, OUT_OF_MEMORY);
    if (read_reported(checkpoint, reported, nack) < 0) {
        free(layers);
        return -1;
    }
    for (size_t i = 0; i < checkpoint->n_layers; i++)
        layers[i] = (struct checkpoint_layer){.name = checkpoint->layers[i].layer,
                                              .seq = (uint64_t)checkpoint->layers[i].seq,
                                              .rows = (uint64_t)checkpoint->layers[i].rows,
                                              .thinned = (uint64_t)checkpoint->layers[i].thinned};
    ingest_emit(ingest, &event, EV_CHECKPOINT, peer);
    free(layers);
    return 0;
}

static struct record *log_record(const struct control_log *log)
{
    struct record *record = record_new(RECORD_LOG, "");
    size_t n = log->n_scalars;

    if (!record)
        return NULL;
    record->seq = (uint64_t)log->seq;
    record->step = log->step;
    record->implied = log->implied;
    record->time = isnan(log->time) ? clock_wall_s() : log->time;
    record->scalars = calloc(n ? n : 1, sizeof *record->scalars);
    record->scalar_feed_seqs = calloc(n ? n : 1, sizeof *record->scalar_feed_seqs);
    if (!record->scalars || !record->scalar_feed_seqs) {
        record_free(record);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(record->scalars[i].name, sizeof record->scalars[i].name, "%s",
                 log->scalars[i].name);
        record->scalars[i].value = log->scalars[i].value;
    }
    record->n_scalars = n;
    return record;
}

static int on_log(struct ingest *ingest, peer_id peer, const struct control_log *log,
                  struct nack *nack)
{
    struct event event = {.log = log_record(log)};

    if (!event.log)
        return nack_set(nack, NACK_EBUSY, OUT_OF_MEMORY);
    ingest_emit(ingest, &event, EV_LOG, peer);
    return 0;
}

static int on_constants(struct ingest *ingest, peer_id peer, enum record_kind kind,
                        const struct control_constants *constants, struct nack *nack)
{
    struct event event = {.log = record_new(kind, "")};
    char *text = event.log ? control_text(constants->values) : NULL;

    if (text)
        event.log->constants = strdup(text);
    cJSON_free(text);
    if (!event.log || !event.log->constants) {
        record_free(event.log);
        return nack_set(nack, NACK_EBUSY, OUT_OF_MEMORY);
    }
    event.log->seq = (uint64_t)constants->seq;
    event.log->time = clock_wall_s();
    ingest_emit(ingest, &event, EV_LOG, peer);
    return 0;
}

static void on_close(struct ingest *ingest, peer_id peer, const struct control_close *close)
{
    struct event event = {
        .close = {.seq = (uint64_t)close->seq, .failed = close->status == CONTROL_FAILED}};

    ingest_emit(ingest, &event, EV_CLOSE, peer);
}

static void on_ping(struct ingest *ingest, peer_id peer, const struct control_ping *ping)
{
    struct event event = {0};

    ingest_send_text(ingest, peer, control_encode_pong(ping));
    if (!ingest->places[peer % PEER_PLACES].is_relay)
        ingest_emit(ingest, &event, EV_ALIVE, peer);
}

/* Returns 0, or -1 when the message is to be refused. */
static int act_on(struct ingest *ingest, peer_id peer, const struct control *control,
                  struct incoming *message, struct nack *nack)
{
    const struct authorised_key *who = message->who;

    switch (control->type) {
    case CONTROL_HELLO:
        return on_hello(ingest, peer, &control->hello, who, nack);
    case CONTROL_OPEN:
        return check_project(&control->open, who, nack) < 0
                   ? -1
                   : on_open(ingest, peer, &control->open, who, nack);
    case CONTROL_CHECKPOINT:
        return on_checkpoint(ingest, peer, &control->checkpoint, nack);
    case CONTROL_LOG:
        return on_log(ingest, peer, &control->log, nack);
    case CONTROL_SUMMARY:
        return on_constants(ingest, peer, RECORD_SUMMARY, &control->constants, nack);
    case CONTROL_CONFIG:
        return on_constants(ingest, peer, RECORD_CONFIG, &control->constants, nack);
    case CONTROL_CLOSE:
        on_close(ingest, peer, &control->close);
        return 0;
    case CONTROL_PING:
        on_ping(ingest, peer, &control->ping);
        return 0;
    case CONTROL_RELAY:
    case CONTROL_BATCH:
        return ingest_take_relay(ingest, peer, control, message, nack);
    default:
        return nack_set(nack, NACK_EPROTO, "\"%s\" is a message that the daemon sends",
                        control_type_name(control->type));
    }
}

static int parse(struct incoming *message, struct control *control, struct nack *nack)
{
    zmq_msg_t *frame = &message->frames[0];
    struct err why;
    int rc;

    if (message->n_frames > 2 || message->too_many)
        return nack_set(nack, NACK_EPROTO, "a control message has 1 frame, this one has more");
    rc = control_parse(zmq_msg_data(frame), zmq_msg_size(frame), control, &why);
    if (rc < 0)
        return nack_set(nack, rc == -ENOMEM ? NACK_EBUSY : NACK_EPROTO, "%s", why.text);
    if (message->n_frames == (control->type == CONTROL_BATCH ? 2 : 1))
        return 0;
    nack_set(nack, NACK_EPROTO,
             control->type == CONTROL_BATCH ? "a batch has its rows in a second frame"
                                            : "a control message has 1 frame, this one has more");
    control_release(control);
    return -1;
}

/* Names the message, or its sender would send it again for ever. What cannot be read of a greeting
 * does not come right by being sent again. */
static void refuse(struct ingest *ingest, peer_id peer, struct incoming *message, struct nack *nack)
{
    zmq_msg_t *frame = &message->frames[0];
    struct control_hint hint = control_hint_read(zmq_msg_data(frame), zmq_msg_size(frame));

    nack->seq = (uint64_t)hint.seq;
    nack->fatal |= hint.is_greeting && nack->code == NACK_EPROTO;
    ingest_refuse(ingest, peer, nack);
}

void ingest_take_control(struct ingest *ingest, peer_id peer, struct incoming *message)
{
    struct control control;
    struct nack nack;

    if (parse(message, &control, &nack) < 0) {
        refuse(ingest, peer, message, &nack);
        return;
    }
    if (act_on(ingest, peer, &control, message, &nack) < 0)
        refuse(ingest, peer, message, &nack);
    control_release(&control);
}
