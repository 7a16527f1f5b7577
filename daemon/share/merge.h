/* Rows that other daemons have written, on their way into this store. The thread of the share fills
 * a merge from the server; the store's lane carries it out, in one transaction with the place that
 * is reached, so after a crash nothing is missing, and what comes twice is stored once. Between the
 * two nobody touches it.
 *
 * Tested with its files by test_a_reader_shows_what_all_daemons_write.py. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/share/tables.h"
#include "daemon/store/lane.h"

enum cell_type {
    CELL_NULL,
    CELL_INTEGER,
    CELL_NUMBER,
    CELL_TEXT, /* ends with a NUL behind its size */
    CELL_BYTES,
};

/* Borrowed from the rows. */
struct cell {
    enum cell_type type;
    union {
        int64_t integer;
        double number;
        const char *data;
    };
    size_t size; /* of a text or of bytes */
};

/* Rows of a table, wherever they come from: `cell` reads them. */
struct merge_rows {
    void *of; /* NULL: there are none */
    int n, n_columns;
    struct cell (*cell)(const void *of, int row, int column);
};

struct merge;

/* What a sender has done in the same transaction. */
typedef int merge_step_fn(struct store *, struct merge *, struct err *err);

struct merge {
    struct store_task task;                    /* with merge_work */
    void *owner;                               /* who waits for it */
    struct merge_rows rows[SHARE_TABLE_COUNT]; /* with the columns of share_sql_select() */
    struct merge_rows tombstones;              /* run, deleted */
    char history[64];                          /* which history it is, */
    int64_t source;                            /* whose rows these are; 0: no place is reached */
    int64_t described, fed;                    /* and the batches up to which all is there then */
    uint64_t feed_seq;                         /* of the store, behind it */
    int64_t n_left_out; /* rows that no store can take, of all merges so far, */
    char left_out[256]; /* and which was the first */
    /* Of a relay's: the store has runs of its own, whose edits and newer attempts stay. */
    bool is_relayed;
    merge_step_fn *before, *after; /* all else; NULL: nothing */
};

/* On the lane. Nothing is kept when it fails. */
int merge_work(struct store *, struct store_task *, struct err *err);
