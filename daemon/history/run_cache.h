/* Texts of runs as lists show them, kept from one list to the next: of thousands of runs few change
 * between two lists. A text is valid for the revision of the run at which it was made; the store
 * counts that up with all that a list shows. Owns its memory, at most RUN_CACHE_BYTES and the
 * table; one thread at a time, which is the history's that has it. Tested by test_run_cache.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 16,384 runs of 500 bytes. */
#define RUN_CACHE_BYTES (8u << 20)
/* A longer text is not kept: one run's summary must not take the place of thousands. */
#define RUN_CACHE_TEXT_MAX 8192

struct run_cache;

/* NULL without memory, which every function takes: nothing is kept then. */
struct run_cache *run_cache_new(void);
void run_cache_free(struct run_cache *);

/* The text, `*size` bytes without a NUL, until the cache is written to; NULL: it has none. */
const char *run_cache_find(const struct run_cache *, int64_t run_key, int64_t revision,
                           size_t *size);
/* Takes a copy. When there is no room, all texts go before it. */
void run_cache_keep(struct run_cache *, int64_t run_key, int64_t revision, const char *text,
                    size_t size);
/* Forgets all: the file is another one. */
void run_cache_clear(struct run_cache *);
