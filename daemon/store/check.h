/* A whole database read in the background, for damage that its start does not meet: each table with
 * its indexes, the values that must be readable, and the free pages, each in a read transaction of
 * its own, so that the WAL can be folded meanwhile. It has a thread with the lowest priority for
 * processor and disk, and a read-only connection. Loop thread. What is done about damage, the loop
 * decides. Tested by test_repair.c. */
#pragma once

#include "proto/base/err.h"

struct store_check;

/* Starts to read the database at `path`, which a store has open. Returns 0 with a check (free with
 * store_check_free), or -errno. */
int store_check_start(const char *path, struct store_check **out, struct err *err);

/* 1 while it reads; 0 when all is sound; -EUCLEAN with what is damaged in `err`; or another -errno
 * that kept it from reading. Any number of times. */
int store_check_result(struct store_check *, struct err *err);

/* Interrupts it when it still reads; returns within milliseconds, but for a disk that hangs. NULL
 * is fine. */
void store_check_free(struct store_check *);
