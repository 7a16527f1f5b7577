/* Texts on their way to one peer: a queue from which the transport takes pieces as the socket takes
 * them, and a count of seconds in which it took nothing. Owns the texts; loop thread. The transport
 * decides how much may wait. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/list.h"

struct outbox {
    struct list texts;
    size_t pending; /* bytes not yet taken */
    size_t taken;   /* of the first text */
    bool moved;     /* something was taken since the last tick */
    bool lost;      /* a text could not be kept, and none after it is */
    unsigned stalled_ticks;
};

/* A piece of the first text. */
struct outbox_piece {
    const char *data;
    size_t size;
    bool first, last;
};

void outbox_init(struct outbox *);
void outbox_release(struct outbox *);

/* Takes the text (free with free). When memory runs out it is lost, and all that follow. */
void outbox_put(struct outbox *, char *text, size_t size);
/* The next piece of at most `max` bytes; false when nothing waits. */
bool outbox_peek(const struct outbox *, size_t max, struct outbox_piece *out);
/* The piece is taken. */
void outbox_take(struct outbox *, const struct outbox_piece *);
/* A second has passed. Returns for how many of them nothing moved while something waited. */
unsigned outbox_tick(struct outbox *);
