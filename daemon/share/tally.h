/* Counts and sums by a key of two numbers: of each run of a table, how many rows it has and what
 * they add up to. A sum does not depend on the order of what is added, so two histories are
 * compared without sorting either. In memory; one thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tally {
    size_t n_values; /* of an entry */
    size_t n, room;  /* entries; those that fit, a power of two */
    uint64_t *at;    /* each: in use, the key's two numbers, the values */
};

void tally_init(struct tally *, size_t n_values);
void tally_release(struct tally *);

/* The values of that key, which begin as zeros. NULL without memory. They stay where they are until
 * the next call. */
uint64_t *tally_at(struct tally *, uint64_t a, uint64_t b);
/* NULL: there are none. */
const uint64_t *tally_find(const struct tally *, uint64_t a, uint64_t b);

/* The entry in the place `i` < room, with its key; NULL: the place is free. */
const uint64_t *tally_look(const struct tally *, size_t i, uint64_t *a, uint64_t *b);

/* A number from all bits of another: what is added up, and finds places (splitmix64's last step,
 * Steele and others 2014). */
uint64_t tally_mix(uint64_t);
/* The same of bytes. */
uint64_t tally_bytes(const void *data, size_t size);
