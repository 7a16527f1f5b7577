#include "tests/lib/fault.h"

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long countdown; /* 0: disarmed */
static bool injected;

void fault_arm(long n)
{
    countdown = n;
    injected = false;
}

bool fault_disarm(void)
{
    countdown = 0;
    return injected;
}

/* Threads only read while disarmed. */
static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    injected = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}
