/* The inside of a session, for session.c (what the program gives) and conversation.c (what the
 * daemon hears and says) alone. Tested with its files by test_session.c. */
#pragma once

#include "client/c/session.h"

/* What a layer was offered in this attempt, dropped rows included. */
struct offered_layer {
    char name[LAYER_NAME_MAX + 1];
    uint64_t seq;
    uint64_t rows;
};

struct session {
    enum session_state state;
    struct control open; /* as the program gave it; only the attempt changes */
    char host[TEXT_MAX + 1];
    int64_t pid;

    struct list urgent; /* hello, open, ping: before everything else, never kept */
    struct list queue;  /* batches and marks, in the order they were given */
    struct list kept;   /* marks that were sent and have no ack yet */

    struct offered_layer *layers;
    size_t n_layers;
    int64_t last_seq; /* of the marks */
    size_t n_marks;   /* in queue and kept */
    size_t mark_bytes;

    uint64_t granted; /* of this connection */
    uint64_t sent_bytes;
    int64_t blocked_since; /* a batch waits for credit; -1: none does */
    int64_t heard_at;
    int64_t hello_at; /* when hello was said */
    int64_t pinged_at;
    int64_t ping_id;
    int64_t resend_at; /* -1: nothing to be sent again */
    int64_t retry_at;
    int64_t away_since; /* the run is not open at the daemon; -1: it is, or nobody has looked */
    bool was_open;
    bool is_absent;

    int ended;
    char complaint[ERR_TEXT_SIZE];
    struct richd_stats stats;
};

/* Settles the ticket of a queued message with `rc`, takes it out of its list and lets go of it. */
void session_discard(struct item *item, int rc);
void session_discard_all(struct list *items, int rc);

void session_count_drop(struct session *, uint32_t n_rows);
