/* Batches and heads: checked, charged to the run's account, copied and queued. Nothing here waits.
 */
#include "include/richd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "client/c/run.h"
#include "proto/base/dtype.h"

/* A message of rows: big enough to be efficient, and half of the least credit that a connection
 * gets, so that one travels while another is folded. */
#define MESSAGE_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* ---- a batch -------------------------------------------------------------------------------- */

/* A batch as the program gave it, in the words of the wire. */
struct offered_rows {
    const char *layer;
    struct wire_header header;
    const void *data[ITEM_ROW_FRAMES];
    size_t row_bytes[ITEM_ROW_FRAMES]; /* of one row of each frame */
};

static size_t row_size(enum dtype dtype, uint32_t columns)
{
    bool label = dtype == DTYPE_I32 || dtype == DTYPE_I64;

    return dtype_size(dtype) * (label ? 1 : (size_t)columns);
}

/* The header is checked by the decoder that the daemon would refuse it with. */
static int check_rows(const struct offered_rows *rows, struct err *err)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct wire_header decoded;
    int rc;

    if (!rows->layer)
        return err_set(err, -EINVAL, "a batch without a layer");
    if (wire_layer_check(rows->layer, strnlen(rows->layer, LAYER_NAME_MAX + 1), err) < 0)
        return -EINVAL;
    wire_header_encode(&rows->header, bytes);
    rc = wire_header_decode(bytes, sizeof bytes, &decoded, err);
    if (rc < 0)
        return err_prefix(err, -EINVAL, "layer %s: ", rows->layer);
    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++) {
        if (rows->header.n_rows > 0 && rows->row_bytes[i] > 0 && !rows->data[i])
            return err_set(err, -EINVAL, "layer %s: %s is NULL", rows->layer,
                           i == 0   ? "features"
                           : i == 1 ? "outputs"
                                    : "targets");
    }
    return 0;
}

static int read_batch(const struct richd_batch *given, struct offered_rows *out, struct err *err)
{
    struct richd_batch batch = RICHD_BATCH;

    if (!run_overlay(&batch, sizeof batch, given))
        return err_set(err, -EINVAL, "a batch that does not start from RICHD_BATCH");
    *out = (struct offered_rows){
        .layer = batch.layer,
        .header = {.kind = WIRE_ROWS,
                   .seq = 1,
                   .step = batch.step,
                   .n_rows = batch.n_rows,
                   .n_features = batch.n_features,
                   .n_outputs = batch.n_outputs,
                   .n_targets = batch.targets ? batch.n_targets : 0,
                   .features_dtype = (enum dtype)batch.features_dtype,
                   .outputs_dtype = (enum dtype)batch.outputs_dtype,
                   .targets_dtype = batch.targets ? (enum dtype)batch.targets_dtype : DTYPE_NONE},
        .data = {batch.features, batch.outputs, batch.targets},
    };
    out->row_bytes[0] = row_size(out->header.features_dtype, batch.n_features);
    out->row_bytes[1] = row_size(out->header.outputs_dtype, batch.n_outputs);
    out->row_bytes[2] = row_size(out->header.targets_dtype, out->header.n_targets);
    return check_rows(out, err);
}

/* Charges the rows to the run's account, or says that they do not fit. */
static bool charge(struct richd_run *run, size_t bytes)
{
    size_t held = atomic_load_explicit(&run->held, memory_order_relaxed);

    do {
        if (bytes > run->queue_bytes || held > run->queue_bytes - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&run->held, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Copies the frames, outside the lock. NULL: there is no memory for them. */
static struct item *copy_frames(struct richd_run *run, const struct wire_header *header,
                                const char *layer, const struct wire_frame frames[ITEM_ROW_FRAMES])
{
    size_t bytes = sizeof(struct item);
    struct item *item;

    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++)
        bytes += frames[i].size;
    if (!charge(run, bytes))
        return NULL;
    item = item_batch(header, layer, frames, &run->held, bytes);
    if (!item)
        atomic_fetch_sub_explicit(&run->held, bytes, memory_order_relaxed);
    return item;
}

/* Queues a message of `n` rows, or counts it as dropped. */
static int submit_frames(struct richd_run *run, const struct wire_header *header, const char *layer,
                         const struct wire_frame frames[ITEM_ROW_FRAMES], uint32_t n)
{
    struct item *item = copy_frames(run, header, layer, frames);
    struct session *session = run->shared.session;
    int rc;

    run_lock(run);
    rc = item ? session_submit(session, item) : session_drop(session, layer, n);
    run_unlock(run, rc, NULL);
    if (rc == 0 && item)
        sender_wake(run->sender);
    return rc < 0 ? rc : item ? 0 : -EAGAIN;
}

/* `n` rows from row `from` on. */
static int submit_piece(struct richd_run *run, const struct offered_rows *rows, uint32_t from,
                        uint32_t n)
{
    struct wire_frame frames[ITEM_ROW_FRAMES];
    struct wire_header header = rows->header;

    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++) {
        const char *data = rows->data[i];
        size_t size = n * rows->row_bytes[i];

        frames[i] = (struct wire_frame){size > 0 ? data + from * rows->row_bytes[i] : NULL, size};
    }
    header.n_rows = n;
    return submit_frames(run, &header, rows->layer, frames, n);
}

static int submit(struct richd_run *run, const struct offered_rows *rows)
{
    size_t bytes_per_row = rows->row_bytes[0] + rows->row_bytes[1] + rows->row_bytes[2];
    uint32_t most, from = 0, n;
    int rc = 0;

    assert(bytes_per_row > 0); /* p and C are at least 1 */
    most = (uint32_t)(MESSAGE_BYTES_MAX / bytes_per_row);
    if (most == 0)
        most = 1;
    do {
        int piece;

        n = rows->header.n_rows - from < most ? rows->header.n_rows - from : most;
        piece = submit_piece(run, rows, from, n);
        rc = piece < 0 ? piece : rc;
        from += n;
    } while (from < rows->header.n_rows && (rc == 0 || rc == -EAGAIN));
    return rc;
}

int richd_submit(struct richd_run *run, const struct richd_batch *batch)
{
    struct err err = {""};
    struct offered_rows rows;
    int rc = run_check(run);

    if (rc < 0)
        return rc;
    rc = read_batch(batch, &rows, &err);
    if (rc == 0)
        return submit(run, &rows);
    run_lock(run);
    return run_unlock(run, rc, &err);
}

/* ---- a head -------------------------------------------------------------------------------- */

/* As many rows of the triangle as a message takes, one at least, from header->first_row on. */
static void fill_slice(struct wire_header *header)
{
    size_t size = dtype_size(header->features_dtype);

    assert(size > 0 && header->first_row < header->n_features);
    header->n_rows = 1;
    while (header->first_row + header->n_rows < header->n_features) {
        header->n_rows++;
        if (wire_head_values(header) * size > MESSAGE_BYTES_MAX) {
            header->n_rows--;
            return;
        }
    }
}

static int submit_slices(struct richd_run *run, const char *layer, struct wire_header *header,
                         const void *triangle)
{
    const char *at = triangle;
    int rc = 0;

    while (header->first_row < header->n_features && rc == 0) {
        struct wire_frame frames[ITEM_ROW_FRAMES] = {{0}};

        fill_slice(header);
        frames[0].data = at;
        frames[0].size = (size_t)wire_head_values(header) * dtype_size(header->features_dtype);
        rc = submit_frames(run, header, layer, frames, 0);
        at += frames[0].size;
        header->first_row += header->n_rows;
    }
    return rc;
}

static int read_head(const struct richd_head *given, struct richd_head *out,
                     struct wire_header *header, struct err *err)
{
    struct offered_rows rows;

    if (!run_overlay(out, sizeof *out, given))
        return err_set(err, -EINVAL, "a head that does not start from RICHD_HEAD");
    if (!out->triangle)
        return err_set(err, -EINVAL, "a head without its triangle");
    *header = (struct wire_header){.kind = WIRE_HEAD,
                                   .seq = 1,
                                   .step = out->step,
                                   .n_rows = 1,
                                   .n_features = out->n_features,
                                   .n_outputs = out->n_outputs,
                                   .n_targets = out->n_targets,
                                   .features_dtype = (enum dtype)out->dtype,
                                   .targets_dtype = (enum dtype)out->targets_dtype,
                                   .weights_dtype = (enum dtype)out->weights_dtype};
    rows = (struct offered_rows){.layer = out->layer, .header = *header};
    return check_rows(&rows, err);
}

int richd_submit_head(struct richd_run *run, const struct richd_head *head)
{
    struct richd_head h = RICHD_HEAD;
    struct wire_header header;
    struct err err = {""};
    int rc = run_check(run);

    if (rc < 0)
        return rc;
    rc = read_head(head, &h, &header, &err);
    if (rc == 0)
        return submit_slices(run, h.layer, &header, h.triangle);
    run_lock(run);
    return run_unlock(run, rc, &err);
}
