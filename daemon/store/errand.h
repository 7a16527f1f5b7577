/* What is asked of the store beside its records: a run that a person deletes, and the oldest runs
 * that go when there is too much. The asker owns an errand and reads its outcome when it is home;
 * in between the store's lane alone touches it. The feed makes it, and the daemon's own options
 * do; leave.c carries it out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/limits.h"

enum errand_kind {
    ERRAND_DELETE, /* the run goes, and its id stays as a tombstone */
    ERRAND_PRUNE,  /* runs go whose trainer has ended them or stays away, the one that was updated
                      first before all others, while they are too old, or the file is too large */
};

/* No limit to the bytes. */
#define ERRAND_BYTES_ANY INT64_MAX

/* A run that has left, or would. */
struct errand_run {
    int64_t run_key;
    char id[RUN_ID_MAX + 1];
    int64_t n_points;
    int64_t bytes;  /* of a dry PRUNE: about what it takes in the file */
    double updated; /* of a PRUNE: seconds since 1970 */
};

struct errand {
    enum errand_kind kind;
    char run[2 * TEXT_MAX + 2]; /* DELETE: an id, project/name, or a name */
    double time;                /* DELETE: now, seconds since 1970 */
    double updated_before;      /* PRUNE: runs whose last change is older go; NaN: none for that */
    double lost_before;         /* PRUNE: a lost run whose last change is newer stays */
    int64_t max_bytes;          /* PRUNE: until what the file holds is no more */
    bool is_dry;                /* PRUNE: nothing goes, and sizes are estimated */

    /* The outcome; after an error, too: what had left before. */
    struct errand_run *runs; /* owned */
    size_t n_runs, runs_room;
    int64_t n_points;
    int64_t bytes_before, bytes_after; /* PRUNE: of the file, as SQLite counts its pages */

    /* The store's own. */
    bool has_begun;
    double at_updated; /* the run that was looked at last */
    int64_t at_key;
    int64_t bytes_estimated; /* of a dry one: what is left */
};

/* Asks for a PRUNE at time `now`, seconds since 1970; -1: without that limit. */
void errand_prune(struct errand *, double now, int64_t keep_days, int64_t max_bytes);

/* Frees what it owns; not the errand. */
void errand_release(struct errand *);
