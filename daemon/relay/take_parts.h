/* The inside of a take, shared by its files. On the store's lane, as take.h says.
 *
 * Tested with its files by tests/e2e/relay/test_relays_are_not_trusted.py. */
#pragma once

#include <sqlite3.h>

#include "daemon/relay/take.h"
#include "daemon/share/merge.h"
#include "daemon/store/db.h"

/* Where the rows of a table are: cells by rows, with the columns of share_table(). */
struct taken {
    struct cell *cells;
    size_t n_rows, n_columns;
};

/* A run of the batch, and what is decided about it. */
struct taken_run {
    const char *id; /* of a cell */
    int64_t revision;
    int64_t run_key; /* 0: it is not here yet */
    bool is_refused; /* deleted here, or of a project that the key may not write */
    bool is_older;   /* it was written here later than there */
};

/* The number that an attempt of a relay has here. */
struct taken_attempt {
    const char *run;
    int64_t theirs, ours;
};

struct take {
    struct merge merge; /* with the task */
    uint64_t peer;
    char source[CONTROL_SOURCE_MAX + 1];
    char session[WRITER_MAX + 1];
    char path[RELAY_PATH_SIZE];
    char problem[TEXT_MAX + 1];
    bool again, has_begun;
    int64_t batch, feed_seq; /* as they are sent, and where the source is when it is done */
    char *projects;
    struct cbor_reader data; /* owned */
    struct cbor runs_known;

    struct taken tables[SHARE_TABLE_COUNT], tombstones;
    struct taken_run *runs; /* by id */
    size_t n_runs, n_refused;
    struct taken_attempt *attempts; /* by run, then by their number */
    size_t n_attempts;
};

/* ---- take_rows.c ----------------------------------------------------------------------------- */

/* Makes rows of the bytes. Returns 0, -EPROTO or -ENOMEM. */
int take_read_rows(struct take *, struct err *err);
void take_free_rows(struct take *);
static inline struct cell *taken_row(const struct taken *taken, size_t row)
{
    return taken->cells + row * taken->n_columns;
}

/* ---- take_runs.c ----------------------------------------------------------------------------- */

/* Leaves out what may not be written, and puts our numbers in the place of the relay's. */
int take_choose_runs(struct take *, struct store *, struct err *err);
