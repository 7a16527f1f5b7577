/* What a person should know of the history, in sentences: damage that was found, what was kept of
 * it, what is missing. A plain value without memory of its own; any thread that owns it. The loop
 * logs the sentences and shows them in server.status. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Damage has few causes; of many runs that it touches the first are named. */
#define STORE_NOTES_MAX 16

struct store_notes {
    size_t n;
    char text[STORE_NOTES_MAX][ERR_TEXT_SIZE];
};

/* Adds a sentence that is not there yet; the last place says that there are more. */
void store_note(struct store_notes *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
