/* A copy that a backup has made, put in the history's place. What was there stays beside it under
 * another name. Blocks on the disk; the caller holds the lock of the state directory, so that no
 * daemon has the history open. Tested end to end by test_a_backup_is_a_history_of_its_own.py. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Makes `path` a copy of the history `from`, which is read whole, whatever version of richd wrote
 * it. `aside`, of `size` bytes, receives the name of what was there, or "". Returns 0, or -errno:
 * then what was there is in its place. */
int store_restore(const char *path, const char *from, char *aside, size_t size, struct err *err);
