#include <errno.h>
#include <string.h>

#include "daemon/format/model_json.h"
#include "daemon/ingest/parts.h"
#include "proto/control.h"

static void note_gone(struct ingest *in, peer_id peer)
{
    for (size_t i = 0; i < in->n_gone; i++) {
        if (in->gone[i] == peer)
            return;
    }
    if (in->n_gone < MAX_GONE)
        in->gone[in->n_gone++] = peer;
}

void ingest_send_text(struct ingest *in, peer_id peer, char *text)
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
    ingest_send_text(in, peer,
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
    ingest_send_text(
        in, peer, control_encode_progress(&(struct control_progress){.granted = (int64_t)granted}));
}

void ingest_send_ack(struct ingest *in, peer_id peer, uint64_t seq)
{
    ingest_send_text(in, peer, control_encode_ack(&(struct control_ack){.seq = (int64_t)seq}));
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

    ingest_send_text(
        in, peer,
        control_encode_ack(&(struct control_ack){.seq = (int64_t)r->seq, .points = points}));
    cJSON_Delete(points);
}

void ingest_send_nack(struct ingest *in, peer_id peer, const struct nack *n)
{
    log_warn_limited(&in->limit, "refused code=%s %s", nack_code_name(n->code), n->why.text);
    ingest_send_text(in, peer,
                     control_encode_nack(&(struct control_nack){
                         .code = nack_code_name(n->code),
                         .text = n->why.text,
                         .fatal = n->fatal,
                         .seq = (int64_t)n->seq,
                         .layer = n->layer[0] ? n->layer : NULL,
                         .batch = (int64_t)n->batch,
                     }));
}

void ingest_refuse(struct ingest *in, peer_id peer, const char *code, const struct err *why,
                   const struct wire_batch *w)
{
    char layer[LAYER_NAME_MAX + 1] = "";
    bool fatal = strcmp(code, "EVERSION") == 0;
    struct err named = *why;

    if (w && w->layer) {
        snprintf(layer, sizeof layer, "%.*s", (int)w->layer_size, w->layer);
        err_prefix(&named, 0, "layer %s, batch %llu: ", layer, (unsigned long long)w->header.seq);
    }
    in->n_refused++;
    log_warn_limited(&in->limit, "refused code=%s %s", code, named.text);
    ingest_send_text(in, peer,
                     control_encode_nack(&(struct control_nack){
                         .code = code,
                         .text = named.text,
                         .fatal = fatal,
                         .layer = layer[0] ? layer : NULL,
                         .batch = w ? (int64_t)w->header.seq : 0,
                     }));
}
