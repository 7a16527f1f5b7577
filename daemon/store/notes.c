#include "daemon/store/notes.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Tested by tests/unit/daemon/store/test_repair.c. */

static bool is_told(const struct store_notes *notes, const char *text)
{
    for (size_t i = 0; i < notes->n; i++) {
        if (strcmp(notes->text[i], text) == 0)
            return true;
    }
    return false;
}

void store_note(struct store_notes *notes, const char *format, ...)
{
    va_list args;
    char *text;

    if (notes->n == STORE_NOTES_MAX)
        return;
    text = notes->text[notes->n];
    if (notes->n == STORE_NOTES_MAX - 1)
        format = "there is more of this kind";
    va_start(args, format);
    vsnprintf(text, ERR_TEXT_SIZE, format, args);
    va_end(args);
    notes->n += !is_told(notes, text);
}
