/* The data messages of INGEST.md: the 64-byte header and the frames behind it, encoded, decoded and
 * checked against each other. No state, no allocation, no I/O; any thread. The daemon's core checks
 * that the values are finite, that the layer has that shape, and that the credit suffices. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/dtype.h"
#include "proto/base/err.h"
#include "proto/base/limits.h"

#define WIRE_VERSION     1
#define WIRE_HEADER_SIZE 64
/* The largest p and C: X'X of that many features is beyond any memory budget (INGEST.md, Limits).
 */
#define WIRE_COLUMNS_MAX 65536
/* The most outputs, and the most targets that are values, which come as columns: Y'Y of that many
 * takes 2 GiB, and LAPACK's work for the vectors of 32,767 and more is beyond its integers. A head
 * can stand for more. */
#define WIRE_SENT_MAX 16384
/* The most outputs that a head stands for: the number is only kept, and no memory depends on it. */
#define WIRE_HEAD_MAX 16777216
/* The most classes of labels, as for a head: the classes that occur need memory, not this number.
 */
#define WIRE_CLASSES_MAX 16777216
/* The largest frame, set as ZMQ_MAXMSGSIZE by the daemon. */
#define WIRE_FRAME_MAX 67108864u
/* Layers that share one message, and its frames: header, name and features of each, then outputs,
 * targets and weights once. Moments have eight. */
#define WIRE_LAYERS_MAX 64
#define WIRE_FRAMES_MAX (3 * WIRE_LAYERS_MAX + 3)

enum wire_kind {
    WIRE_ROWS = 1,
    WIRE_MOMENTS = 2,
    WIRE_HEAD = 3,
};

/* The fields of the header under their names in INGEST.md. */
struct wire_header {
    enum wire_kind kind;
    uint32_t n_more; /* layers that follow in this message */
    uint64_t seq;
    int64_t step;
    uint64_t rows_before;
    uint32_t n_rows;
    uint32_t n_features;
    uint32_t n_outputs;
    uint32_t n_targets;
    enum dtype features_dtype;
    enum dtype outputs_dtype;
    enum dtype targets_dtype;
    enum dtype weights_dtype;
    uint32_t first_row; /* head: of the triangle, in this slice; else 0 */
};

/* Values of the slice of a head: the rows first_row..first_row+n_rows-1 of a triangle of order
 * n_features, from the diagonal on. */
uint64_t wire_head_values(const struct wire_header *header);

/* Writes the header. It also encodes what wire_header_decode would refuse. */
void wire_header_encode(const struct wire_header *header, uint8_t out[WIRE_HEADER_SIZE]);

/* Reads and checks a header frame: 0, or -EPROTO with text in `err` and `out` undefined. */
int wire_header_decode(const void *frame, size_t size, struct wire_header *out, struct err *err);

struct wire_frame {
    const void *data;
    size_t size; /* bytes */
};

/* A data message taken apart. Everything borrows from the frames it was decoded from; frames that
 * the message does not have are {NULL, 0}. No frame is aligned. */
struct wire_batch {
    struct wire_header header;
    const char *layer; /* not NUL-terminated */
    size_t layer_size;

    struct wire_frame features; /* rows: n x p */
    struct wire_frame outputs;  /* rows: n x C; none when a head makes them */
    struct wire_frame targets;  /* rows: n labels, or n x K */
    struct wire_frame weights;  /* rows: n */

    struct wire_frame head; /* head: a slice of the triangle */

    struct wire_frame mean_features; /* moments: p */
    struct wire_frame mean_outputs;  /* moments: C; this, xy and yy: none when a head makes them */
    struct wire_frame xx;            /* moments: p x p, or p (p + 1) / 2 */
    bool xx_is_packed;               /* it is the upper triangle alone */
    struct wire_frame xy;            /* moments: p x C */
    struct wire_frame yy;            /* moments: C x C */
    struct wire_frame fourth;        /* moments: 1 + p */
};

/* Checks the headers, the number of frames, the layers' names and the length of every frame, and
 * fills `out` with `*n_out` batches, one a layer, that share outputs, targets and weights. Returns
 * 0, or -EPROTO with what was expected and what came in `err`. When a header itself is good,
 * `out[0].header` is filled even if a later frame is refused, and `out[0].layer` once the name is
 * good (NULL before), so that the refusal can name a batch. */
int wire_message_decode(const struct wire_frame *frames, size_t n_frames,
                        struct wire_batch out[WIRE_LAYERS_MAX], size_t *n_out, struct err *err);

/* Checks that every label lies below K (below 0: none); targets that are values, or absent, pass.
 * Returns 0, or -EPROTO naming the row. */
int wire_labels_check(const struct wire_batch *batch, struct err *err);

/* A layer's name: 1 to LAYER_NAME_MAX bytes of UTF-8 without control characters. Returns 0, or
 * -EPROTO. */
int wire_layer_check(const char *layer, size_t size, struct err *err);
