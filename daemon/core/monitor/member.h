/* One trainer that speaks for a run: its connection, its credit, and how far its control messages
 * have come. A run has one, or is opened by the ranks of a job, which are its members. Belongs to
 * the loop and to its run, which lives longer. Which peer may speak, and what a message means, is
 * decided by monitor.c and the files beside it. Tested by test_run.c.
 *
 *     AWAY ---> OPEN ---> CLOSED, LOST ---> OPEN, when its rank comes back
 *
 * The one trainer of a run without members stays OPEN: what becomes of it is the run's state. */
#pragma once

#include "daemon/core/monitor/event.h"

struct run; /* run.h */

enum member_state {
    MEMBER_OPEN,
    MEMBER_AWAY,   /* the store knows it from before the daemon's start; it has not come yet */
    MEMBER_CLOSED, /* it said its last word */
    MEMBER_LOST,   /* it went without one */
    MEMBER_STATE_COUNT,
};

struct member {
    struct list link;      /* in its run */
    struct list peer_link; /* in the monitor, by its peer */
    struct run *run;
    size_t place; /* among the members of the run, from 0: layers have its source there */
    peer_id peer; /* 0: nobody is listening */
    char *writer;
    unsigned silent_ticks;

    uint64_t durable_seq; /* everything up to here is on disk */
    uint64_t last_seq;    /* last one taken */
    uint64_t refused_seq; /* refused for the moment: later ones must wait for it; 0: none */

    uint64_t credit_bytes; /* size of the credit window */
    bool claims;           /* which counts among those of the budget */
    unsigned idle_ticks;   /* since a batch came, or the connection */
    uint64_t granted;      /* cumulative, since the connection opened */
    uint64_t granted_sent; /* the last `granted` that was sent to the peer */
    uint64_t received;
    uint64_t held_bytes; /* of its batches, queued, lent or waiting */

    /* of a run with members */
    uint32_t rank;
    enum member_state state;
    unsigned epoch;      /* writers before this one */
    bool joined;         /* the store knows, or is told by the journal, that this writer came */
    bool takes_over;     /* another writer has the rank on disk: this one is not welcomed before */
    bool was_welcomed;   /* this writer, before the run was here: it named the attempt */
    bool is_fenced;      /* the peer that is bound is such a one, and the store has another */
    bool expected;       /* marks of others wait for its own */
    int64_t last_step;   /* of its last mark that was taken; -1: none */
    struct list waiting; /* of struct queued, batches and entries: from its first mark on that waits
                            for others */
    uint64_t waiting_bytes;
};

/* Returns it (free with member_free), in no list, or NULL. */
struct member *member_new(struct run *, const char *writer, peer_id);
/* The only way from one state to another. */
void member_move(struct member *, enum member_state);
/* Takes it, whose queue is empty, out of its lists. NULL is fine. */
void member_free(struct member *);

/* Starts the credit of a new connection; what is held is still in use. */
void member_start_credit(struct member *);
/* Grants what a window of that size has room for, beyond what was granted before, and sends it to
 * the peer when enough has come together. */
void member_grant(struct member *, uint64_t window_bytes, struct actions *);
/* Sends the peer the credit that it does not know yet. */
void member_send_credit(struct member *, struct actions *);
