#include "tests/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Wide enough to tell whose it is when a kernel is far outside. */
#define GUARD_PAGES 4

struct block {
    char *map, *data;
    size_t map_size, size;
};

static struct block blocks[GUARD_MAX];
static bool behind = true;

void guard_behind(bool is_behind)
{
    behind = is_behind;
}

static struct block *free_block(void)
{
    for (size_t i = 0; i < GUARD_MAX; i++) {
        if (!blocks[i].map)
            return &blocks[i];
    }
    abort();
}

void *guard_alloc(size_t size)
{
    struct block *b = free_block();
    size_t page = (size_t)sysconf(_SC_PAGESIZE), guard = GUARD_PAGES * page;
    size_t inside = (size + page) / page * page;

    b->size = size;
    b->map_size = inside + 2 * guard;
    b->map = mmap(NULL, b->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->map == MAP_FAILED || mprotect(b->map + guard, inside, PROT_READ | PROT_WRITE) < 0)
        abort();
    b->data = b->map + guard + (behind ? inside - size : 0);
    return b->data;
}

static void unmap(struct block *b)
{
    munmap(b->map, b->map_size);
    *b = (struct block){0};
}

bool guard_free(void *data)
{
    for (size_t i = 0; data && i < GUARD_MAX; i++) {
        if (blocks[i].data == data) {
            unmap(&blocks[i]);
            return true;
        }
    }
    return false;
}

void guard_free_all(void)
{
    for (size_t i = 0; i < GUARD_MAX; i++) {
        if (blocks[i].map)
            unmap(&blocks[i]);
    }
}

void guard_describe(const void *address, char *text, size_t size)
{
    const char *at = address;

    for (const struct block *b = blocks; b < blocks + GUARD_MAX; b++) {
        if (!b->map || at < b->map || at >= b->map + b->map_size)
            continue;
        if (at < b->data)
            snprintf(text, size, "%zu bytes before a block of %zu", (size_t)(b->data - at),
                     b->size);
        else
            snprintf(text, size, "%zu bytes behind a block of %zu",
                     (size_t)(at - b->data) - b->size, b->size);
        return;
    }
    snprintf(text, size, "elsewhere");
}
