/* One attempt of one run while its trainer is connected: layers, the members that speak for it, and
 * the journal of control messages that wait to become durable. Belongs to the loop; a record is out
 * with the store's lane between lending and EV_STORED. monitor.c, open.c and control.c decide which
 * peer may do what.
 *
 *     OPENING ---> OPEN ---> LEAVING ---> gone, when nothing is promised any more
 *        |         |  <---   |
 *        |         |         |
 *        +---------+---------+---> OVER ---> gone, when its jobs and records are home
 *
 *     OPENING to OPEN     the store has written the attempt
 *     OPEN to LEAVING     the trainer closed, or was silent for too long
 *     LEAVING to OPEN     it came back before the store was told that it is lost
 *     any to OVER         the store refused the attempt, or a newer one was opened
 *
 * The journal keeps the order of the trainer's sequence numbers: an entry is lent to the store when
 * it and all before it are ready (a checkpoint: all its layers are measured), so whatever is on
 * disk is a prefix, and a member's `durable_seq` says which. */
#pragma once

#include "daemon/core/monitor/claims.h"
#include "daemon/core/monitor/member.h"

enum run_state {
    RUN_OPENING,
    RUN_OPEN,
    RUN_LEAVING,
    RUN_OVER,
    RUN_STATE_COUNT,
};

/* How far the watches of a run are.
 *
 *     HAS_PAST ---> ASKED_PAST ---> WATCHES
 *
 * A run without a past, or that watches nothing, begins with the last. */
enum run_watching {
    RUN_HAS_PAST,   /* points or scalars of it were stored, which they have not seen */
    RUN_ASKED_PAST, /* the store shows it to them */
    RUN_WATCHES,    /* they see what comes */
};

/* A control message on its way to the disk. */
struct journal_entry {
    struct list link; /* in the journal; in no list while it waits in its member's queue */
    struct queued waiting;
    struct run *run;
    struct member *member; /* who sent it, or went without a word; NULL: the run asks */
    struct record *record;
    struct mark *marks;    /* one a point of the record */
    struct claims *claims; /* CHECKPOINT of a member: what its points are made of */
    size_t size_bytes;     /* as it was counted */
    size_t n_pending;      /* marks not yet measured */
    bool lent;
    uint64_t number;        /* of those that the journal has had, from 1 */
    bool asks_spectrum;     /* CHECKPOINT */
    uint64_t ranks_missing; /* CHECKPOINT: ranks that have not marked it; 0 without members */
    uint64_t came_at_tick;  /* of the run */
};

struct run {
    struct list link; /* in the monitor */
    char id[RUN_ID_MAX + 1];
    struct list members; /* at least one, who opened it, comes first */
    size_t n_members;
    char *project;        /* as its opener named it; NULL: it did not */
    char *launch;         /* the start of the job whose ranks they are; NULL: there is one */
    uint32_t world;       /* ranks of the job; 0 without a launch */
    bool waits_for_world; /* marks wait for ranks that never came, too */
    bool has_cut;         /* a step was marked by members, the last one */
    int64_t cut_step;
    size_t n_waiting; /* entries in the members' queues */
    size_t waiting_bytes;
    uint64_t n_ticks;
    enum run_state state;
    int64_t run_key;
    uint32_t attempt;
    bool is_older; /* a newer attempt is there, which this replay does not end, nor is ended by */
    struct window window;
    struct projector projector;
    struct spectrum_policy spectrum;
    struct watch_list watched;
    enum run_watching watching;
    struct watch *scalar_watch;
    bool has_probe;         /* each window of a layer has the same rows */
    uint32_t follows_p;     /* of layers with more features a spectrum follows its point */
    uint64_t n_checkpoints; /* taken while the run is here, as the policy counts them */
    struct list layers;
    size_t n_layers;
    size_t n_jobs; /* out with the pool */

    struct list journal; /* of journal_entry */
    size_t n_journal;
    uint64_t n_entries; /* that it has had */
    size_t journal_bytes;
    size_t n_lent;    /* records out with the store */
    bool store_waits; /* the store could not write: lend again at the next tick */
    bool has_last_step;
    int64_t last_step;
};

/* An opening run with its first member, which borrows nothing from `open`. Returns it (free with
 * run_free), or NULL. */
struct run *run_new(const struct record *open, struct window window, peer_id peer);
/* The only way from one state to another; a move that the drawing does not have is a bug. */
void run_move(struct run *, enum run_state);
/* Frees a run that has no job and no record out, its layers and its journal. NULL is fine. */
void run_free(struct run *);

/* Opens the run with what the store answered: layers with their probes, sequence numbers. Returns
 * 0, or -ENOMEM, with the run still opening. */
int run_take_stored(struct run *, struct open_result *);

/* The member that opened it. */
struct member *run_opener(const struct run *);
/* The member of that rank, or NULL. */
struct member *run_member(const struct run *, uint32_t rank);
/* Returns the new member, with a source in each layer, or NULL. */
struct member *run_add_member(struct run *, uint32_t rank, const char *writer, peer_id);
/* The member begins again as another writer: nothing of it came yet. Returns 0 or -ENOMEM,
 * with nothing changed. */
int run_renew_member(struct run *, struct member *, const char *writer);
struct layer *run_layer(const struct run *, const char *name);
/* Returns the new layer, or NULL. */
struct layer *run_add_layer(struct run *, const char *name, uint32_t p, uint32_t c);

/* Bytes of rows that are queued or lent. */
uint64_t run_held_bytes(const struct run *);

/* An entry of that member in no list; it takes the record, and room for `n_marks` marks is made.
 * Returns it, or NULL (the record is then still the caller's). */
struct journal_entry *run_new_entry(struct run *, struct member *, struct record *, size_t n_marks);
/* The memory that it takes, with its record as it is. */
size_t run_entry_bytes(const struct journal_entry *);
/* Frees an entry in no list, without its record. */
void run_free_entry(struct journal_entry *);
/* Puts it at the journal's end. */
void run_append_entry(struct run *, struct journal_entry *);
/* Puts it behind the entry of that number, before all that came after. */
void run_put_behind(struct run *, struct journal_entry *, uint64_t number);
/* Both in one. */
struct journal_entry *run_add_entry(struct run *, struct member *, struct record *, size_t n_marks);
/* Lends the store what is ready at the journal's head, unless records of this run are out already.
 */
void run_store_ready(struct run *, struct actions *);
/* Removes an entry; the caller has taken its record. */
void run_remove_entry(struct run *, struct journal_entry *);

/* No job and no record is out. */
bool run_is_quiet(const struct run *);
/* Nothing that was promised is pending: no mark waits, no entry, and the run is quiet. */
bool run_is_settled(const struct run *);
