/* A whole database read in the background, for damage that its start does not meet: each table with
 * its indexes, the values that must be readable, and the free pages, each in a read transaction of
 * its own, so that the WAL can be folded meanwhile. It has a thread with the lowest priority for
 * processor and disk, and a read-only connection. Loop thread. What is done about damage, the loop
 * decides. Tested by test_repair.c. */
#pragma once

#include <stdbool.h>

#include "proto/base/err.h"

struct store_check;

/* Starts to read the database at `path`, which a store has open; where it `hurries`, with the
 * priority of the others. Returns 0 with a check (free with store_check_free), or -errno. */
int store_check_start(const char *path, bool hurries, struct store_check **out, struct err *err);

/* Once a second. 1 while it reads; 0 when all is sound; -EUCLEAN with what is damaged in `err`;
 * -EAGAIN, it was given up because the WAL had grown; or another -errno that kept it from reading.
 */
int store_check_result(struct store_check *, struct err *err);

/* Interrupts it when it still reads; returns within milliseconds, but for a disk that hangs. NULL
 * is fine. */
void store_check_free(struct store_check *);
