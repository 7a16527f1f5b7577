#include "daemon/core/monitor/event.h"

#include <stdlib.h>
#include <string.h>

void actions_init(struct actions *actions)
{
    memset(actions, 0, sizeof *actions);
    list_init(&actions->released);
}

void actions_release(struct actions *actions)
{
    free(actions->items);
    actions_init(actions);
}

struct action *actions_add(struct actions *actions, enum action_type type, peer_id peer)
{
    struct action *items;

    if (actions->n == actions->capacity) {
        size_t capacity = actions->capacity ? 2 * actions->capacity : 16;

        items = realloc(actions->items, capacity * sizeof *items);
        if (!items) {
            actions->out_of_memory = true;
            return NULL;
        }
        actions->items = items;
        actions->capacity = capacity;
    }
    items = &actions->items[actions->n++];
    memset(items, 0, sizeof *items);
    items->type = type;
    items->peer = peer;
    return items;
}

struct nack *actions_add_nack(struct actions *actions, peer_id peer, enum nack_code code)
{
    struct nack *nack = calloc(1, sizeof *nack);
    struct action *action = nack ? actions_add(actions, ACT_NACK, peer) : NULL;

    if (!action) {
        free(nack);
        return NULL;
    }
    nack->code = code;
    nack->fatal = nack_code_is_fatal(code);
    action->nack = nack;
    return nack;
}

struct batch *actions_next_released(struct actions *actions)
{
    struct list *first = list_first(&actions->released);

    if (!first)
        return NULL;
    list_remove(first);
    return LIST_ENTRY(first, struct batch, queued.link);
}
