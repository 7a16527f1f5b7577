#include "daemon/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *format, ...)
{
    va_list args;

    if (e) {
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
    }
    return code;
}

int err_prefix(struct err *e, int code, const char *format, ...)
{
    char old[ERR_TEXT_SIZE];
    va_list args;
    size_t used;

    if (!e)
        return code;
    memcpy(old, e->text, sizeof old);
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, "%s", old);
    return code;
}
