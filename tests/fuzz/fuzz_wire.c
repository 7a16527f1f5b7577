/* Data messages (proto/wire.h). An input is frames: two bytes of length (little-endian), then as
 * many bytes as there are. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "proto/wire.h"

/* One more than the longest message, so that "too many" is met, too. */
#define N_FRAMES (WIRE_FRAMES_MAX + 1)

struct message {
    struct wire_frame frames[N_FRAMES];
    size_t n;
};

static void take_apart(const uint8_t *data, size_t size, struct message *message)
{
    message->n = 0;
    while (size >= 2 && message->n < N_FRAMES) {
        size_t length = data[0] | (size_t)data[1] << 8;

        length = length < size - 2 ? length : size - 2;
        message->frames[message->n++] = (struct wire_frame){copy_exactly(data + 2, length), length};
        data += 2 + length;
        size -= 2 + length;
    }
}

static void give_back(struct message *message)
{
    for (size_t i = 0; i < message->n; i++)
        free((void *)message->frames[i].data);
}

/* A view is a whole frame of the message, or nothing. */
static size_t require_frame(const struct message *message, const struct wire_frame *view)
{
    if (!view->data) {
        REQUIRE(view->size == 0);
        return 0;
    }
    for (size_t i = 0; i < message->n; i++) {
        if (message->frames[i].data == view->data) {
            REQUIRE(message->frames[i].size == view->size);
            return 1;
        }
    }
    REQUIRE(!"a view of bytes that did not come");
    return 0;
}

static void require_same_header(const struct wire_header *header)
{
    uint8_t bytes[WIRE_HEADER_SIZE], again[WIRE_HEADER_SIZE];
    struct wire_header decoded;
    struct err err = {""};

    wire_header_encode(header, bytes);
    REQUIRE(wire_header_decode(bytes, sizeof bytes, &decoded, &err) == 0);
    wire_header_encode(&decoded, again);
    REQUIRE(memcmp(bytes, again, sizeof bytes) == 0);
}

/* The number of frames that belong to this layer alone, with its header and name. */
static size_t require_batch(const struct message *message, const struct wire_batch *batch)
{
    const struct wire_frame *own[] = {&batch->features,     &batch->head,  &batch->mean_features,
                                      &batch->mean_outputs, &batch->xx,    &batch->xy,
                                      &batch->yy,           &batch->fourth};
    struct err err = {""};
    size_t n = 2;

    require_same_header(&batch->header);
    REQUIRE(wire_layer_check(batch->layer, batch->layer_size, &err) == 0);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        n += require_frame(message, own[i]);
    return n;
}

static void require_good(const struct message *message, const struct wire_batch *out, size_t n_out)
{
    struct err err = {""};
    size_t n = 0;
    int rc;

    REQUIRE(n_out >= 1 && n_out <= WIRE_LAYERS_MAX);
    for (size_t i = 0; i < n_out; i++)
        n += require_batch(message, &out[i]);
    n += require_frame(message, &out[0].outputs) + require_frame(message, &out[0].targets) +
         require_frame(message, &out[0].weights);
    REQUIRE(n == message->n);
    rc = wire_labels_check(&out[0], &err);
    REQUIRE(rc == 0 || rc == -EPROTO);
    if (rc < 0)
        require_sentence(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_batch out[WIRE_LAYERS_MAX];
    struct message message;
    struct err err = {""};
    size_t n_out = 77;
    int rc;

    take_apart(data, size, &message);
    rc = wire_message_decode(message.frames, message.n, out, &n_out, &err);
    if (rc == 0) {
        require_good(&message, out, n_out);
    } else {
        REQUIRE(rc == -EPROTO && n_out == 0);
        require_sentence(&err);
    }
    give_back(&message);
    return 0;
}
