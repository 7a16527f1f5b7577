/* The inside of a comparison, shared by its files: compare_read.c reads a table of either side,
 * compare.c finds the runs and tells what differs. Threads as in compare.h.
 *
 * Tested with its files by test_a_history_moves.py. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/share/compare.h"
#include "daemon/share/push_parts.h"
#include "daemon/share/tally.h"

/* The values of a tally of rows, before the columns' sums. */
enum { VALUE_ROWS, VALUE_SOURCE, VALUE_COLUMNS };

/* A run of the side that is copied from. */
struct compared_run {
    char id[RUN_ID_MAX + 1];
    int64_t key; /* in the store; 0: it is not there */
};

/* In the order of keys. */
struct run_by_key {
    int64_t key;
    const struct compared_run *run;
};

struct side {
    struct tally rows;  /* by run, and attempt or name where they differ by these */
    struct tally names; /* by run and type, and number: the identity */
};

struct compare {
    struct push *push; /* the store, with the statements that read it */
    struct remote *remote;
    bool to_server;
    const struct share_migration *tell;
    struct compared_run *runs; /* by id */
    struct run_by_key *by_key;
    size_t n_runs;
    struct side store, server;
    enum share_table_id id; /* that is compared */
    int64_t source;         /* of the store, there */
    int64_t n_read, n_expected;
};

/* ---- compare_read.c -------------------------------------------------------------------------- */

/* Adds the rows of the table to the side's sums. */
int compare_read_store(struct compare *, struct err *err);
int compare_read_server(struct compare *, struct err *err);
/* NULL: it is not of the side that is copied from. */
struct compared_run *compare_find_run(const struct compare *, const char *id);
/* Of bsearch and qsort: a key, or what begins with one, and another place in `by_key`. */
int compare_keys(const void *key, const void *run);
