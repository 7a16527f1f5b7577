/* The history that several daemons share, in a PostgreSQL database: what this daemon's store has
 * committed is copied there by a thread of its own, behind the trainings. Acknowledgements,
 * questions and the page stay with the store, so a server that is slow or away costs nothing but
 * lag. The loop opens and closes a share and asks for its state; nothing here blocks it.
 *
 * The way of a row: share.c connects and asks push.c for one batch after the other. A batch is read
 * from the store over a read-only connection (push_read.c), with the numbers that the shared
 * history has for attempts, layers and scalars (names.c), is kept as arrays (rows.c), and goes in
 * one transaction with the position that it reaches (push.c). tables.c is the one list of the
 * shared tables, from which their creation and all statements are made; remote.c makes libpq's
 * calls. proto/SHARED.md says what the tables mean. The other
 * way, of a daemon that only reads, is pull.c's, which fetches, and merge.c's, which the store's
 * lane has write. Where libpq is not there to be built with,
 * without.c stands in the place of all of them.
 *
 * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/err.h"
#include "proto/base/limits.h"
#include "proto/base/list.h"

struct share;
struct store;
struct store_task;

/* What is known of it, for server.status. */
struct share_status {
    char server[160];    /* "HOST:PORT/DATABASE" */
    char problem[512];   /* one sentence; "": none */
    char remark[400];    /* what will not end by itself, and keeps nothing from going on */
    double behind_since; /* seconds since 1970: since then something has waited; 0: nothing waits */
    int64_t n_waiting;   /* points, values and events that wait; 0 of a reader */
};

/* Whether `url` (postgresql://... or libpq's key=value) can be used. Returns 0 or -EINVAL; -ENOTSUP
 * where richd was built without libpq. */
int share_check(const char *url, struct err *err);

/* What a share needs of the loop; all is borrowed until it is closed. */
struct share_config {
    const char *url;
    const char *path;          /* of the store */
    const struct store *store; /* that has it open */
    unsigned n_partitions;     /* that the tables get where this daemon makes them; 0: none */
    bool is_reader;            /* what all daemons write comes into the store; nothing goes out */
    uv_loop_t *loop;           /* which calls all that follows */
    /* Of a reader: has the store's lane carry out the task, which calls its `done`; false: not any
     * more. */
    bool (*lend)(void *arg, struct store_task *);
    /* It is home. The store has things up to `feed_seq`. */
    void (*on_merged)(void *arg, uint64_t feed_seq);
    /* Of one that writes, or NULL: the server has committed the feed up to `feed_seq`, and all that
     * the store's first so many commits brought (store_commits). */
    void (*on_reached)(void *arg, uint64_t feed_seq, uint64_t commits);
    void *arg;
};

/* Starts the thread. `*out` is to be closed after a failure, too. Returns 0 (end with share_stop
 * and share_close), -ENOMEM, -EAGAIN without a thread, share_check's error, or for a reader
 * -EEXIST, the store has runs of its own. */
int share_open(const struct share_config *, struct share **out, struct err *err);

/* Ends the thread: what was not copied yet is at the next start. No task may be lent. Blocks for
 * some milliseconds, and at most SHARE_STOP_S where a name server is silent, for whose answer libpq
 * waits: the thread is then left behind. The loop has to turn once more. NULL is fine. */
#define SHARE_STOP_S 2
void share_stop(struct share *);
/* Frees it, behind the end of the loop. NULL is fine. */
void share_close(struct share *);

void share_status(struct share *, struct share_status *out);
/* `on_reached` is called soon, also where the server has nothing new. */
void share_tell_reached(struct share *);

/* Which attempt of a run the history has as its newest. Filled in but for `link` and the two below,
 * and borrowed until it is told. */
struct share_question {
    struct list link;
    char run[RUN_ID_MAX + 1];
    void (*told)(struct share_question *);
    bool is_answered;
    uint32_t newest; /* 0: none, or nobody knows */
};

/* Asks; on the loop `told` is called within ASK_MS (ask.h). False: the server is away, or the share
 * is a reader's, and nobody is asked. */
bool share_ask(struct share *, struct share_question *);

/* ---- moving a history ------------------------------------------------------------------------ */

/* What one table has of one run, on the side that is copied from and on the other one. */
struct share_sums {
    const char *table, *run;
    int64_t rows, rows_there;
    uint64_t sum, sum_there; /* of all columns of these rows */
    bool is_same;            /* or it is not, and another daemon has described the run since */
    bool is_described_elsewhere;
    const char *columns; /* those that differ, "a, b" */
};

enum share_way {
    SHARE_OUT, /* from the store to the server */
    SHARE_IN,  /* from the server to the store */
};

struct share_migration {
    const char *url, *path; /* of the store */
    enum share_way way;
    bool only_compares;
    /* `part` in [0, 1] of "copied" or "compared". */
    void (*on_progress)(void *arg, double part, const char *what);
    void (*on_sums)(void *arg, const struct share_sums *);
    void *arg;
};

/* Copies a history to its end, and compares: for a program that serves nothing. It goes on where it
 * was when it was ended. Blocks. Returns 0 when all that the one has the other has, too; -EBADE
 * when it has not; -EEXIST where the store has runs of its own and is to be written; else an error
 * of the disk or the server. */
int share_migrate(const struct share_migration *, struct err *err);
