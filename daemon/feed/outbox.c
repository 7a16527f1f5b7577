#include "daemon/feed/outbox.h"

#include <assert.h>
#include <stdlib.h>

struct text {
    struct list link;
    char *data;
    size_t size;
};

void outbox_init(struct outbox *o)
{
    *o = (struct outbox){.pending = 0};
    list_init(&o->texts);
}

/* One is there. */
static struct text *first_text(const struct outbox *o)
{
    return LIST_ENTRY(o->texts.next, struct text, link);
}

static void free_text(struct text *t)
{
    list_remove(&t->link);
    free(t->data);
    free(t);
}

void outbox_release(struct outbox *o)
{
    LIST_EACH_SAFE(at, &o->texts)
    {
        free_text(LIST_ENTRY(at, struct text, link));
    }
    o->pending = 0;
    o->taken = 0;
}

void outbox_put(struct outbox *o, char *data, size_t size)
{
    struct text *t = o->lost ? NULL : calloc(1, sizeof *t);

    if (!t) {
        free(data);
        o->lost = true;
        return;
    }
    t->data = data;
    t->size = size;
    list_append(&o->texts, &t->link);
    o->pending += size;
}

bool outbox_peek(const struct outbox *o, size_t max, struct outbox_piece *out)
{
    const struct text *t;
    size_t left;

    assert(max > 0);
    if (list_empty(&o->texts))
        return false;
    t = first_text(o);
    left = t->size - o->taken;
    out->data = t->data + o->taken;
    out->size = left < max ? left : max;
    out->first = o->taken == 0;
    out->last = left <= max;
    return true;
}

void outbox_take(struct outbox *o, const struct outbox_piece *piece)
{
    assert(!list_empty(&o->texts) && piece->size <= o->pending);
    o->taken += piece->size;
    o->pending -= piece->size;
    o->moved = true;
    if (!piece->last)
        return;
    free_text(first_text(o));
    o->taken = 0;
}

unsigned outbox_tick(struct outbox *o)
{
    o->stalled_ticks = o->moved || list_empty(&o->texts) ? 0 : o->stalled_ticks + 1;
    o->moved = false;
    return o->stalled_ticks;
}
