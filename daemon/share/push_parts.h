/* The inside of a push, shared by its files: push.c talks to the server, push_read.c reads the
 * store by the statements of push_sql.c, names.c has numbers given. Threads as in push.h.
 *
 * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/share/push.h"
#include "daemon/share/rows.h"
#include "daemon/share/tables.h"
#include "proto/base/limits.h"

/* A batch: enough that a round trip of 100 ms costs little (20,000 rows a second), and small enough
 * that a server takes it in some 50 ms and readers see it at once. */
#define PUSH_ROWS_MAX  2000
#define PUSH_BYTES_MAX (2u << 20)
/* Runs whose description one batch brings, and names that it has numbered. */
#define PUSH_RUNS_MAX  64
#define PUSH_NAMES_MAX 4096

/* A run as the store and the history have it. */
struct known_run {
    int64_t key;
    char id[RUN_ID_MAX + 1];
    double created;
    int64_t revision;  /* in the store, as it was looked at last */
    int64_t pushed;    /* the revision that the history has; -1: not known */
    int32_t *attempts; /* by the store's number, from 1: the history's; 0: not known */
    size_t n_attempts;
    uint64_t text;   /* a hash of what run_text has */
    bool is_gone;    /* deleted there: nothing of it is copied */
    bool is_changed; /* belongs to this batch */
    bool has_text;   /* the batch brings a new one, with the hash below */
    uint64_t new_text;
};

/* What a layer or a scalar has in the history, by its key in the store. SQLite gives the key of one
 * that was deleted to a later one, of another run; a run's key is given once. */
struct number {
    int64_t run_key;
    int32_t number; /* 0: not known */
    bool is_sent;   /* with its shape */
};

struct numbers {
    struct number *at;
    size_t n;
};

/* A name that needs a number, or an attempt that does. */
struct pending {
    struct known_run *run;
    enum share_type type; /* SHARE_ATTEMPT, SHARE_LAYER or SHARE_SCALAR */
    int64_t key;          /* of the attempt, the layer or the scalar */
    double opened;        /* of an attempt */
    char name[LAYER_NAME_MAX > SCALAR_NAME_MAX ? LAYER_NAME_MAX + 1 : SCALAR_NAME_MAX + 1];
};

enum push_sql {
    PUSH_SQL_BEGIN,
    PUSH_SQL_END,
    PUSH_SQL_SOURCE,
    PUSH_SQL_FEED_SEQ,
    PUSH_SQL_RUNS,
    PUSH_SQL_ATTEMPTS,
    PUSH_SQL_LAYERS,
    PUSH_SQL_NAMES,
    PUSH_SQL_REACH,
    PUSH_SQL_TOMBSTONES,
    PUSH_SQL_TABLES, /* from here on, by enum share_table_id */
    PUSH_SQL_COUNT = PUSH_SQL_TABLES + SHARE_TABLE_COUNT,
};

struct push {
    sqlite3 *store;
    sqlite3_stmt *statement[PUSH_SQL_COUNT];
    struct share_table table[SHARE_TABLE_COUNT];
    struct rows rows[SHARE_TABLE_COUNT];
    char *upsert[SHARE_TABLE_COUNT];
    char *bury[SHARE_TABLE_COUNT];

    unsigned n_partitions;
    char session[33];
    char predecessor[33]; /* the session that wrote as this source before */
    char source_text[16]; /* the number of this store in the history */
    int64_t batch;        /* the last one that the history has, */
    int64_t newest;       /* and that it ever had, or may have had */
    int64_t position;     /* of the feed: all up to it is there */
    int64_t committed;    /* of the store, as it was looked at last */
    int64_t reach;        /* where this batch ends */
    int64_t generation;   /* of the source, where another store has the same id */
    bool has_begun;       /* this process has written as that source */
    char remark[256];

    struct known_run *runs; /* by key */
    size_t n_runs, n_changed;
    bool has_more_runs; /* than this batch brings */
    struct numbers layers, scalars;
    struct pending *pending;
    size_t n_pending, pending_room;

    struct rows tombstones;
    int64_t tombstones_seen[2]; /* how many, and the newest: of those that are there */
    int64_t tombstones_now[2];
    bool has_missed; /* a row has a name without a number: its run is looked at again */
};

/* ---- push_read.c ----------------------------------------------------------------------------- */

/* Opens the store and prepares what is asked of it. */
int push_open_store(struct push *, const char *path, struct err *err);
/* Looks which runs have changed, and which of their names have no number. */
int push_look(struct push *, struct err *err);
/* Reads the batch. */
int push_read(struct push *, struct err *err);
bool push_is_empty(const struct push *);
/* The batch is there. */
void push_note(struct push *);
/* All of it is asked for again. */
void push_forget(struct push *);
struct known_run *push_find_run(struct push *, int64_t key);

/* ---- names.c --------------------------------------------------------------------------------- */

/* Gives a number to each name that is pending, by what the history has. */
int push_give_numbers(struct push *, struct remote *, struct err *err);
/* What is known of that key of that run; NULL: nothing. */
struct number *numbers_find(const struct numbers *, int64_t run_key, int64_t key);
