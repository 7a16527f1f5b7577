/* Another name for a database that makes place for another one, so that what it holds is kept.
 * Blocks on the disk; no connection that writes may be open. When that is, the store decides. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Makes PATH.WORD-N another name of the database, with its WAL; `aside`, of `size` bytes, receives
 * it. Returns 0 or -errno, in which case nothing has changed; -ENOENT: there is no database. */
int store_link_aside(const char *path, const char *word, char *aside, size_t size, struct err *err);

/* The same of a damaged one, which has no other name then: a new one can be started. After -errno
 * it may have both. */
int store_set_aside(const char *path, char *aside, size_t size, struct err *err);

/* Removes PATH with the suffix; there may be none. Returns 0 or -errno. */
int store_unlink(const char *path, const char *suffix);

/* Syncs the directory that `path` is in: its names are durable then. Returns 0 or -errno. */
int store_sync_directory(const char *path);
