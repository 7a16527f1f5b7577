#include "daemon/core/monitor/event.h"

#include <stdarg.h>
#include <stdio.h>
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

void actions_fail(struct actions *actions, const char *why)
{
    struct action *action = actions_add(actions, ACT_FATAL, 0);

    if (action)
        err_write(&action->fatal, "%s", why);
}

int nack_set(struct nack *nack, enum nack_code code, const char *format, ...)
{
    va_list args;

    *nack = (struct nack){.code = code, .fatal = nack_code_is_fatal(code)};
    va_start(args, format);
    vsnprintf(nack->why.text, sizeof nack->why.text, format, args);
    va_end(args);
    return -1;
}

void actions_refuse(struct actions *actions, peer_id peer, const struct nack *nack)
{
    struct nack *copy = peer ? malloc(sizeof *copy) : NULL;
    struct action *action = copy ? actions_add(actions, ACT_NACK, peer) : NULL;

    if (!action) {
        free(copy);
        return;
    }
    *copy = *nack;
    action->nack = copy;
}

void actions_release_batch(struct actions *actions, struct batch *batch)
{
    list_append(&actions->released, &batch->queued.link);
}

struct batch *actions_next_released(struct actions *actions)
{
    struct list *first = list_first(&actions->released);

    if (!first)
        return NULL;
    list_remove(first);
    return LIST_ENTRY(first, struct batch, queued.link);
}
