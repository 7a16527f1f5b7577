#include "proto/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void err_write(struct err *e, const char *format, ...)
{
    va_list args;

    if (e) {
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
    }
}

void err_write_prefix(struct err *e, const char *format, ...)
{
    char old[ERR_TEXT_SIZE];
    va_list args;
    size_t used;

    if (!e)
        return;
    memcpy(old, e->text, sizeof old);
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, "%s", old);
}
