/* The tables of the store: their creation, their migrations, and the columns of a point as they are
 * written and read. The store calls it on its lane, a history on its own thread, each with its own
 * connection. It knows no record and answers no query. Tested by test_store.c. */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/point.h"
#include "proto/base/state.h"

/* The version that this program writes, in PRAGMA user_version. */
#define STORE_SCHEMA_VERSION 18
/* The version from which on a file says whether it is in use. */
#define STORE_SCHEMA_IN_USE 11
/* And the one from which on a shared history can tell it from others. */
#define STORE_SCHEMA_SOURCE 16

/* Reads the schema version: 0 when the database is empty, at most STORE_SCHEMA_VERSION. -ENOTSUP
 * when a newer program wrote it, -EINVAL when it is no store of ours. Writes nothing. */
int store_schema_recognise(sqlite3 *database, int64_t *version, struct err *err);

/* Creates the tables in an empty database, brings those of an older version up to this one, and
 * adds the columns of a point's members that are new. */
int store_schema_update(sqlite3 *database, struct err *err);

/* Prepares `text` after putting in the columns of a point, which follow point_table:
 *   @point     the list that store_schema_point() reads (needs the tables point and layer)
 *   @columns   ", step, time, ..." for the list of an INSERT: what stands in the point's row
 *   @values    ", ?, ?, ..." for its VALUES, which store_schema_bind_point() binds
 *   @measures  ", d_lr, d_debiased, ..." in the order of metric_table */
int store_schema_prepare(sqlite3 *database, const char *text, sqlite3_stmt **out, struct err *err);

/* @point is the feed sequence, then the members by enum point_member. */
#define SCHEMA_POINT_FEED_SEQ 0
#define SCHEMA_POINT_MEMBERS  1

/* Reads @point from column `first` on; returns its feed sequence. */
uint64_t store_schema_point(sqlite3_stmt *, int first, struct point *out);

/* Binds @values from parameter `first` on. */
void store_schema_bind_point(sqlite3_stmt *, int first, const struct point *);
