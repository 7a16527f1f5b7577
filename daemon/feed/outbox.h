/* Texts on their way to one peer: a queue from which the transport takes pieces as the socket takes
 * them, and a count of seconds in which it took nothing. Owns the texts; loop thread. The transport
 * decides how much may wait. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/format/text.h"
#include "proto/base/list.h"

struct outbox {
    struct list texts;
    size_t pending; /* bytes not yet taken */
    size_t taken;   /* of the first text */
    bool moved;     /* something was taken since the last tick */
    bool lost;      /* a text could not be kept or read, and none after it is */
    unsigned stalled_ticks;
};

/* A piece of the first text. */
struct outbox_piece {
    char *data; /* uv_buf_t wants it so; nobody changes it */
    size_t size;
    bool first, last;
};

void outbox_init(struct outbox *);
void outbox_release(struct outbox *);

/* Takes the text (free with free). When memory runs out it is lost, and all that follow. */
void outbox_put(struct outbox *, char *text, size_t size);
/* The same; all of it but for `left_out` bytes at its end. */
void outbox_put_long(struct outbox *, struct text *, size_t left_out);
/* The next piece of at most `max` bytes, valid until the next call; false when nothing waits, or
 * when the text that is next cannot be read: it is lost then. */
bool outbox_peek(struct outbox *, size_t max, struct outbox_piece *out);
/* The piece is taken. */
void outbox_take(struct outbox *, const struct outbox_piece *);
/* A second has passed. Returns for how many of them nothing moved while something waited. */
unsigned outbox_tick(struct outbox *);
