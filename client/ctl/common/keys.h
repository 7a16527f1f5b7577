/* Keys from the bytes that a terminal sends. An arrow comes as several bytes, and a slow line may
 * tear them apart. Pure: bytes in, keys out; the caller holds the state. The command decides what a
 * key does. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Keys that are no text. Others are the byte itself: a letter beyond ASCII is its bytes in UTF-8.
 */
enum key {
    KEY_NONE = 0,
    KEY_ESCAPE = 256,
    KEY_UP,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_ENTER,
    KEY_BACKSPACE,
    KEY_OTHER, /* a sequence that means nothing to us */
};

/* More than a sequence takes, and than a person types while a screen is drawn. */
#define KEYS_MAX 256

struct keys {
    unsigned char bytes[KEYS_MAX];
    size_t n;
};

/* Adds bytes. Those that do not fit are dropped. */
void keys_push(struct keys *, const char *bytes, size_t n);

/* True when the beginning of a sequence waits for its rest. */
bool keys_torn(const struct keys *);

/* The next key, or KEY_NONE. `late`: no more bytes came for a while, so that an ESC alone is the
 * key itself. */
int keys_next(struct keys *, bool late);
