#include "tests/lib/fault.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long countdown; /* 0: disarmed */
static bool injected;
static size_t n_bytes;

void fault_arm(long n)
{
    countdown = n;
    injected = false;
    n_bytes = 0;
}

size_t fault_bytes(void)
{
    return n_bytes;
}

bool fault_disarm(void)
{
    countdown = 0;
    return injected;
}

/* Threads only read while disarmed. */
static bool fails(size_t size)
{
    if (countdown == 0)
        return false;
    n_bytes += size;
    if (--countdown > 0)
        return false;
    injected = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(n * size) ? NULL : __real_calloc(n, size);
}
