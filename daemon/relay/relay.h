/* A daemon that stands between trainers and another daemon: its trainers are served here, and what
 * its store has committed goes on to the one behind it (`--upstream`), by a thread of its own and
 * exactly once. Acknowledgements, questions and the page stay with the store, which is the spool:
 * another side that is away for days costs nothing but lag. The loop opens and closes a relay and
 * asks for its state; nothing here blocks it.
 *
 *     relay.c   the thread: when it connects, sends and waits, and what a failure means
 *     link.c    the connection, and the messages on it
 *     batch.c   what the store has committed, as a batch
 *     take.c    the other end: a batch that has come, into the store of the daemon behind
 *
 * RELAY.md, has the messages.
 *
 * Tested with its files by tests/e2e/relay/test_a_relay_forwards_what_it_has.py. */
#pragma once

#include <stdint.h>

#include "daemon/relay/take.h"
#include "proto/base/err.h"

struct relay;
struct store;

/* What is known of it, for server.status. */
struct relay_status {
    char server[160];    /* its address */
    char problem[512];   /* one sentence; "": none */
    double behind_since; /* seconds since 1970: since then something has waited; 0: nothing waits */
    int64_t n_waiting;   /* points, values and events that wait */
};

/* Whether trainers could connect to such an address. Returns 0 or -EINVAL. */
int relay_check(const char *address, struct err *err);

/* What a relay needs of the loop; all is borrowed until it is closed. */
struct relay_config {
    const char *address;
    const char *keys;          /* the file of those for the address; NULL: the user's */
    const char *path;          /* of the store */
    const struct store *store; /* that has it open */
};

/* Starts the thread. `*out` is to be closed after a failure, too. Returns 0 (end with relay_close),
 * -ENOMEM, -EAGAIN without a thread, or -errno of the store. */
int relay_open(const struct relay_config *, struct relay **out, struct err *err);

/* Ends the thread: what was not sent yet is at the next start. Blocks for some milliseconds. NULL
 * is fine. */
void relay_close(struct relay *);

void relay_status(struct relay *, struct relay_status *out);
/* The stores behind this one, as the one behind it has told; "" while that is not known, and of
 * NULL. */
void relay_path(struct relay *, char out[RELAY_PATH_SIZE]);
