#include "daemon/store/notes.h"

#include <stdarg.h>
#include <stdio.h>

/* Tested by tests/unit/daemon/store/test_repair.c. */

void store_note(struct store_notes *notes, const char *format, ...)
{
    va_list args;

    if (notes->n == STORE_NOTES_MAX)
        return;
    if (notes->n == STORE_NOTES_MAX - 1)
        format = "there is more of this kind";
    va_start(args, format);
    vsnprintf(notes->text[notes->n++], ERR_TEXT_SIZE, format, args);
    va_end(args);
}
