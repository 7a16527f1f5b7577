/* An intrusive, circular, doubly linked list: the only container here besides arrays. The head is
 * a link of its own; an element embeds a link and is found again with LIST_ENTRY. It owns nothing
 * and is touched by the thread that owns the elements. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_ENTRY(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

#define LIST_EACH(cursor, head)                                                                    \
    for (struct list *cursor = (head)->next; cursor != (head); cursor = cursor->next)

/* As LIST_EACH, but the body may remove (and free) the current element. */
#define LIST_EACH_SAFE(cursor, head)                                                               \
    for (struct list *cursor = (head)->next, *cursor##_next = cursor->next; cursor != (head);      \
         cursor = cursor##_next, cursor##_next = cursor->next)

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Takes `l` out of whatever list holds it; harmless on a link that was only initialised. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* The first link, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

/* Puts all of `from`, in order, at the end of `to`; `from` is then empty. */
static inline void list_move(struct list *from, struct list *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
