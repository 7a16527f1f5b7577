/* What a relay has sent, on its way into this store: a task for the store's lane. The loop makes
 * it, lends it to the lane and reads the outcome when it is done; in between the lane alone touches
 * it. All of a batch is stored in one transaction with the place that the relay has reached, so a
 * batch that comes again changes nothing. What another daemon says is checked as a trainer's word
 * is. RELAY.md, has the messages and the rules of merging.
 *
 *     take.c      the task: begins a relay, or stores its batch and the place
 *     take_rows.c makes rows of the bytes, and checks each cell
 *     take_runs.c says which of the runs it may write, and numbers their attempts
 *
 * Tested with its files by tests/e2e/relay/test_a_relay_forwards_what_it_has.py and
 * test_relays_are_not_trusted.py. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/store/lane.h"
#include "proto/cbor.h"
#include "proto/control.h"

/* A path of more stores than fit into a text is refused: seven. */
#define RELAY_PATH_SIZE (TEXT_MAX + 1)

struct take;

/* Who writes: a relay's message as it came, and what its key may do. `projects` NULL: everything.
 */
struct take_request {
    uint64_t peer; /* the asker's own */
    void *owner;   /* so is this */
    const char *source, *session;
    bool again;
    int64_t batch; /* 0: it begins, and asks where it is */
    int64_t feed_seq;
    const char *projects;
    const char *path; /* of the stores behind this one; "": there are none */
    const void *data; /* the batch's rows */
    size_t size;
};

/* Copies what it is given. Returns the take (free with take_free), or NULL. */
struct take *take_new(const struct take_request *);
void take_free(struct take *);

/* For the store's lane; `done` is the asker's, who gets the take back by take_of(). */
struct store_task *take_task(struct take *);
struct take *take_of(struct store_task *);
uint64_t take_peer(const struct take *);
void *take_owner(const struct take *);
size_t take_size(const struct take *);

/* When it is done. Where the task has failed with -ESTALE another relay has the source, and with
 * -EPROTO the batch makes no sense. Else the place, whose texts are borrowed, and when it began the
 * runs that it has described: an array of ids and revisions in CBOR. */
struct control_place take_place(const struct take *);
const struct cbor *take_runs_known(const struct take *);
/* Of the store, behind it. */
uint64_t take_feed_seq(const struct take *);
