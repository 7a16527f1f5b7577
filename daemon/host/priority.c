#include "daemon/host/priority.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define NICE_MAX 19

int priority_read(const char *text, struct err *err)
{
    char *end;
    long nice;

    errno = 0;
    nice = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end || nice < 0 || nice > NICE_MAX)
        return err_set(err, -EBADMSG, "\"%s\" is no niceness from 0 to %d", text, NICE_MAX);
    return (int)nice;
}

int priority_lower(int nice, struct err *err)
{
    struct sched_param none = {0};
    int rc = 0;

    errno = 0;
    if (nice > getpriority(PRIO_PROCESS, 0) && errno == 0)
        rc = setpriority(PRIO_PROCESS, 0, nice);
    if (rc == 0 && nice > 0 && sched_getscheduler(0) == SCHED_OTHER)
        rc = sched_setscheduler(0, SCHED_BATCH, &none);
    return rc == 0 ? 0 : err_set(err, -errno, "niceness %d: %s", nice, strerror(errno));
}
