/* Whether two histories have the same: the store's file on this machine, and the shared one. For
 * each table and run the rows are counted, and each column is added up, on either side by the same
 * code; what differs is told by its name. Both are read in one snapshot, whole, so a large history
 * takes its time; nothing is written. Blocks; one thread.
 *
 * Attempts are compared by their writer and the time of their opening, layers and scalars by name:
 * their numbers may differ. Of the side that was copied to only that counts which the other one
 * has. Not compared is what is each side's own: revisions, when rows were
 * written, and when a run was created, of which the earlier time stays.
 *
 * Tested by test_a_history_moves.py. */
#pragma once

#include <stdint.h>

#include "daemon/share/remote.h"
#include "daemon/share/share.h"

/* All that the side has which `what` copies from, the other one must have; `what` is told of the
 * sums of each table and run. Returns 0 or -errno; `n_different` counts those that differ. */
int compare_histories(const char *store_path, struct remote *, const struct share_migration *what,
                      int64_t *n_different, struct err *err);
