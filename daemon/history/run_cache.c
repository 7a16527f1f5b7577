#include "daemon/history/run_cache.h"

#include <stdlib.h>
#include <string.h>

/* A power of two. Keys of runs follow each other, so neighbours have places of their own. */
#define PLACES 16384

struct place {
    int64_t run_key; /* 0: it is empty */
    int64_t revision;
    char *text;
    size_t size;
};

struct run_cache {
    size_t size; /* of all texts */
    struct place places[PLACES];
};

static struct place *place_of(struct run_cache *cache, int64_t run_key)
{
    return &cache->places[(uint64_t)run_key % PLACES];
}

static void empty(struct run_cache *cache, struct place *place)
{
    cache->size -= place->size;
    free(place->text);
    *place = (struct place){0};
}

struct run_cache *run_cache_new(void)
{
    return calloc(1, sizeof(struct run_cache));
}

void run_cache_clear(struct run_cache *cache)
{
    for (size_t i = 0; cache && i < PLACES; i++)
        empty(cache, &cache->places[i]);
}

void run_cache_free(struct run_cache *cache)
{
    run_cache_clear(cache);
    free(cache);
}

const char *run_cache_find(const struct run_cache *cache, int64_t run_key, int64_t revision,
                           size_t *size)
{
    const struct place *place;

    if (!cache)
        return NULL;
    place = &cache->places[(uint64_t)run_key % PLACES];
    *size = place->size;
    return place->run_key == run_key && place->revision == revision ? place->text : NULL;
}

void run_cache_keep(struct run_cache *cache, int64_t run_key, int64_t revision, const char *text,
                    size_t size)
{
    struct place *place;

    if (!cache || size > RUN_CACHE_TEXT_MAX)
        return;
    place = place_of(cache, run_key);
    empty(cache, place);
    if (cache->size + size > RUN_CACHE_BYTES)
        run_cache_clear(cache);
    place->text = malloc(size);
    if (!place->text)
        return;
    memcpy(place->text, text, size);
    place->run_key = run_key;
    place->revision = revision;
    place->size = size;
    cache->size += size;
}
