#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ingest/parts.h"

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
    v->xx_dtype = w->header.features_dtype;
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
    r->features_dtype = w->header.features_dtype;
    r->outputs_dtype = w->header.outputs_dtype;
    r->targets = w->targets.data;
    r->targets_dtype = w->header.targets_dtype;
    r->weights = w->weights.data;
    r->weights_dtype = w->header.weights_dtype;
}

static void fill_head(struct head_slice *s, const struct wire_batch *w)
{
    s->first = w->header.first_row;
    s->n = w->header.n_rows;
    s->dtype = w->header.features_dtype;
    s->values = w->head.data;
}

/* Header, name and features are the layer's own; what the layers share counts with the first. */
static size_t size_of(const struct held *h, const struct wire_batch *w, bool is_first)
{
    size_t all = 0;

    for (size_t i = 0; i < h->n_frames; i++)
        all += zmq_msg_size(&h->frames[i]);
    if (w->header.kind != WIRE_ROWS || (is_first && w->header.n_more == 0))
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
    b->outputs_dtype = w->header.outputs_dtype;
    b->size_bytes = size_of(in->held, w, is_first);
    b->outputs_from_head = w->header.outputs_dtype == DTYPE_NONE;
    b->targets_dtype = w->header.targets_dtype;
    switch (w->header.kind) {
    case WIRE_ROWS:
        b->kind = BATCH_ROWS;
        fill_rows(&b->rows, w);
        break;
    case WIRE_MOMENTS:
        b->kind = BATCH_MOMENTS;
        return fill_view(in, w);
    case WIRE_HEAD:
        b->kind = BATCH_HEAD;
        fill_head(&b->head, w);
        break;
    }
    return 0;
}

/* Hands one layer's batch to the core, which takes it. */
static void emit_batch(struct ingest *in, peer_id peer, struct held *held,
                       const struct wire_batch *w, bool is_first)
{
    struct inbound *inbound = calloc(1, sizeof *inbound);
    struct event e = {0};

    if (!inbound) {
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, w);
        return;
    }
    held->n_batches++;
    inbound->held = held;
    if (fill_batch(inbound, w, is_first) < 0) {
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, w);
        ingest_release(&inbound->batch);
        return;
    }
    e.batch = &inbound->batch;
    ingest_emit(in, &e, EV_BATCH, peer);
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

void ingest_take_data(struct ingest *in, peer_id peer, struct message *m)
{
    struct wire_batch batches[WIRE_LAYERS_MAX];
    struct held *held = hold(m);
    struct err why;
    size_t n = 0;
    int rc;

    if (!held) {
        ingest_refuse(in, peer, "EBUSY", &ingest_no_memory, NULL);
        return;
    }
    batches[0].layer = NULL;
    batches[0].header.seq = 0;
    rc = m->too_many ? err_set(&why, -EPROTO, "more than %d frames", WIRE_FRAMES_MAX)
                     : decode(held, batches, &n, &why);
    held->n_batches++; /* ours, until all are handed over */
    if (rc < 0)
        ingest_refuse(in, peer, "EPROTO", &why, &batches[0]);
    for (size_t i = 0; rc == 0 && i < n; i++)
        emit_batch(in, peer, held, &batches[i], i == 0);
    if (--held->n_batches == 0)
        free_held(held);
}
