/* The inside of a batch reader, shared by its files: batch.c reads the rows, batch_runs.c knows
 * which runs there are and what was sent of them. Threads as in batch.h.
 *
 * Tested with its files by tests/e2e/relay/test_a_relay_forwards_what_it_has.py. */
#pragma once

#include <sqlite3.h>

#include "daemon/relay/batch.h"
#include "daemon/share/tables.h"
#include "proto/base/limits.h"

enum batch_sql {
    BATCH_SQL_BEGIN,
    BATCH_SQL_END,
    BATCH_SQL_SOURCE,
    BATCH_SQL_FEED_SEQ,
    BATCH_SQL_RUNS,
    BATCH_SQL_REACH,
    BATCH_SQL_TOMBSTONES,
    BATCH_SQL_TABLES, /* from here on, by enum share_table_id */
    BATCH_SQL_COUNT = BATCH_SQL_TABLES + SHARE_TABLE_COUNT,
};

/* What was sent of a run: hashes of the rows that describe it, 0: none. */
struct sent_run {
    int64_t key;
    char id[RUN_ID_MAX + 1];
    int64_t revision; /* in the store, as it was looked at last */
    int64_t sent;     /* the revision that is there; -1: not known */
    uint64_t hash[SHARE_TABLE_POINT];
    uint64_t new_hash[SHARE_TABLE_POINT];
    bool is_chosen; /* belongs to this batch */
    bool is_whole;  /* nothing of its description waits for the next one */
};

struct batch_reader {
    sqlite3 *store;
    sqlite3_stmt *statement[BATCH_SQL_COUNT];
    struct share_table table[SHARE_TABLE_COUNT];
    struct sent_run *runs; /* by key */
    size_t n_runs, n_chosen;
    bool has_more;              /* runs that wait for the next batch */
    int64_t position;           /* of the feed: what was sent */
    int64_t committed;          /* of the store, as it was looked at last */
    int64_t reach;              /* where this batch ends */
    int64_t tombstones_sent[2]; /* how many there are, and the newest */
    int64_t tombstones_now[2];
};

/* ---- batch_runs.c ---------------------------------------------------------------------------- */

/* Looks which runs there are; what is known of them stays. In a transaction. */
int batch_look(struct batch_reader *, struct err *err);
struct sent_run *batch_find_run(struct batch_reader *, int64_t key);
/* The run belongs to the batch; false: it has too many already. */
bool batch_choose(struct batch_reader *, struct sent_run *);
/* So do others whose description has changed. */
void batch_choose_changed(struct batch_reader *);
