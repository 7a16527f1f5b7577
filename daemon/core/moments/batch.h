/* A batch on its way through the core: rows, reduced statistics or a slice of a head, of one layer,
 * with its place in the order of the layer. Plain data. Ingest makes one for each data message and
 * gives it to the core with EV_BATCH; the core gives it back exactly once, through
 * actions_released. Until then the frames it points to do not change. Tested by test_batch.c. */
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

struct member; /* monitor/member.h */

/* What a batch brings. */
enum batch_kind {
    BATCH_ROWS,
    BATCH_MOMENTS, /* of rows that the trainer has reduced itself */
    BATCH_HEAD,    /* rows of the head's weights, which make the outputs of the layer's rows */
};

struct batch {
    struct queued queued;
    struct member *member; /* whose it is, once the monitor holds it */
    char layer[LAYER_NAME_MAX + 1];
    uint64_t seq;         /* number in its layer and attempt, from 1; dropped ones are counted */
    uint64_t rows_before; /* rows offered before it, dropped ones counted */
    int64_t step;
    uint32_t p;
    uint32_t c;
    uint32_t k;        /* targets, or classes; 0: none */
    size_t size_bytes; /* all frames, as credit counts them */
    enum batch_kind kind;
    bool is_inner;            /* a deeper layer shares its message, and so its outputs */
    bool outputs_from_head;   /* they do not come with the rows. Set for the head, too */
    enum dtype outputs_dtype; /* of the rows behind it, reduced or not */
    enum dtype targets_dtype; /* of the layer; moments have none */
    union {
        struct rows rows;
        struct moments_view view;
        struct head_slice head;
    };
    bool refused; /* its values were found wrong: nothing of it entered */
    struct err why;
};

/* Rows that count as offered; a head has none. */
static inline uint64_t batch_n_rows(const struct batch *b)
{
    switch (b->kind) {
    case BATCH_ROWS:
        return b->rows.n;
    case BATCH_MOMENTS:
        return b->view.n_rows;
    case BATCH_HEAD:
        break;
    }
    return 0;
}
