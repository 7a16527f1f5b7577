#include "proto/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void err_write(struct err *err, const char *format, ...)
{
    va_list args;

    if (err) {
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
}

void err_write_prefix(struct err *err, const char *format, ...)
{
    char old[ERR_TEXT_SIZE];
    va_list args;
    size_t used;

    if (!err)
        return;
    memcpy(old, err->text, sizeof old);
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, "%s", old);
}
