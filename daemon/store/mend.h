/* What follows of rows that are missing or wrong, when a history was read row by row from a damaged
 * file: what refers to nothing, counts that are too high, texts that are no JSON. Used by
 * repair.h and check.h, each with its own connection; it knows what the tables mean, and opens no
 * file. Tested by test_repair.c. */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "daemon/store/notes.h"
#include "proto/base/err.h"

/* Mends the tables, of this or an older schema version, in the open transaction, and notes what is
 * missing. `feed_seq`: as for store_repair_file. Returns 0 or -errno. */
int store_mend(sqlite3 *database, uint64_t feed_seq, struct store_notes *notes, struct err *err);

/* Returns 0, -EUCLEAN with the table when a row of a sound file cannot be read, or another -errno.
 */
int store_mend_find(sqlite3 *database, struct err *err);
