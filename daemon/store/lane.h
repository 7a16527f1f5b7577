/* The way of records to the disk, on libuv's pool. The lane owns the store, the one connection that
 * writes: records queue while a commit runs, and all that have queued make the next one (group
 * commit). Loop thread. The core decides what a record says. Tested by test_lane.c and
 * test_loop.c, and end to end by test_a_full_disk_delays_and_heals.py. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/core/monitor/record.h"
#include "daemon/store/notes.h"
#include "daemon/store/store.h"

struct store_lane;

/* The record is back, with its outcome. Called in the order in which records were put. */
typedef void store_lane_cb(void *arg, struct record *);

/* Opens the store. Returns 0, or store_open's error. */
int store_lane_open(uv_loop_t *, const char *path, store_lane_cb *, void *arg,
                    struct store_lane **out, struct err *err);
/* Blocks while the store closes; no record may be out. NULL is fine. */
void store_lane_close(struct store_lane *);

/* Borrows the record until it comes back. */
void store_lane_put(struct store_lane *, struct record *);

/* A piece of work on the store that is no record, as what a person asks for. */
struct store_task {
    struct list link;
    /* On the pool, between two commits: where no record waits, and every eighth time before those
     * that do. 0: it is done; 1: it is called once more, after the tasks that wait; or -errno, with
     * the reason: -ECANCELED, it had more to do when the daemon was about to stop. */
    int (*work)(struct store *, struct store_task *, struct err *err);
    /* Back on the loop, with the outcome. */
    void (*done)(struct store_task *);
    int rc;
    struct err why;
};

/* Borrows the task until it is done. The first that was put comes first. */
void store_lane_do(struct store_lane *, struct store_task *);

/* What takes many pieces goes on at the next start: a task that has more to do ends, and rows of
 * runs that have left stay for now. */
void store_lane_stop(struct store_lane *);

/* Why the last commit failed, when it will be tried again; NULL when it did not. */
const char *store_lane_waits(const struct store_lane *);

/* Once a tick: a last commit that failed is tried again, empty, when no record waits to do so. One
 * that was refused, as an OPEN is, does not come back. */
void store_lane_try_again(struct store_lane *);

/* Once a tick: as soon as no record waits, a part of the points that are older than their blocks is
 * summed up, until all are (store_sweep). */
void store_lane_sweep(struct store_lane *);

/* The file was rewritten, or could not be: store_lane_notes() tell. Who has it open for reading
 * opens it again. Called before the records of the commit that has found the damage come back. */
typedef void store_lane_repaired_cb(void *arg);
void store_lane_on_repaired(struct store_lane *, store_lane_repaired_cb *);

/* Repairs the file before the next commit, and now if none runs. A commit that meets damage does so
 * unasked, and is then tried once more. */
void store_lane_repair(struct store_lane *);

/* What a person should know of the history, since the start. */
const struct store_notes *store_lane_notes(const struct store_lane *);

const struct store *store_lane_store(const struct store_lane *);

/* Once a tick: whether a commit is stuck (pulse.h). One that repairs may take as long as it needs.
 */
bool store_lane_is_stuck(struct store_lane *, unsigned still_max);
