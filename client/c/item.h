/* One message on its way to the daemon: the text of a control message, or a batch with its rows
 * copied. Counted references let the queue and libzmq hold the same rows without a second copy; the
 * last holder frees them, on whatever thread that happens. The session decides who may read and
 * change the rest of an item. Tested by test_client.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/wire.h"

/* features, outputs, targets; of a head its triangle alone */
#define ITEM_ROW_FRAMES 3

struct ticket;

struct item {
    struct list link; /* in one of the session's queues */
    atomic_uint references;

    /* control */
    char *text; /* owned, NULL for a batch; free with cJSON_free */
    size_t text_size;
    int64_t seq;           /* 0: nobody waits for its ack (hello, open, ping) */
    struct ticket *ticket; /* who waits for it, or NULL */

    /* batch */
    struct wire_header header; /* seq and rows_before are filled when it is offered */
    char layer[LAYER_NAME_MAX + 1];
    struct wire_frame rows[ITEM_ROW_FRAMES]; /* into `bytes`; absent ones are {NULL, 0} */
    size_t bytes_total;                      /* header, layer and rows: what the credit counts */
    atomic_size_t *held;                     /* the memory account that the rows are charged to */
    size_t charged;
    unsigned char bytes[];
};

/* Takes `text`, also when it fails. Returns an item with one reference, or NULL. */
struct item *item_control(char *text, int64_t seq);

/* Copies the rows. The caller has added `charged` bytes to *held. They are taken off when the item
 * is freed; after NULL they still stand. */
struct item *item_batch(const struct wire_header *header, const char *layer,
                        const struct wire_frame rows[ITEM_ROW_FRAMES], atomic_size_t *held,
                        size_t charged);

static inline bool item_is_batch(const struct item *item)
{
    return item->text == NULL;
}

/* Rows of a batch; a triangle has none. */
static inline uint32_t item_rows(const struct item *batch)
{
    return batch->header.kind == WIRE_HEAD ? 0 : batch->header.n_rows;
}

/* One more reference. */
struct item *item_retain(struct item *);

/* One reference less; the last frees the item. NULL is fine. */
void item_release(struct item *);
