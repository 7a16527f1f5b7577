#include "daemon/core/monitor/event.h"

#include <stdlib.h>
#include <string.h>

void actions_init(struct actions *a)
{
    memset(a, 0, sizeof *a);
    list_init(&a->released);
}

void actions_release(struct actions *a)
{
    free(a->items);
    actions_init(a);
}

struct action *actions_add(struct actions *a, enum action_type type, peer_id peer)
{
    struct action *items;

    if (a->n == a->capacity) {
        size_t capacity = a->capacity ? 2 * a->capacity : 16;

        items = realloc(a->items, capacity * sizeof *items);
        if (!items) {
            a->out_of_memory = true;
            return NULL;
        }
        a->items = items;
        a->capacity = capacity;
    }
    items = &a->items[a->n++];
    memset(items, 0, sizeof *items);
    items->type = type;
    items->peer = peer;
    return items;
}

struct nack *actions_add_nack(struct actions *a, peer_id peer, enum nack_code code)
{
    struct nack *nack = calloc(1, sizeof *nack);
    struct action *action = nack ? actions_add(a, ACT_NACK, peer) : NULL;

    if (!action) {
        free(nack);
        return NULL;
    }
    nack->code = code;
    nack->fatal = nack_code_is_fatal(code);
    action->nack = nack;
    return nack;
}

struct batch *actions_next_released(struct actions *a)
{
    struct list *first = list_first(&a->released);

    if (!first)
        return NULL;
    list_remove(first);
    return LIST_ENTRY(first, struct batch, queued.link);
}
