/* The way of queries to the history, on libuv's pool: a few read-only connections that run queries
 * beside the store. Loop thread, apart from the queries' own work, which is a reader's. history.h
 * and the feed know what is asked and answered. Tested by test_readers.c. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/history/history.h"
#include "proto/base/list.h"

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
    /* NULL, or true when nobody waits for it any more: it is then done without having been read, or
     * ends within milliseconds (readers_cancel_unwanted). */
    const bool *is_unwanted;
    /* It reads for a subscription, and lets questions go first: of many that wait, each fourth. */
    bool is_patient;
};

/* Opens the connections; the store must be open. Returns 0 or -errno. */
int readers_open(uv_loop_t *, const char *path, struct readers **out, struct err *err);
/* The file was replaced: each reader opens it again before its next query. */
void readers_reopen(struct readers *);

/* Whether a query has met damage since this was asked last. */
bool readers_take_damage(struct readers *);

/* No query may be out. NULL is fine. */
void readers_close(struct readers *);

/* Borrows the query until done. First come, first served among its kind. */
void readers_submit(struct readers *, struct query *);
/* Some became unwanted: those of them that run fail with -ECANCELED. */
void readers_cancel_unwanted(struct readers *);
