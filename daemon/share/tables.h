/* The tables of the shared history: one list, from which their creation, the statements that write
 * them and the columns of their rows are made. proto/SHARED.md says what they mean. Constant data
 * and texts that the caller frees; any thread.
 *
 * Every table begins with the run's id, which is its key, or the first part of it, and by which a
 * server with several nodes distributes it. Within a run, attempts, layers and scalars have small
 * numbers, which the first daemon gives that names them. `source` and `batch` say who wrote a row
 * last, and with which transaction: readers go by them. *
 * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/share/rows.h"

/* The schema that this program writes, in richd.version. */
#define SHARE_VERSION 1

enum share_type {
    SHARE_RUN,     /* the run's id; in the store its key */
    SHARE_ATTEMPT, /* numbers within the run, which differ from the store's */
    SHARE_LAYER,
    SHARE_SCALAR,
    SHARE_INTEGER,
    SHARE_NUMBER,
    SHARE_TEXT,
    SHARE_BYTES,
};

enum share_flag {
    SHARE_KEY = 1,      /* belongs to the primary key */
    SHARE_IDENTITY = 2, /* says whose number it is: the same number with another is refused */
    SHARE_EARLIEST = 4, /* of two values the smaller one stays */
};

struct share_column {
    const char *name;
    enum share_type type;
    unsigned flags;
};

/* In the order in which a batch writes them. */
enum share_table_id {
    SHARE_TABLE_RUN,
    SHARE_TABLE_RUN_TEXT,
    SHARE_TABLE_ATTEMPT,
    SHARE_TABLE_MEMBER,
    SHARE_TABLE_LAYER,
    SHARE_TABLE_SCALAR_NAME,
    SHARE_TABLE_POINT, /* these and those below have a place in the feed's order */
    SHARE_TABLE_SPECTRUM,
    SHARE_TABLE_REPRESENTATION,
    SHARE_TABLE_SCALAR,
    SHARE_TABLE_FINDING,
    SHARE_TABLE_COUNT,
};

struct share_table {
    const char *name;
    const char *guard; /* more that must hold before a row is replaced; NULL: nothing */
    size_t n_columns;
    struct share_column column[ROWS_COLUMNS_MAX];
    bool is_of_newest; /* only the source that wrote the run's row last speaks here */
};

void share_table(enum share_table_id, struct share_table *out);

/* How a column travels. */
enum rows_type share_rows_type(enum share_type);

/* All texts are freed with sqlite3_free(); NULL without memory. */

/* Creates everything in an empty database: statements, one after the other. What has a place in the
 * feed's order is kept in so many partitions, by a hash of the run; 0: it is not divided. */
char *share_sql_create(unsigned n_partitions);
/* Adds a column for each member of a point that this program has. */
char *share_sql_add_columns(void);
/* Writes rows, given as arrays $1, $2, ... by columns, then the source and the batch. A row that is
 * there already with these values stays as it is. */
char *share_sql_upsert(const struct share_table *);
/* What source $1 has written behind batch $2 up to batch $3: the columns in their order; of what
 * has a place in the feed's order with the name in the place of a layer's and a scalar's number. */
char *share_sql_select(const struct share_table *, bool is_of_feed);
/* Of source $1 behind batch $2 the batch at which there are enough rows for one look, at most $3:
 * of what describes runs, or of what has a place in the feed's order. */
char *share_sql_window(bool is_feed);
/* Deletes what the table has of the runs whose tombstones batch $2 of source $1 has brought. */
char *share_sql_bury(const struct share_table *);
