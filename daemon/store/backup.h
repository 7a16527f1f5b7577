/* A copy of a history that may be in use: one instant of it, whole in one file, while the daemon
 * goes on. Blocks on the disk; any process, with a read-only connection of its own. Tested end to
 * end by test_a_backup_is_a_history_of_its_own.py. */
#pragma once

#include "proto/base/err.h"

/* Copies the database at `path` to the new file `to`, which has that name when it is whole and
 * synced. Returns 0 or -errno: -EEXIST, `to` is there already. */
int store_backup(const char *path, const char *to, struct err *err);
