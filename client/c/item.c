#include "client/c/item.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

struct item *item_control(char *text, int64_t seq)
{
    struct item *item = text ? calloc(1, sizeof *item) : NULL;

    if (!item) {
        cJSON_free(text);
        return NULL;
    }
    list_init(&item->link);
    atomic_init(&item->references, 1);
    item->text = text;
    item->text_size = strlen(text);
    item->seq = seq;
    return item;
}

struct item *item_batch(const struct wire_header *header, const char *layer,
                        const struct wire_frame rows[ITEM_ROW_FRAMES], atomic_size_t *held,
                        size_t charged)
{
    size_t size = rows[0].size + rows[1].size + rows[2].size, at = 0;
    struct item *item = malloc(sizeof *item + size);

    assert(strlen(layer) <= LAYER_NAME_MAX);
    if (!item)
        return NULL;
    memset(item, 0, sizeof *item);
    list_init(&item->link);
    atomic_init(&item->references, 1);
    item->header = *header;
    memcpy(item->layer, layer, strlen(layer) + 1);
    for (size_t i = 0; i < ITEM_ROW_FRAMES; i++) {
        if (rows[i].data)
            memcpy(item->bytes + at, rows[i].data, rows[i].size);
        item->rows[i] = (struct wire_frame){rows[i].data ? item->bytes + at : NULL, rows[i].size};
        at += rows[i].size;
    }
    item->bytes_total = WIRE_HEADER_SIZE + strlen(layer) + size;
    item->held = held;
    item->charged = charged;
    return item;
}

struct item *item_retain(struct item *item)
{
    atomic_fetch_add_explicit(&item->references, 1, memory_order_relaxed);
    return item;
}

void item_release(struct item *item)
{
    assert(!item || atomic_load(&item->references) > 0);
    if (!item || atomic_fetch_sub_explicit(&item->references, 1, memory_order_acq_rel) != 1)
        return;
    if (item->held) {
        size_t held = atomic_fetch_sub_explicit(item->held, item->charged, memory_order_relaxed);

        assert(held >= item->charged);
    }
    cJSON_free(item->text);
    free(item);
}
