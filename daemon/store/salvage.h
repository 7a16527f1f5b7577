/* What a damaged database still holds of a table, row by row. Owns nothing between calls; used by
 * repair.h, on one thread. What the rows mean is not known here, apart from the types of their
 * columns. Tested by test_repair.c. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "proto/base/err.h"

/* Copies each row of `table` that can be read from `from` into the table of the same name and
 * columns in `to`, which has a transaction open. `*all_read` becomes false when a part could not
 * be. Returns 0, or -errno when `to` cannot be written or memory runs out. */
int store_salvage_table(sqlite3 *from, sqlite3 *to, const char *table, bool *all_read,
                        struct err *err);
