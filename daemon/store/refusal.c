#include <stdarg.h>
#include <stdio.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/db.h"

/* How a record is refused, whatever its kind. Tested by test_store.c. */

int store_record_refuse(struct record *r, int code, const char *format, ...)
{
    va_list args;

    r->rc = code;
    va_start(args, format);
    vsnprintf(r->error, sizeof r->error, format, args);
    va_end(args);
    return 0;
}
