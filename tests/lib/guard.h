/* Memory that ends, or begins, at a page which nobody may touch: who reads or writes one byte
 * outside gets a SIGSEGV. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* At most this many blocks at a time. */
#define GUARD_MAX 64

/* From now on blocks end at their guard page (true), or begin at it. Both have one on either side,
 * but only one is without a gap. */
void guard_behind(bool);

/* `size` bytes, zeroed; ends the process where there is no memory. Free with guard_free. */
void *guard_alloc(size_t size);
/* False, and nothing done, for memory that is not guarded. */
bool guard_free(void *);
/* Frees all blocks. */
void guard_free_all(void);

/* "12 bytes behind a block of 80" into `text`, or "elsewhere". */
void guard_describe(const void *address, char *text, size_t size);
