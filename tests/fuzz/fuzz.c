#include "tests/fuzz/fuzz.h"

#include <cjson/cJSON.h>
#include <malloc.h>
#include <string.h>

static size_t held, most;

void require_sentence(const struct err *err)
{
    size_t size = strnlen(err->text, sizeof err->text);

    REQUIRE(size > 0 && size < sizeof err->text);
}

static void *count_malloc(size_t size)
{
    void *block = malloc(size);

    held += block ? malloc_usable_size(block) : 0;
    most = held > most ? held : most;
    return block;
}

static void count_free(void *block)
{
    held -= block ? malloc_usable_size(block) : 0;
    free(block);
}

void memory_count(void)
{
    static cJSON_Hooks hooks = {count_malloc, count_free};

    cJSON_InitHooks(&hooks);
    held = most = 0;
}

size_t memory_most(void)
{
    return most;
}

void require_nothing_held(void)
{
    REQUIRE(held == 0);
}

uint8_t *copy_exactly(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    REQUIRE(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}
