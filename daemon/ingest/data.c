#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ingest/parts.h"

/* The frames of a data message while batches of it are on their way. */
struct held_frames {
    size_t n_batches;
    size_t n_frames;
    zmq_msg_t frames[];
};

/* A layer's share of a data message, on its way through the core. */
struct inbound {
    struct batch batch;
    struct held_frames *held;
    double *aligned; /* copies of frames of moments that did not lie on 8 bytes */
};

/* Takes the frames out of the message. They must not move again: libzmq keeps the bytes of a small
 * one inside the zmq_msg_t itself. Returns NULL when memory ran out. */
static struct held_frames *hold(struct incoming *message)
{
    struct held_frames *held = malloc(sizeof *held + message->n_frames * sizeof held->frames[0]);

    if (!held)
        return NULL;
    held->n_batches = 0;
    held->n_frames = message->n_frames;
    for (size_t i = 0; i < message->n_frames; i++) {
        zmq_msg_init(&held->frames[i]);
        zmq_msg_move(&held->frames[i], &message->frames[i]);
    }
    return held;
}

static void free_held(struct held_frames *held)
{
    for (size_t i = 0; i < held->n_frames; i++)
        zmq_msg_close(&held->frames[i]);
    free(held);
}

void ingest_release(struct batch *batch)
{
    struct inbound *inbound = LIST_ENTRY(batch, struct inbound, batch);

    if (--inbound->held->n_batches == 0)
        free_held(inbound->held);
    free(inbound->aligned);
    free(inbound);
}

/* The frame's doubles where BLAS may read them: in place when they lie on 8 bytes, else in a copy.
 */
static const double *align(const struct wire_frame *frame, double **spare)
{
    const double *copy = *spare;

    if ((uintptr_t)frame->data % sizeof(double) == 0)
        return frame->data;
    memcpy(*spare, frame->data, frame->size);
    *spare += (frame->size + sizeof(double) - 1) / sizeof(double);
    return copy;
}

static int fill_view(struct inbound *inbound, const struct wire_batch *wire)
{
    const struct wire_frame *frames[] = {
        &wire->mean_features, &wire->mean_outputs, &wire->xx, &wire->xy, &wire->yy, &wire->fourth};
    struct moments_view *view = &inbound->batch.view;
    size_t n_doubles = 0;
    double *spare;

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        if ((uintptr_t)frames[i]->data % sizeof(double) != 0)
            n_doubles += frames[i]->size / sizeof(double) + 1;
    }
    spare = inbound->aligned = n_doubles ? malloc(n_doubles * sizeof *spare) : NULL;
    if (n_doubles && !spare)
        return -ENOMEM;
    view->n_rows = wire->header.n_rows;
    view->mean_x = align(&wire->mean_features, &spare);
    view->mean_y = align(&wire->mean_outputs, &spare);
    view->xx = align(&wire->xx, &spare);
    view->xx_dtype = wire->header.features_dtype;
    view->xx_is_packed = wire->xx_is_packed;
    view->features_dtype =
        wire->header.weights_dtype == DTYPE_NONE ? view->xx_dtype : wire->header.weights_dtype;
    view->xy = align(&wire->xy, &spare);
    view->yy = align(&wire->yy, &spare);
    view->sum_sx = align(&wire->fourth, &spare);
    view->sum_s2 = *view->sum_sx++;
    return 0;
}

static void fill_rows(struct rows *rows, const struct wire_batch *wire)
{
    rows->n = wire->header.n_rows;
    rows->features = wire->features.data;
    rows->outputs = wire->outputs.data;
    rows->features_dtype = wire->header.features_dtype;
    rows->outputs_dtype = wire->header.outputs_dtype;
    rows->targets = wire->targets.data;
    rows->targets_dtype = wire->header.targets_dtype;
    rows->weights = wire->weights.data;
    rows->weights_dtype = wire->header.weights_dtype;
}

static void fill_head(struct head_slice *slice, const struct wire_batch *wire)
{
    slice->first = wire->header.first_row;
    slice->n = wire->header.n_rows;
    slice->dtype = wire->header.features_dtype;
    slice->weights =
        wire->header.weights_dtype == DTYPE_NONE ? slice->dtype : wire->header.weights_dtype;
    slice->values = wire->head.data;
}

/* Header, name and features are the layer's own; what the layers share counts with the first. */
static size_t size_of(const struct held_frames *held, const struct wire_batch *wire, bool is_first)
{
    size_t all = 0;

    for (size_t i = 0; i < held->n_frames; i++)
        all += zmq_msg_size(&held->frames[i]);
    if (wire->header.kind != WIRE_ROWS || (is_first && wire->header.n_more == 0))
        return all;
    return WIRE_HEADER_SIZE + wire->layer_size + wire->features.size +
           (is_first ? wire->outputs.size + wire->targets.size + wire->weights.size : 0);
}

static int fill_batch(struct inbound *inbound, const struct wire_batch *wire, bool is_first)
{
    struct batch *batch = &inbound->batch;

    assert(wire->layer && wire->layer_size <= LAYER_NAME_MAX);
    memcpy(batch->layer, wire->layer, wire->layer_size);
    batch->seq = wire->header.seq;
    batch->rows_before = wire->header.rows_before;
    batch->step = wire->header.step;
    batch->p = wire->header.n_features;
    batch->c = wire->header.n_outputs;
    batch->k = wire->header.n_targets;
    batch->outputs_dtype = wire->header.outputs_dtype;
    batch->size_bytes = size_of(inbound->held, wire, is_first);
    batch->is_inner = wire->header.n_more > 0;
    batch->outputs_from_head = wire->header.outputs_dtype == DTYPE_NONE;
    batch->targets_dtype = wire->header.targets_dtype;
    switch (wire->header.kind) {
    case WIRE_ROWS:
        batch->kind = BATCH_ROWS;
        fill_rows(&batch->rows, wire);
        break;
    case WIRE_MOMENTS:
        batch->kind = BATCH_MOMENTS;
        return fill_view(inbound, wire);
    case WIRE_HEAD:
        batch->kind = BATCH_HEAD;
        fill_head(&batch->head, wire);
        break;
    }
    return 0;
}

/* The text names what is known of the batch. */
static void refuse(struct ingest *ingest, peer_id peer, const struct wire_batch *wire,
                   enum nack_code code, const char *why)
{
    struct nack nack;

    nack_set(&nack, code, "%s", why);
    nack.batch = wire->header.seq;
    if (wire->layer) {
        snprintf(nack.layer, sizeof nack.layer, "%.*s", (int)wire->layer_size, wire->layer);
        err_prefix(&nack.why, 0, "layer %s, batch %" PRIu64 ": ", nack.layer, nack.batch);
    }
    ingest_refuse(ingest, peer, &nack);
}

/* Hands one layer's batch to the core, which takes it. */
static void emit_batch(struct ingest *ingest, peer_id peer, struct held_frames *held,
                       const struct wire_batch *wire, bool is_first)
{
    struct inbound *inbound = calloc(1, sizeof *inbound);
    struct event event = {0};

    if (!inbound) {
        refuse(ingest, peer, wire, NACK_EBUSY, OUT_OF_MEMORY);
        return;
    }
    held->n_batches++;
    inbound->held = held;
    if (fill_batch(inbound, wire, is_first) < 0) {
        refuse(ingest, peer, wire, NACK_EBUSY, OUT_OF_MEMORY);
        ingest_release(&inbound->batch);
        return;
    }
    event.batch = &inbound->batch;
    ingest_emit(ingest, &event, EV_BATCH, peer);
}

static int decode(const struct incoming *message, struct held_frames *held,
                  struct wire_batch *batches, size_t *n, struct err *why)
{
    struct wire_frame frames[WIRE_FRAMES_MAX];
    int rc;

    if (message->too_many)
        return err_set(why, -EPROTO, "more than %d frames", WIRE_FRAMES_MAX);
    for (size_t i = 0; i < held->n_frames; i++)
        frames[i] =
            (struct wire_frame){zmq_msg_data(&held->frames[i]), zmq_msg_size(&held->frames[i])};
    rc = wire_message_decode(frames, held->n_frames, batches, n, why);
    return rc == 0 ? wire_labels_check(&batches[0], why) : rc;
}

void ingest_take_data(struct ingest *ingest, peer_id peer, struct incoming *message)
{
    struct wire_batch batches[WIRE_LAYERS_MAX];
    struct held_frames *held = hold(message);
    struct err why;
    size_t n = 0;

    batches[0].layer = NULL;
    batches[0].header.seq = 0;
    if (!held) {
        refuse(ingest, peer, &batches[0], NACK_EBUSY, OUT_OF_MEMORY);
        return;
    }
    held->n_batches++; /* ours, until all are handed over */
    if (decode(message, held, batches, &n, &why) < 0) {
        refuse(ingest, peer, &batches[0], NACK_EPROTO, why.text);
        n = 0;
    }
    for (size_t i = 0; i < n; i++)
        emit_batch(ingest, peer, held, &batches[i], i == 0);
    if (--held->n_batches == 0)
        free_held(held);
}
