#include "client/ctl/common/keys.h"

#include <assert.h>
#include <string.h>

#define ESC 0x1B

/* What terminals send behind ESC, in the normal and the application mode. */
static const struct {
    const char *bytes;
    int key;
} sequences[] = {
    {"[A", KEY_UP},       {"OA", KEY_UP},         {"[B", KEY_DOWN}, {"OB", KEY_DOWN},
    {"[5~", KEY_PAGE_UP}, {"[6~", KEY_PAGE_DOWN}, {"[H", KEY_HOME}, {"OH", KEY_HOME},
    {"[1~", KEY_HOME},    {"[F", KEY_END},        {"OF", KEY_END},  {"[4~", KEY_END},
};

void keys_push(struct keys *keys, const char *bytes, size_t n)
{
    assert(n == 0 || bytes);
    if (n > KEYS_MAX - keys->n)
        n = KEYS_MAX - keys->n;
    memcpy(keys->bytes + keys->n, bytes, n);
    keys->n += n;
}

/* Bytes of the sequence at the front, which begins with ESC; 0 while its end is missing. ESC [ goes
 * to a byte from @ to ~, ESC O has one more, any other ESC stands alone. */
static size_t sequence_length(const struct keys *keys)
{
    if (keys->n < 2)
        return 0;
    if (keys->bytes[1] == 'O')
        return keys->n > 2 ? 3 : 0;
    if (keys->bytes[1] != '[')
        return 1;
    for (size_t i = 2; i < keys->n; i++) {
        if (keys->bytes[i] >= '@' && keys->bytes[i] <= '~')
            return i + 1;
    }
    return 0;
}

static int sequence_key(const unsigned char *bytes, size_t n)
{
    if (n == 1)
        return KEY_ESCAPE;
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        if (strlen(sequences[i].bytes) == n - 1 &&
            memcmp(sequences[i].bytes, bytes + 1, n - 1) == 0)
            return sequences[i].key;
    }
    return KEY_OTHER;
}

static int byte_key(unsigned char byte)
{
    switch (byte) {
    case '\r':
    case '\n':
        return KEY_ENTER;
    case 0x7F:
    case '\b':
        return KEY_BACKSPACE;
    case '\0':
        return KEY_OTHER;
    default:
        return byte;
    }
}

bool keys_torn(const struct keys *keys)
{
    return keys->n > 0 && keys->bytes[0] == ESC && sequence_length(keys) == 0 && keys->n < KEYS_MAX;
}

int keys_next(struct keys *keys, bool late)
{
    size_t length = 1;
    int key;

    if (keys->n == 0 || (keys_torn(keys) && !late))
        return KEY_NONE;
    if (keys->bytes[0] == ESC) {
        length = sequence_length(keys);
        length = length ? length : keys->n;
        key = sequence_key(keys->bytes, length);
    } else {
        key = byte_key(keys->bytes[0]);
    }
    keys->n -= length;
    memmove(keys->bytes, keys->bytes + length, keys->n);
    return key;
}
