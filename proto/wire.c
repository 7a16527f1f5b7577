#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "proto/json.h"

static const char magic[4] = {'R', 'I', 'C', 'H'};

/* Which dtypes a field of the header may name. */
#define BIT(dtype) (1u << (dtype))
#define REAL       (BIT(DTYPE_F32) | BIT(DTYPE_F64) | BIT(DTYPE_F16) | BIT(DTYPE_BF16))
#define REDUCED    (BIT(DTYPE_F32) | BIT(DTYPE_F64))
#define LABEL      (BIT(DTYPE_I32) | BIT(DTYPE_I64))

/* Little-endian on every host: the compiler turns these loops into one load or store. */
static void put(uint8_t *at, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t n_bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n_bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void wire_header_encode(const struct wire_header *header, uint8_t out[WIRE_HEADER_SIZE])
{
    memset(out, 0, WIRE_HEADER_SIZE);
    memcpy(out, magic, sizeof magic);
    put(out + 4, WIRE_VERSION, 2);
    put(out + 6, header->kind, 1);
    put(out + 7, header->n_more, 1);
    put(out + 8, header->seq, 8);
    put(out + 16, (uint64_t)header->step, 8);
    put(out + 24, header->rows_before, 8);
    put(out + 32, header->n_rows, 4);
    put(out + 36, header->n_features, 4);
    put(out + 40, header->n_outputs, 4);
    put(out + 44, header->n_targets, 4);
    put(out + 48, header->features_dtype, 1);
    put(out + 49, header->outputs_dtype, 1);
    put(out + 50, header->targets_dtype, 1);
    put(out + 51, header->weights_dtype, 1);
    put(out + 52, header->first_row, 4);
}

static void read_fields(const uint8_t *in, struct wire_header *header)
{
    header->kind = (enum wire_kind)get(in + 6, 1);
    header->n_more = (uint32_t)get(in + 7, 1);
    header->seq = get(in + 8, 8);
    header->step = (int64_t)get(in + 16, 8);
    header->rows_before = get(in + 24, 8);
    header->n_rows = (uint32_t)get(in + 32, 4);
    header->n_features = (uint32_t)get(in + 36, 4);
    header->n_outputs = (uint32_t)get(in + 40, 4);
    header->n_targets = (uint32_t)get(in + 44, 4);
    header->features_dtype = (enum dtype)get(in + 48, 1);
    header->outputs_dtype = (enum dtype)get(in + 49, 1);
    header->targets_dtype = (enum dtype)get(in + 50, 1);
    header->weights_dtype = (enum dtype)get(in + 51, 1);
    header->first_row = header->kind == WIRE_HEAD ? (uint32_t)get(in + 52, 4) : 0;
}

static int check_envelope(const uint8_t *in, size_t size, struct err *err)
{
    unsigned version;

    if (size != WIRE_HEADER_SIZE)
        return err_set(err, -EPROTO, "the header has %zu bytes, expected %d", size,
                       WIRE_HEADER_SIZE);
    if (memcmp(in, magic, sizeof magic) != 0)
        return err_set(err, -EPROTO, "the header starts with %02x %02x %02x %02x, expected RICH",
                       in[0], in[1], in[2], in[3]);
    version = (unsigned)get(in + 4, 2);
    if (version != WIRE_VERSION)
        return err_set(err, -EPROTO, "data messages of version %u, this side reads version %d",
                       version, WIRE_VERSION);
    return 0;
}

static bool among(enum dtype dtype, unsigned allowed)
{
    return (unsigned)dtype < DTYPE_COUNT && (allowed & BIT(dtype)) != 0;
}

static int check_dtype(const char *field, enum dtype dtype, unsigned allowed, struct err *err)
{
    if (among(dtype, allowed))
        return 0;
    if (allowed == BIT(DTYPE_NONE))
        return err_set(err, -EPROTO, "%s is %u (%s), expected 0", field, (unsigned)dtype,
                       dtype_name(dtype));
    return err_set(err, -EPROTO, "%s is %u (%s), expected a code for real values%s%s", field,
                   (unsigned)dtype, dtype_name(dtype), allowed & LABEL ? " or labels" : "",
                   allowed & BIT(DTYPE_NONE) ? " or 0" : "");
}

/* The dtypes that each kind allows. */
static const struct {
    const char *name;
    unsigned features, outputs, targets, weights;
} kinds[] = {
    [WIRE_ROWS] = {"rows", REAL, BIT(DTYPE_NONE) | REAL, BIT(DTYPE_NONE) | REAL | LABEL,
                   BIT(DTYPE_NONE) | REAL},
    [WIRE_MOMENTS] = {"moments", REDUCED, BIT(DTYPE_NONE) | REAL, BIT(DTYPE_NONE),
                      BIT(DTYPE_NONE) | REAL},
    [WIRE_HEAD] = {"head", REDUCED, BIT(DTYPE_NONE), BIT(DTYPE_NONE) | REAL | LABEL,
                   BIT(DTYPE_NONE) | REAL},
};

static int check_dtypes(const struct wire_header *header, struct err *err)
{
    int rc =
        check_dtype("features_dtype", header->features_dtype, kinds[header->kind].features, err);

    if (rc == 0)
        rc = check_dtype("outputs_dtype", header->outputs_dtype, kinds[header->kind].outputs, err);
    if (rc == 0)
        rc = check_dtype("targets_dtype", header->targets_dtype, kinds[header->kind].targets, err);
    if (rc == 0)
        rc = check_dtype("weights_dtype", header->weights_dtype, kinds[header->kind].weights, err);
    return rc;
}

/* The limits of the numbers of columns, which are larger when the columns do not travel. */
static int check_columns(const struct wire_header *header, struct err *err)
{
    uint32_t most = header->outputs_dtype == DTYPE_NONE ? WIRE_HEAD_MAX : WIRE_SENT_MAX;

    if (header->n_outputs > most && most == WIRE_SENT_MAX)
        return err_set(err, -EPROTO,
                       "n_outputs is %" PRIu32 ", at most %d are sent as columns: send features "
                       "alone and the head they come from (kind %d)",
                       header->n_outputs, WIRE_SENT_MAX, WIRE_HEAD);
    if (header->n_outputs < 1 || header->n_outputs > most)
        return err_set(err, -EPROTO, "n_outputs is %" PRIu32 ", expected 1 to %" PRIu32,
                       header->n_outputs, most);
    most = dtype_is_label(header->targets_dtype) ? WIRE_CLASSES_MAX : WIRE_SENT_MAX;
    if (header->n_targets > most)
        return err_set(err, -EPROTO, "n_targets is %" PRIu32 ", expected at most %" PRIu32,
                       header->n_targets, most);
    return 0;
}

/* A slice lies inside its triangle. */
static int check_slice(const struct wire_header *header, struct err *err)
{
    if (header->kind != WIRE_HEAD ||
        (header->n_rows > 0 && header->first_row < header->n_features &&
         header->n_rows <= header->n_features - header->first_row))
        return 0;
    return err_set(
        err, -EPROTO, "rows %" PRIu32 " to %" PRIu64 " of the head, expected some of 0 to %" PRIu32,
        header->first_row, (uint64_t)header->first_row + header->n_rows, header->n_features);
}

static int check_shape(const struct wire_header *header, struct err *err)
{
    if (header->n_features < 1 || header->n_features > WIRE_COLUMNS_MAX)
        return err_set(err, -EPROTO, "n_features is %" PRIu32 ", expected 1 to %d",
                       header->n_features, WIRE_COLUMNS_MAX);
    if (check_columns(header, err) < 0 || check_slice(header, err) < 0)
        return -EPROTO;
    if ((header->n_targets == 0) != (header->targets_dtype == DTYPE_NONE))
        return err_set(err, -EPROTO, "n_targets is %" PRIu32 " and targets_dtype is %s",
                       header->n_targets, dtype_name(header->targets_dtype));
    return 0;
}

int wire_header_decode(const void *frame, size_t size, struct wire_header *out, struct err *err)
{
    int rc = check_envelope(frame, size, err);

    if (rc < 0)
        return rc;
    read_fields(frame, out);
    if (out->kind < WIRE_ROWS || out->kind > WIRE_HEAD)
        return err_set(err, -EPROTO, "kind is %u, expected %d (rows), %d (moments) or %d (head)",
                       (unsigned)out->kind, WIRE_ROWS, WIRE_MOMENTS, WIRE_HEAD);
    if (out->seq < 1)
        return err_set(err, -EPROTO, "seq is 0, batches are numbered from 1");
    if (out->n_more >= (out->kind == WIRE_ROWS ? WIRE_LAYERS_MAX : 1))
        return err_set(err, -EPROTO,
                       "%" PRIu32 " more layers in the message, at most %d may share one",
                       out->n_more, out->kind == WIRE_ROWS ? WIRE_LAYERS_MAX : 1);
    if (out->step < 0)
        return err_set(err, -EPROTO, "step is %" PRId64 ", expected 0 or more", out->step);
    rc = check_dtypes(out, err);
    return rc < 0 ? rc : check_shape(out, err);
}

int wire_layer_check(const char *layer, size_t size, struct err *err)
{
    if (size < 1 || size > LAYER_NAME_MAX)
        return err_set(err, -EPROTO, "the layer's name has %zu bytes, expected 1 to %d", size,
                       LAYER_NAME_MAX);
    if (!json_utf8_valid(layer, size))
        return err_set(err, -EPROTO, "the layer's name is not valid UTF-8");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)layer[i];

        if (c < 0x20 || c == 0x7f)
            return err_set(err, -EPROTO, "the layer's name has the control character 0x%02x", c);
        /* U+0080 to U+009F, the second block of control characters */
        if (c == 0xC2 && (unsigned char)layer[i + 1] < 0xA0)
            return err_set(err, -EPROTO, "the layer's name has a control character");
    }
    return 0;
}

/* The frames of moments behind header and name; shared frames of rows are fewer. */
#define EXPECTED_MAX 6

/* A frame that the header announces: where its view goes, and its shape. */
struct expected {
    const char *name;
    struct wire_frame *to;
    uint64_t n_rows;
    uint64_t n_columns;
    enum dtype dtype;
};

/* What all layers of a message share. */
static size_t expect_shared(struct wire_batch *batch, struct expected *out)
{
    const struct wire_header *header = &batch->header;
    uint64_t n = header->n_rows;
    size_t i = 0;

    if (header->outputs_dtype != DTYPE_NONE)
        out[i++] = (struct expected){"outputs", &batch->outputs, n, header->n_outputs,
                                     header->outputs_dtype};
    if (header->targets_dtype != DTYPE_NONE) {
        uint64_t columns = dtype_is_label(header->targets_dtype) ? 1 : header->n_targets;

        out[i++] = (struct expected){"targets", &batch->targets, n, columns, header->targets_dtype};
    }
    if (header->weights_dtype != DTYPE_NONE)
        out[i++] = (struct expected){"weights", &batch->weights, n, 1, header->weights_dtype};
    return i;
}

/* X'X comes whole, or as its upper triangle: the frame's length says which. */
static struct expected expect_xx(struct wire_batch *batch, size_t size)
{
    const struct wire_header *header = &batch->header;
    uint64_t p = header->n_features, triangle = p * (p + 1) / 2;

    batch->xx_is_packed = p > 1 && size == triangle * dtype_size(header->features_dtype);
    return (struct expected){"X'X", &batch->xx, batch->xx_is_packed ? 1 : p,
                             batch->xx_is_packed ? triangle : p, header->features_dtype};
}

/* Without outputs, which a head makes, there is nothing that has them in it. */
static size_t expect_moments(struct wire_batch *batch, size_t xx_size, struct expected *out)
{
    const struct wire_header *header = &batch->header;
    bool with_outputs = header->outputs_dtype != DTYPE_NONE;
    uint64_t p = header->n_features, c = header->n_outputs;
    size_t i = 0;

    out[i++] = (struct expected){"mean of the features", &batch->mean_features, 1, p, DTYPE_F64};
    if (with_outputs)
        out[i++] = (struct expected){"mean of the outputs", &batch->mean_outputs, 1, c, DTYPE_F64};
    out[i++] = expect_xx(batch, xx_size);
    if (with_outputs) {
        out[i++] = (struct expected){"X'Y", &batch->xy, p, c, DTYPE_F64};
        out[i++] = (struct expected){"Y'Y", &batch->yy, c, c, DTYPE_F64};
    }
    out[i++] = (struct expected){"fourth moments", &batch->fourth, 1, 1 + p, DTYPE_F64};
    return i;
}

/* The largest frame that a header can announce: 2^32 rows of 2^16 columns of 8 bytes, 2^51. */
_Static_assert(WIRE_COLUMNS_MAX <= 65536 && WIRE_SENT_MAX <= 65536, "a frame's size is below 2^64");

static int take_frame(const struct expected *expected, const struct wire_frame *frame,
                      struct err *err)
{
    uint64_t bytes = expected->n_rows * expected->n_columns * dtype_size(expected->dtype);

    assert(expected->to && dtype_size(expected->dtype) > 0);
    if (frame->size != bytes)
        return err_set(err, -EPROTO,
                       "%s: the frame has %zu bytes, expected %" PRIu64 " (%" PRIu64 " x %" PRIu64
                       " of %s)",
                       expected->name, frame->size, bytes, expected->n_rows, expected->n_columns,
                       dtype_name(expected->dtype));
    *expected->to = *frame;
    return 0;
}

/* Header and name, which every batch starts with. */
static int decode_opening(const struct wire_frame *frames, size_t n_frames, struct wire_batch *out,
                          struct err *err)
{
    int rc;

    memset(out, 0, sizeof *out);
    if (n_frames < 1)
        return err_set(err, -EPROTO, "the header of a layer is missing");
    rc = wire_header_decode(frames[0].data, frames[0].size, &out->header, err);
    if (rc < 0 || n_frames < 2)
        return rc;
    rc = wire_layer_check(frames[1].data, frames[1].size, err);
    if (rc < 0)
        return rc;
    out->layer = frames[1].data;
    out->layer_size = frames[1].size;
    return 0;
}

/* Rows are the same rows, whatever the layer. */
static int check_same_rows(const struct wire_header *first, const struct wire_header *header,
                           size_t i, struct err *err)
{
    if (header->kind == first->kind && header->n_more + i == first->n_more &&
        header->step == first->step && header->n_rows == first->n_rows &&
        header->n_outputs == first->n_outputs && header->n_targets == first->n_targets &&
        header->outputs_dtype == first->outputs_dtype &&
        header->targets_dtype == first->targets_dtype &&
        header->weights_dtype == first->weights_dtype)
        return 0;
    return err_set(err, -EPROTO, "the header of layer %zu does not agree with the first one",
                   i + 1);
}

static int take_frames(const struct expected *expected, size_t n, const struct wire_frame *frames,
                       struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = take_frame(&expected[i], &frames[i], err);
    return rc;
}

static int check_count(size_t n_frames, size_t expected, struct err *err)
{
    if (n_frames == expected)
        return 0;
    return err_set(err, -EPROTO, "%zu frames, expected %zu", n_frames, expected);
}

static int decode_moments(const struct wire_frame *frames, size_t n_frames, struct wire_batch *out,
                          struct err *err)
{
    struct expected expected[EXPECTED_MAX];
    size_t xx_at = out->header.outputs_dtype == DTYPE_NONE ? 3 : 4;
    size_t xx_size = xx_at < n_frames ? frames[xx_at].size : 0;
    size_t n = expect_moments(out, xx_size, expected);
    int rc = check_count(n_frames, 2 + n, err);

    return rc < 0 ? rc : take_frames(expected, n, frames + 2, err);
}

uint64_t wire_head_values(const struct wire_header *header)
{
    uint64_t n = header->n_rows, longest = (uint64_t)header->n_features - header->first_row;

    assert(header->kind == WIRE_HEAD && n <= longest);
    return n * longest - n * (n - 1) / 2;
}

static int decode_head_slice(const struct wire_frame *frames, size_t n_frames,
                             struct wire_batch *out, struct err *err)
{
    struct expected slice = {"the head's slice", &out->head, 1, wire_head_values(&out->header),
                             out->header.features_dtype};
    int rc = check_count(n_frames, 3, err);

    return rc < 0 ? rc : take_frame(&slice, frames + 2, err);
}

/* The openings and features of all layers, then what they share. out[0] has its own already. */
static int decode_rows(const struct wire_frame *frames, size_t n_frames, struct wire_batch *out,
                       size_t n_layers, struct err *err)
{
    struct expected shared[EXPECTED_MAX];
    size_t n_shared = expect_shared(&out[0], shared);
    int rc = check_count(n_frames, 3 * n_layers + n_shared, err);

    for (size_t i = 1; i < n_layers && rc == 0; i++) {
        rc = decode_opening(frames + 3 * i, n_frames - 3 * i, &out[i], err);
        if (rc == 0)
            rc = check_same_rows(&out[0].header, &out[i].header, i, err);
    }
    for (size_t i = 0; i < n_layers && rc == 0; i++) {
        const struct wire_header *header = &out[i].header;
        struct expected features = {"features", &out[i].features, header->n_rows,
                                    header->n_features, header->features_dtype};

        rc = take_frame(&features, &frames[3 * i + 2], err);
    }
    if (rc == 0)
        rc = take_frames(shared, n_shared, frames + 3 * n_layers, err);
    for (size_t i = 1; i < n_layers; i++) {
        out[i].outputs = out[0].outputs;
        out[i].targets = out[0].targets;
        out[i].weights = out[0].weights;
    }
    return rc;
}

int wire_message_decode(const struct wire_frame *frames, size_t n_frames,
                        struct wire_batch out[WIRE_LAYERS_MAX], size_t *n_out, struct err *err)
{
    int rc = decode_opening(frames, n_frames, &out[0], err);

    assert(frames || n_frames == 0);
    assert(rc < 0 || out[0].header.n_more < WIRE_LAYERS_MAX);
    *n_out = 0;
    if (rc == 0 && out[0].header.kind == WIRE_MOMENTS)
        rc = decode_moments(frames, n_frames, &out[0], err);
    else if (rc == 0 && out[0].header.kind == WIRE_HEAD)
        rc = decode_head_slice(frames, n_frames, &out[0], err);
    else if (rc == 0)
        rc = decode_rows(frames, n_frames, out, out[0].header.n_more + 1, err);
    if (rc == 0)
        *n_out = out[0].header.n_more + 1;
    return rc;
}

int wire_labels_check(const struct wire_batch *batch, struct err *err)
{
    const struct wire_header *header = &batch->header;
    size_t size = dtype_size(header->targets_dtype);
    const uint8_t *at = batch->targets.data;

    if (!dtype_is_label(header->targets_dtype) || header->kind == WIRE_HEAD)
        return 0;
    assert(at || header->n_rows == 0);
    for (uint32_t row = 0; row < header->n_rows; row++, at += size) {
        uint64_t bits = get(at, size);
        int64_t label = size == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;

        if (label >= header->n_targets)
            return err_set(err, -EPROTO,
                           "row %" PRIu32 ": the label is %" PRId64 ", expected 0 to %" PRIu32
                           ", or below 0 for none",
                           row, label, header->n_targets - 1);
    }
    return 0;
}
