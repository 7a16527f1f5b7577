/* A batch on its way through the core: rows, ready-made moments or a slice of the head of one
 * layer, with its place in the layer's order. Ingest makes one per data message and gives it to the
 * core with EV_BATCH; the core gives it back, exactly once, through actions_released. The frames it
 * points to stay as they are in between; what `message` is, only ingest knows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/moments/fold.h"
#include "daemon/core/moments/head.h"
#include "proto/base/limits.h"
#include "proto/base/list.h"

/* A place in a layer's FIFO: a batch, or the mark of a checkpoint (layer.h). */
struct queued {
    struct list link;
    bool is_mark;
};

struct batch {
    struct queued queued;
    char layer[LAYER_NAME_MAX + 1];
    uint64_t seq;         /* number in its layer and attempt, from 1; dropped ones are counted */
    uint64_t rows_before; /* rows offered before it, dropped ones counted */
    int64_t step;
    uint32_t p;
    uint32_t c;
    uint32_t k;        /* targets, or classes; 0: none */
    size_t size_bytes; /* all frames, as credit counts them */
    bool is_reduced;   /* `view` holds, */
    bool is_head;      /* `head`, */
    bool from_head;    /* or `rows`, of which the head makes the outputs. A head has this, too */
    struct rows rows;
    struct moments_view view;
    struct head_slice head;
    enum dtype outputs_dtype; /* of the rows behind it, reduced or not */
    void *message;
};

/* A head has none. */
static inline uint64_t batch_n_rows(const struct batch *b)
{
    return b->is_reduced ? b->view.n_rows : b->rows.n;
}
