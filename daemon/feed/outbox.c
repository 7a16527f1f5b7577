#include "daemon/feed/outbox.h"

#include <assert.h>
#include <stdlib.h>

/* One of the two. */
struct waiting {
    struct list link;
    char *data;
    struct text *text;
    size_t size;
};

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.pending = 0};
    list_init(&outbox->texts);
}

/* One is there. */
static struct waiting *first_text(const struct outbox *outbox)
{
    return LIST_ENTRY(outbox->texts.next, struct waiting, link);
}

static void free_text(struct waiting *waiting)
{
    list_remove(&waiting->link);
    free(waiting->data);
    text_free(waiting->text);
    free(waiting);
}

void outbox_release(struct outbox *outbox)
{
    LIST_EACH_SAFE(at, &outbox->texts)
    {
        free_text(LIST_ENTRY(at, struct waiting, link));
    }
    outbox->pending = 0;
    outbox->taken = 0;
}

/* NULL when it is lost. */
static struct waiting *append(struct outbox *outbox, size_t size)
{
    struct waiting *waiting = outbox->lost ? NULL : calloc(1, sizeof *waiting);

    if (!waiting) {
        outbox->lost = true;
        return NULL;
    }
    waiting->size = size;
    list_append(&outbox->texts, &waiting->link);
    outbox->pending += size;
    return waiting;
}

void outbox_put(struct outbox *outbox, char *data, size_t size)
{
    struct waiting *waiting = append(outbox, size);

    if (waiting)
        waiting->data = data;
    else
        free(data);
}

void outbox_put_long(struct outbox *outbox, struct text *text, size_t left_out)
{
    struct waiting *waiting = append(outbox, text_left(text) - left_out);

    if (waiting)
        waiting->text = text;
    else
        text_free(text);
}

bool outbox_peek(struct outbox *outbox, size_t max, struct outbox_piece *out)
{
    struct waiting *waiting;
    size_t left;
    ssize_t n;

    assert(max > 0);
    if (list_empty(&outbox->texts) || outbox->lost)
        return false;
    waiting = first_text(outbox);
    left = waiting->size - outbox->taken;
    out->size = left < max ? left : max;
    out->data = waiting->data + outbox->taken;
    if (waiting->text) {
        n = text_peek(waiting->text, out->size, &out->data);
        outbox->lost = n <= 0;
        out->size = n > 0 ? (size_t)n : 0;
    }
    out->first = outbox->taken == 0;
    out->last = left == out->size;
    return !outbox->lost;
}

void outbox_take(struct outbox *outbox, const struct outbox_piece *piece)
{
    assert(!list_empty(&outbox->texts) && piece->size <= outbox->pending);
    outbox->taken += piece->size;
    outbox->pending -= piece->size;
    outbox->moved = true;
    if (first_text(outbox)->text)
        text_take(first_text(outbox)->text, piece->size);
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
