/* What the parts of the engine share: the monitor itself, and the event handlers. monitor.c,
 * runs.c, open.c, credit.c, join.c, marks.c, batches.c, control.c, watches.c and done.c include
 * this; nobody else does.
 * monitor.h describes the way through them. Tested with its files by test_monitor.c, of tests/unit
 * and of tests/sim. */
#pragma once

#include "daemon/core/monitor/monitor.h"
#include "daemon/core/monitor/run.h"

/* Peers are numbered in order, so the low bits spread them evenly. */
#define PEER_BUCKETS 256

struct monitor {
    struct monitor_config config;
    struct list runs;
    struct list peers[PEER_BUCKETS];
    uint64_t credit_claimed; /* sum of the windows that count */
    double state_bytes;      /* moments, folds and probes allocated */
    bool draining;
    struct monitor_stats stats;
};

/* ---- finding and ending runs (runs.c) ------------------------------------------------------- */

/* The member that speaks on this connection, or NULL. */
struct member *monitor_member_of_peer(const struct monitor *, peer_id);
/* The run of that id that is not over, or NULL. Where there are several (one leaves, others wait to
 * be opened), the writer's newest comes before anybody else's. */
struct run *monitor_run_of_id(const struct monitor *, const char *id, const char *writer);
/* From now on this peer speaks for the member; 0: nobody does. */
void monitor_bind_peer(struct monitor *, struct member *, peer_id);
/* The peer has no run: it has to open one. */
void monitor_refuse_not_open(peer_id, struct actions *);
/* Ends a run because a newer attempt was opened, and sends its trainer a nack. The run may be
 * freed. */
void monitor_supersede(struct monitor *, struct run *, struct actions *);
/* Frees a run for which nothing remains to be done. Called where something of it came home. */
void monitor_free_if_done(struct monitor *, struct run *, struct actions *);
/* Frees a run of which nothing is out; its queued batches are released. */
void monitor_free_run(struct monitor *, struct run *, struct actions *);

/* ---- a trainer opens a run (open.c) --------------------------------------------------------- */

void monitor_on_open(struct monitor *, const struct event *, struct actions *);
/* Takes the record. */
void monitor_on_open_stored(struct monitor *, struct record *, struct actions *);
/* From now on this peer speaks for the member, which begins with the credit that is left. */
void monitor_reconnect(struct monitor *, struct member *, peer_id, struct actions *);
void monitor_welcome(const struct member *, struct actions *);

/* ---- what each may send (credit.c) ---------------------------------------------------------- */

/* The member opens, or sends: it has a window, which counts. */
void monitor_claim_credit(struct monitor *, struct member *);
/* Its window counts no more. */
void monitor_yield_credit(struct monitor *, struct member *);
/* Bytes of rows that can still be held. */
uint64_t monitor_room(const struct monitor *);
/* So much that its run folds at once, without waiting for full blocks: many layers may fill no
 * block and still hold all the credit, many runs all the memory. */
bool monitor_holds_much(const struct monitor *, const struct member *);
/* Something of it is held no more. */
void monitor_return_credit(struct monitor *, struct member *, struct actions *);
/* A second has passed. */
void monitor_tick_credit(struct monitor *, struct member *, struct actions *);

/* ---- a rank of a job opens a run (join.c) --------------------------------------------------- */

/* The run of that id and launch that is not over for this writer, or NULL. */
struct run *monitor_run_of_launch(const struct monitor *, const char *id, const char *launch,
                                  const char *writer);
/* The event's open joins the run, or is refused; its record stays the caller's. */
void monitor_join(struct monitor *, struct run *, const struct event *, struct actions *);
/* RECORD_JOIN is on disk: who has taken a rank over is welcomed. */
void monitor_on_joined(const struct journal_entry *, struct actions *);
/* The attempt is open: all who opened it meanwhile hear of it. */
void monitor_welcome_members(struct monitor *, struct run *, double time, struct actions *);
/* The member is closed or lost. When none is open the run leaves. */
void monitor_leave(struct member *, enum member_state);

/* ---- marks that wait for those of other members (marks.c) ----------------------------------- */

/* The entry, of a run with members, is taken when what its member sent before it was. */
void monitor_take_in_turn(struct monitor *, struct journal_entry *, struct actions *);
/* Whether something waits in the member's queue, so that what comes has to wait behind it. */
bool monitor_waits(const struct member *);
/* The batch, whose credit is counted, waits in the member's queue. */
void monitor_let_wait(struct monitor *, struct member *, struct batch *);
/* Measures what all have marked, or what waited for too long. */
void monitor_cut_marks(struct monitor *, struct run *, struct actions *);
/* Forgets what waits; its batches are released. */
void monitor_drop_waiting(struct monitor *, struct member *, struct actions *);

/* ---- what a batch meets (batches.c) --------------------------------------------------------- */

void monitor_on_batch(struct monitor *, const struct event *, struct actions *);
/* Counts the batch as refused and sends the trainer a nack; it still has to be released. */
void monitor_refuse_batch(struct monitor *, struct member *, const struct batch *, struct nack *,
                          struct actions *);
/* Offers a batch, whose credit is counted, to its layer. */
void monitor_take_batch(struct monitor *, struct member *, struct batch *, struct actions *);
/* Gives back a batch that was held. */
void monitor_release_batch(struct monitor *, struct batch *, struct actions *);
/* Starts the layer's next job, if it is idle and has one. */
void monitor_start_job(struct run *, struct layer *, struct actions *);
/* Has all layers fold what they hold, without waiting for full blocks. */
void monitor_flush(struct run *, struct actions *);

/* ---- checkpoint, log, close (control.c) ----------------------------------------------------- */

void monitor_on_checkpoint(struct monitor *, const struct event *, struct actions *);
void monitor_on_log(struct monitor *, const struct event *, struct actions *);
void monitor_on_close(struct monitor *, const struct event *, struct actions *);
/* Puts the entry, whose turn it is, into the journal, and does what it says. */
void monitor_take_entry(struct journal_entry *, struct actions *);
/* Puts the marks of a checkpoint, which is in the journal, into its layers. */
void monitor_start_checkpoint(struct run *, struct journal_entry *, struct actions *);
/* Gives the record a point for each of the layers that it does not name yet. Returns 0 or -ENOMEM,
 * with nothing changed. */
int monitor_add_points(struct record *, const struct checkpoint_layer *, size_t n);
/* The first layer of a checkpoint whose totals cannot be true, or NULL. */
const char *monitor_find_false_total(const struct member *, const struct checkpoint_layer *,
                                     size_t n);
void monitor_refuse_totals(const struct member *, uint64_t seq, const char *layer,
                           struct actions *);

/* ---- what is watched (watches.c) ------------------------------------------------------------- */

/* Before a message with a step is taken: with the first one that begins the attempt, has the store
 * bring the watches of a run with a past up to that step. One whose step is implied begins nothing,
 * but in a first attempt, which has none before it, the past is known with any message. Returns 0,
 * or -1 without memory. */
int monitor_ask_past(struct run *, int64_t step, bool implied, struct actions *);
/* The watches came home with the entry, which is taken. */
void monitor_take_past(struct run *, struct journal_entry *);
/* Shows the layer's watch a point that was measured, and the run's watch a log; later, when the
 * past is not known yet. */
void monitor_watch_point(struct run *, struct layer *, struct layer_point *);
void monitor_watch_log(struct run *, struct record *log);

/* ---- what comes home from pool and store (done.c) ------------------------------------------- */

void monitor_on_job_done(struct monitor *, struct job *, struct actions *);
void monitor_on_stored(struct monitor *, struct record *, struct actions *);
