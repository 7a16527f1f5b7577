#include "daemon/share/tally.h"

#include <stdlib.h>
#include <string.h>

/* Words before the values of an entry. */
#define HEAD       3
#define ROOM_FIRST 64

uint64_t tally_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

uint64_t tally_bytes(const void *data, size_t size)
{
    const char *bytes = data;
    uint64_t hash = tally_mix(size);

    for (size_t at = 0; at < size; at += sizeof hash) {
        uint64_t word = 0;

        memcpy(&word, bytes + at, size - at < sizeof word ? size - at : sizeof word);
        hash = tally_mix(hash ^ word);
    }
    return hash;
}

void tally_init(struct tally *tally, size_t n_values)
{
    *tally = (struct tally){.n_values = n_values};
}

void tally_release(struct tally *tally)
{
    free(tally->at);
    tally_init(tally, tally->n_values);
}

static uint64_t *place(const struct tally *tally, size_t i)
{
    return &tally->at[i * (HEAD + tally->n_values)];
}

/* The entry of that key, or the free place where it goes: one is free. */
static uint64_t *find(const struct tally *tally, uint64_t a, uint64_t b)
{
    size_t i = tally_mix(a ^ tally_mix(b));

    for (;; i++) {
        uint64_t *entry = place(tally, i & (tally->room - 1));

        if (!entry[0] || (entry[1] == a && entry[2] == b))
            return entry;
    }
}

static int grow(struct tally *tally)
{
    struct tally larger = *tally;
    size_t size = (HEAD + tally->n_values) * sizeof *tally->at;

    larger.room = tally->room ? 2 * tally->room : ROOM_FIRST;
    larger.at = calloc(larger.room, size);
    if (!larger.at)
        return -1;
    for (size_t i = 0; i < tally->room; i++) {
        const uint64_t *entry = place(tally, i);

        if (entry[0])
            memcpy(find(&larger, entry[1], entry[2]), entry, size);
    }
    free(tally->at);
    *tally = larger;
    return 0;
}

uint64_t *tally_at(struct tally *tally, uint64_t a, uint64_t b)
{
    uint64_t *entry;

    if (2 * tally->n >= tally->room && grow(tally) < 0)
        return NULL;
    entry = find(tally, a, b);
    if (!entry[0]) {
        tally->n++;
        entry[0] = 1;
        entry[1] = a;
        entry[2] = b;
    }
    return entry + HEAD;
}

const uint64_t *tally_find(const struct tally *tally, uint64_t a, uint64_t b)
{
    const uint64_t *entry = tally->room ? find(tally, a, b) : NULL;

    return entry && entry[0] ? entry + HEAD : NULL;
}

const uint64_t *tally_look(const struct tally *tally, size_t i, uint64_t *a, uint64_t *b)
{
    const uint64_t *entry = place(tally, i);

    *a = entry[1];
    *b = entry[2];
    return entry[0] ? entry + HEAD : NULL;
}
