#include "tests/lib/fault.h"

#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

static long countdown; /* 0: disarmed */
static bool paused;
static bool injected;
static size_t n_bytes;

void fault_arm(long n)
{
    countdown = n;
    paused = false;
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

void fault_pause(void)
{
    paused = true;
}

void fault_resume(void)
{
    paused = false;
}

/* Threads only read while disarmed. */
static bool fails(size_t size)
{
    if (countdown == 0 || paused)
        return false;
    n_bytes += size;
    if (--countdown > 0)
        return false;
    injected = true;
    return true;
}

bool fault_strikes(void)
{
    return fails(0);
}

void *__wrap_malloc(size_t size)
{
    return fails(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(n * size) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails(size) ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(strlen(text) + 1) ? NULL : __real_strdup(text);
}
