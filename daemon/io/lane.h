/* The two ways to the disk, both on libuv's pool. The store lane owns the one writing connection:
 * records queue while a commit runs, and all that have queued make the next one (group commit). The
 * readers own read-only connections and run queries beside it. Loop thread, apart from the query
 * functions themselves. */
#pragma once

#include <uv.h>

#include "daemon/core/monitor/record.h"
#include "daemon/io/history.h"
#include "daemon/io/store.h"

/* ---- writing ------------------------------------------------------------------------------- */

struct store_lane;

/* The record is back, with its outcome. Called in the order in which records were put. */
typedef void store_lane_cb(void *arg, struct record *);

/* Opens the store. Returns 0, or store_open's error. */
int store_lane_open(uv_loop_t *, const char *path, store_lane_cb *, void *arg,
                    struct store_lane **out, struct err *e);
/* Blocks while the store closes; no record may be out. NULL is fine. */
void store_lane_close(struct store_lane *);

/* Borrows the record until it comes back. */
void store_lane_put(struct store_lane *, struct record *);

const struct store *store_lane_store(const struct store_lane *);

/* ---- reading ------------------------------------------------------------------------------- */

struct readers;
struct query;

/* On the pool: read what is asked. */
typedef void query_work_cb(struct history *, struct query *);
/* Back on the loop. */
typedef void query_done_cb(struct query *);

struct query {
    struct list link;
    query_work_cb *work;
    query_done_cb *done;
    /* NULL, or looked at when its turn comes: true when nobody waits for it any more. It is then
     * done without having been read. */
    const bool *is_unwanted;
};

/* Opens the connections; the store must be open. Returns 0 or -errno. */
int readers_open(uv_loop_t *, const char *path, struct readers **out, struct err *e);
/* No query may be out. NULL is fine. */
void readers_close(struct readers *);

/* Borrows the query until done. First come, first served. */
void readers_submit(struct readers *, struct query *);
