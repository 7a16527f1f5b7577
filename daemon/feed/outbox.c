#include "daemon/feed/outbox.h"

#include <assert.h>
#include <stdlib.h>

struct text {
    struct list link;
    char *data;
    size_t size;
};

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.pending = 0};
    list_init(&outbox->texts);
}

/* One is there. */
static struct text *first_text(const struct outbox *outbox)
{
    return LIST_ENTRY(outbox->texts.next, struct text, link);
}

static void free_text(struct text *text)
{
    list_remove(&text->link);
    free(text->data);
    free(text);
}

void outbox_release(struct outbox *outbox)
{
    LIST_EACH_SAFE(at, &outbox->texts)
    {
        free_text(LIST_ENTRY(at, struct text, link));
    }
    outbox->pending = 0;
    outbox->taken = 0;
}

void outbox_put(struct outbox *outbox, char *data, size_t size)
{
    struct text *text = outbox->lost ? NULL : calloc(1, sizeof *text);

    if (!text) {
        free(data);
        outbox->lost = true;
        return;
    }
    text->data = data;
    text->size = size;
    list_append(&outbox->texts, &text->link);
    outbox->pending += size;
}

bool outbox_peek(const struct outbox *outbox, size_t max, struct outbox_piece *out)
{
    const struct text *text;
    size_t left;

    assert(max > 0);
    if (list_empty(&outbox->texts))
        return false;
    text = first_text(outbox);
    left = text->size - outbox->taken;
    out->data = text->data + outbox->taken;
    out->size = left < max ? left : max;
    out->first = outbox->taken == 0;
    out->last = left <= max;
    return true;
}

void outbox_take(struct outbox *outbox, const struct outbox_piece *piece)
{
    assert(!list_empty(&outbox->texts) && piece->size <= outbox->pending);
    outbox->taken += piece->size;
    outbox->pending -= piece->size;
    outbox->moved = true;
    if (!piece->last)
        return;
    free_text(first_text(outbox));
    outbox->taken = 0;
}

unsigned outbox_tick(struct outbox *outbox)
{
    outbox->stalled_ticks =
        outbox->moved || list_empty(&outbox->texts) ? 0 : outbox->stalled_ticks + 1;
    outbox->moved = false;
    return outbox->stalled_ticks;
}
