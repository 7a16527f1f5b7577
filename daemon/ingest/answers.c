#include <assert.h>
#include <errno.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/ingest/parts.h"
#include "proto/base/clock.h"
#include "proto/control.h"

static void note_gone(struct ingest *ingest, peer_id peer)
{
    for (size_t i = 0; i < ingest->n_gone; i++) {
        if (ingest->gone[i] == peer)
            return;
    }
    if (ingest->n_gone < MAX_GONE)
        ingest->gone[ingest->n_gone++] = peer;
}

size_t ingest_frame_bytes(size_t size, bool has_key)
{
    size += has_key ? CURVE_BOX_BYTES : 0;
    return size + (size > UINT8_MAX ? 9 : 2);
}

static struct place place_of(const struct ingest *ingest, peer_id peer)
{
    const struct place *place = &ingest->places[peer % PEER_PLACES];

    return place->peer == peer ? *place : (struct place){.peer = peer, .fd = -1};
}

/* Returns 0, or the errno of libzmq. */
static int send_frames(struct ingest *ingest, peer_id peer, const char *text, size_t size,
                       const struct cbor *second)
{
    uint32_t number = (uint32_t)(peer - 1);
    uint8_t id[ROUTING_ID_SIZE] = {0, (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                   (uint8_t)(number >> 8), (uint8_t)number};

    if (zmq_send(ingest->socket, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(ingest->socket, text, size, ZMQ_DONTWAIT | (second ? ZMQ_SNDMORE : 0)) < 0 ||
        (second && zmq_send(ingest->socket, second->data, second->size, ZMQ_DONTWAIT) < 0))
        return zmq_errno();
    return 0;
}

/* A connection that has ended hears nothing, and opens again by itself; one that is there and did
 * not get its answer is gone. The descriptor of one that has ended may be another's by now. */
static bool send_text(struct ingest *ingest, peer_id peer, const char *text,
                      const struct cbor *second)
{
    struct place place = place_of(ingest, peer);
    size_t size = strlen(text);
    uint64_t bytes = ingest_frame_bytes(size, place.has_key) +
                     (second ? ingest_frame_bytes(second->size, place.has_key) : 0);
    int fd = place.fd, rc;

    if (!gate_give(fd, bytes))
        return false;
    rc = send_frames(ingest, peer, text, size, second);
    if (rc != 0)
        gate_take_back(fd, bytes);
    return rc == 0 || rc == EHOSTUNREACH;
}

void ingest_send_pair(struct ingest *ingest, peer_id peer, char *text, const struct cbor *second)
{
    if (!text || !send_text(ingest, peer, text, second))
        note_gone(ingest, peer);
    cJSON_free(text);
}

void ingest_send_text(struct ingest *ingest, peer_id peer, char *text)
{
    ingest_send_pair(ingest, peer, text, NULL);
}

void ingest_send_welcome(struct ingest *ingest, peer_id peer, const struct welcome *welcome)
{
    ingest_send_text(ingest, peer,
                     control_encode_welcome(&(struct control_welcome){
                         .run = welcome->run,
                         .attempt = welcome->attempt,
                         .granted = (int64_t)welcome->granted,
                         .last_seq = (int64_t)welcome->last_seq,
                         .last_step = welcome->has_last_step ? welcome->last_step : -1,
                         .rank = welcome->rank,
                         .world = welcome->world,
                     }));
}

void ingest_send_progress(struct ingest *ingest, peer_id peer, uint64_t granted)
{
    ingest_send_text(
        ingest, peer,
        control_encode_progress(&(struct control_progress){.granted = (int64_t)granted}));
}

void ingest_send_ack(struct ingest *ingest, peer_id peer, uint64_t seq)
{
    ingest_send_text(ingest, peer, control_encode_ack(&(struct control_ack){.seq = (int64_t)seq}));
}

static cJSON *points_to_json(const struct record *record)
{
    cJSON *points = cJSON_CreateArray();

    for (size_t i = 0; points && i < record->n_points; i++) {
        if (record->points[i].measured)
            cJSON_AddItemToArray(points, point_to_json(record->run, record->points[i].layer,
                                                       record->attempt, &record->points[i].point));
    }
    return points;
}

static void send_ack(struct ingest *ingest, peer_id peer, uint64_t seq, const cJSON *points)
{
    if (peer)
        ingest_send_text(
            ingest, peer,
            control_encode_ack(&(struct control_ack){.seq = (int64_t)seq, .points = points}));
}

/* Of a job with many ranks each hears of all points: they are printed once. */
static cJSON *print_once(cJSON *points, size_t n_acks)
{
    char *text = points && n_acks > 1 ? cJSON_PrintUnformatted(points) : NULL;
    cJSON *printed = text ? cJSON_CreateRaw(text) : NULL;

    cJSON_free(text);
    if (!printed)
        return points;
    cJSON_Delete(points);
    return printed;
}

void ingest_send_record_acks(struct ingest *ingest, peer_id peer, const struct record *record)
{
    bool has_points = record->kind == RECORD_CHECKPOINT || record->kind == RECORD_RECALL;
    cJSON *points = has_points ? print_once(points_to_json(record), record->n_senders) : NULL;

    if (record->n_senders == 0)
        send_ack(ingest, peer, record->seq, points);
    for (size_t i = 0; i < record->n_senders; i++)
        send_ack(ingest, record->senders[i].peer, record->senders[i].seq, points);
    cJSON_Delete(points);
}

void ingest_send_nack(struct ingest *ingest, peer_id peer, const struct nack *nack)
{
    log_warn_limited(&ingest->limit, "refused code=%s %s", nack_code_name(nack->code),
                     nack->why.text);
    ingest_send_text(ingest, peer,
                     control_encode_nack(&(struct control_nack){
                         .code = nack_code_name(nack->code),
                         .text = nack->why.text,
                         .fatal = nack->fatal,
                         .seq = (int64_t)nack->seq,
                         .layer = nack->layer[0] ? nack->layer : NULL,
                         .batch = (int64_t)nack->batch,
                     }));
}

void ingest_refuse(struct ingest *ingest, peer_id peer, const struct nack *nack)
{
    ingest->n_refused++;
    ingest_send_nack(ingest, peer, nack);
}

void ingest_emit(struct ingest *ingest, struct event *event, enum event_type type, peer_id peer)
{
    assert(peer != 0);
    event->type = type;
    event->peer = peer;
    event->time = clock_wall_s();
    ingest->on_event(ingest->arg, event);
}
