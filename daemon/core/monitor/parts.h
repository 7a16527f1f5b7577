/* What the parts of the engine share: the monitor itself, finding and ending runs, and the event
 * handlers. monitor.c, open.c (a trainer opens a run), take.c (what it sends) and
 * done.c (what comes home from pool and store) include this; nobody else does. */
#pragma once

#include "daemon/core/monitor/monitor.h"
#include "daemon/core/monitor/run.h"

/* Peers are numbered in order, so the low bits spread them evenly. */
#define PEER_BUCKETS 256

struct monitor {
    struct monitor_config config;
    struct list runs;
    struct list peers[PEER_BUCKETS];
    uint64_t credit_granted; /* sum of the runs' credit_bytes */
    double state_bytes;      /* moments, folds and probes allocated */
    bool draining;
    struct monitor_stats stats;
};

/* ---- finding and ending runs (monitor.c) --------------------------------------------------- */

/* The run that this peer opened, or NULL. */
struct run *monitor_run_of_peer(const struct monitor *, peer_id);
/* The run of that id that is not over, or NULL; while several are (one leaves, others wait to be
 * opened), the writer's newest before anybody else's. */
struct run *monitor_run_of_id(const struct monitor *, const char *id, const char *writer);
/* From now on this peer speaks for the run; 0: nobody does. */
void monitor_bind_peer(struct monitor *, struct run *, peer_id);
/* Ends a run because a newer attempt was opened. It may be freed. */
void monitor_fence(struct monitor *, struct run *, struct actions *);
/* Frees a run that has nothing left to do. Called wherever something of it came home. */
void monitor_sweep(struct monitor *, struct run *, struct actions *);
void monitor_refuse(struct actions *, peer_id, enum nack_code, const char *text);
/* The disk failed for good. */
void monitor_fail_store(struct actions *, const char *text);

/* ---- opening (open.c) -------------------------------------------------------------- */

void monitor_on_open(struct monitor *, const struct event *, struct actions *);
/* Takes the record. */
void monitor_on_open_stored(struct monitor *, struct run *, struct record *, struct actions *);

/* ---- what a trainer sends (take.c) ------------------------------------------------- */

void monitor_on_batch(struct monitor *, const struct event *, struct actions *);
void monitor_on_checkpoint(struct monitor *, const struct event *, struct actions *);
void monitor_on_log(struct monitor *, const struct event *, struct actions *);
void monitor_on_close(struct monitor *, const struct event *, struct actions *);
/* Starts the layer's next job, if it is idle and has one. */
void monitor_pump(struct run *, struct layer *, struct actions *);
/* Has all layers fold what they hold, without waiting for full blocks. */
void monitor_flush(struct run *, struct actions *);
/* Counts the batch as refused and tells the trainer; it still has to be released. */
void monitor_refuse_batch(struct monitor *, struct run *, struct batch *, enum nack_code,
                          const char *text, struct actions *);
/* Gives the batch back to ingest. */
void monitor_release_batch(struct batch *, struct actions *);

/* ---- what comes home (done.c) ------------------------------------------------------ */

void monitor_on_job_done(struct monitor *, struct job *, struct actions *);
void monitor_on_stored(struct monitor *, struct record *, struct actions *);
