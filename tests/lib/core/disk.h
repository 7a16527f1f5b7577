/* A store that lives in memory and keeps the contract of daemon/core/monitor/record.h: attempts and
 * writers, sequences that are stored once, commits of many records at a time, and a disk that is
 * full when a test says so. It survives the monitor it serves, so a test can crash the one and keep
 * the other. Owns copies of what was committed, borrows records from disk_put to disk_take; one
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/monitor/record.h"

#define DISK_RUNS     8
#define DISK_ATTEMPTS 128
#define DISK_LAYERS   8
#define DISK_MEMBERS  8 /* ranks 0 to 7 */

enum disk_state {
    DISK_OPEN,
    DISK_FINISHED,
    DISK_FAILED,
    DISK_LOST,
};

/* A control message as it was committed. */
struct disk_item {
    enum record_kind kind;
    uint32_t rank; /* of a member */
    uint64_t seq;
    int64_t step;
    bool begins;                /* the attempt, if nothing before it does */
    struct layer_point *points; /* of marks of several members, with the lowest rank's */
    size_t n_points;
};

struct disk_member {
    char writer[65]; /* "": it never came */
    enum disk_state state;
    uint64_t last_seq;
    int64_t last_step;
    struct stored_total totals[DISK_LAYERS];
};

struct disk_attempt {
    char writer[65];
    char launch[65]; /* "": it has no members */
    uint32_t world;
    struct disk_member members[DISK_MEMBERS];
    enum disk_state state;
    uint64_t last_seq;
    struct disk_item *items;
    size_t n_items;
    struct stored_layer totals[DISK_LAYERS]; /* p = 0: nothing yet */
};

struct disk_run {
    char id[RUN_ID_MAX + 1];
    struct disk_attempt attempts[DISK_ATTEMPTS]; /* attempt k is number k - 1 */
    uint32_t n_attempts;
    struct stored_layer layers[DISK_LAYERS]; /* shapes */
    size_t n_layers;
    bool has_last_step;
    int64_t last_step;
};

struct disk {
    struct disk_run runs[DISK_RUNS];
    size_t n_runs;
    struct list waiting; /* of record: put, not committed */
    struct list done;    /* of record: to be taken */
    uint64_t feed_seq;
    size_t n_commits;
};

void disk_init(struct disk *);
void disk_release(struct disk *);

/* Queues the record. */
void disk_put(struct disk *, struct record *);
/* Commits up to `n` of those that wait, as one. */
void disk_commit(struct disk *, size_t n);
/* Nothing of what waits is written: each record gets `rc`. All of them, because a later record of a
 * run must not be stored before an earlier one. */
void disk_fail(struct disk *, int rc, const char *why);
/* The next record to give back to the core, or NULL. */
struct record *disk_take(struct disk *);

/* What was committed under that name, or NULL. */
const struct disk_attempt *disk_attempt(const struct disk *, const char *run, uint32_t attempt);
const struct disk_item *disk_item(const struct disk *, const char *run, uint32_t attempt,
                                  uint64_t seq);
/* Of the member of that rank. */
const struct disk_item *disk_item_of(const struct disk *, const char *run, uint32_t attempt,
                                     uint32_t rank, uint64_t seq);
/* The daemon has started again: no member is connected. */
void disk_restart(struct disk *);
