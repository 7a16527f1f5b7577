/* What lies at a database's path before SQLite opens it, which takes an empty file for a new one
 * and deletes a WAL beside it; and the mark that is left beside the database, PATH.seq: the last
 * feed sequence, by which a history that is older or gone is recognised. Blocks on the disk; no
 * connection may be open. Tested end to end by test_damage_is_found_told_and_repaired.py. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/notes.h"
#include "proto/base/err.h"

struct look {
    bool has_wal;
    uint64_t feed_seq; /* that the mark has; 0: none */
};

/* Notes an empty file, and puts away the WAL of another one. Returns 0, -EUCLEAN when a WAL is
 * there without its database (an empty one is made then, so that both can be set aside), or another
 * -errno. */
int look_at(const char *path, struct look *out, struct store_notes *notes, struct err *err);

/* Leaves the mark. Where that is not possible the older one stays, which says less. */
void look_leave(const char *path, uint64_t feed_seq);
