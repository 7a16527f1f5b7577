/* One trainer that speaks for a run: its connection, its credit, and how far its control messages
 * have come. Belongs to the loop and to its run, which lives longer. Which peer may speak, and what
 * a message means, is decided by monitor.c and the files beside it. Tested by test_run.c. */
#pragma once

#include "daemon/core/monitor/event.h"

struct run; /* run.h */

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
    uint64_t granted;      /* cumulative, since the connection opened */
    uint64_t granted_sent; /* the last `granted` that was sent to the peer */
    uint64_t received;
    uint64_t held_bytes; /* of its batches, queued or lent */
};

/* Returns it (free with member_free), in no list, or NULL. */
struct member *member_new(struct run *, const char *writer, peer_id);
/* Takes it out of its lists. NULL is fine. */
void member_free(struct member *);

/* Starts the credit of a new connection; what is held is still in use. */
void member_start_credit(struct member *);
/* Returns credit, and sends it to the peer when enough has come together. */
void member_return_credit(struct member *, uint64_t bytes, struct actions *);
/* Sends the peer the credit that it does not know yet. */
void member_send_credit(struct member *, struct actions *);
