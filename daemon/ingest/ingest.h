/* The trainers' side: the ROUTER socket, and the translation between INGEST.md's messages and the
 * core's events and actions. Owns the socket, and each batch's frames until ingest_release; loop
 * thread only. Hello and ping are answered here, everything else is the core's decision.
 *
 * The way through:
 *
 *     gate.c     lets the connection through to libzmq, and what it sends
 *     zap.c      says whether a key that comes over a network is known (authorised.c)
 *     zwatch.c   says that a message waits
 *     ingest.c   receives it and numbers its peer; a first byte of '{' means control, else data
 *     control.c  reads JSON: hello and ping are answered; open, checkpoint, log, summary, config,
 *                close are events
 *     data.c     reads frames: one event for each layer's batch, which borrows the frames
 *     relay.c    hands on what a relay says, which is no event of the core's
 *     answers.c  hands the event to the core, and later sends the core's answers
 *
 * What fails: a message that cannot be read is refused with a sentence (ingest_refuse) and counted;
 * a message without memory is refused as busy, and the trainer sends it again; a peer that takes no
 * answers is noted, and reported by ingest_tick; a connection for which there is no descriptor, and
 * a trainer whose message has no end, are refused by gate.c, and told by ingest_tick. */
#pragma once

#include <uv.h>

#include "daemon/core/monitor/event.h"
#include "daemon/host/listen.h"
#include "daemon/relay/take.h"
#include "proto/curve/keyfile.h"

struct ingest;

/* One event, to be stepped at once. What the event gives away, the callee takes. */
typedef void ingest_event_cb(void *arg, const struct event *);

/* A relay's message. 0: it is taken, and will be answered by ingest_send_place() or a nack; or -1
 * with the nack. Borrows all of it. */
typedef int ingest_relay_cb(void *arg, const struct take_request *, struct nack *);

struct ingest_config {
    ingest_event_cb *on_event;
    ingest_relay_cb *on_relay; /* NULL: relays are not known */
    void *arg;
    uint64_t waiting_bytes_max; /* in libzmq, of all trainers and for them; beyond, one is cut */
    const struct listen
        *listen; /* its addresses of the network are bound, too; NULL: there is none */
    const struct keyfile *key; /* the daemon's own, for these */
    const char *authorised;    /* the file of those who may connect there */
};

/* Binds `endpoint`, which asks for no key, and starts listening. Returns 0 with the ingest (free by
 * ingest_close), or -errno with the endpoint and the reason in `err`. */
int ingest_open(uv_loop_t *, const char *endpoint, const struct ingest_config *,
                struct ingest **out, struct err *err);

/* What hello tells a trainer of the daemon's other doors: its feed, and the page with the token for
 * readers, "" while there is none. The page is told over a path alone, whose directory decides who
 * comes in, and not over TCP. Borrows both until it is closed. */
void ingest_tell(struct ingest *, const char *feed, const char *page);

/* The address to connect to: with the real port where 0 was asked for. */
const char *ingest_endpoint(const struct ingest *);

/* The same of the network's addresses, NULL where there is none. Borrowed. */
const struct listen *ingest_network(const struct ingest *);

/* Reads the file of those who may connect once more, changed or not. A trainer whose key is no
 * longer there is cut off at its next message. */
void ingest_read_keys(struct ingest *);

/* A second has passed: reads that file where it has changed, emits EV_GONE for peers whose answers
 * could not be sent since the last call, and logs whom the gate refused. */
void ingest_tick(struct ingest *);

/* Messages that were refused before the core saw them. */
uint64_t ingest_n_refused(const struct ingest *);

/* Takes no more messages; answers can still be sent. */
void ingest_stop(struct ingest *);

/* Closes everything; batches must have been released. The loop has to turn until `on_closed`. */
void ingest_close(struct ingest *, void (*on_closed)(void *arg), void *arg);

/* Answers. A peer that is gone or takes nothing is not waited for: at-least-once delivery is the
 * trainer's part, which sends again what was not acknowledged. */
void ingest_send_welcome(struct ingest *, peer_id, const struct welcome *);
void ingest_send_progress(struct ingest *, peer_id, uint64_t granted);
void ingest_send_ack(struct ingest *, peer_id, uint64_t seq);
/* To the peer, or to those of the record's senders where it has some; 0 gets none. With the points,
 * when the record is a checkpoint. */
void ingest_send_record_acks(struct ingest *, peer_id, const struct record *);
void ingest_send_nack(struct ingest *, peer_id, const struct nack *);
/* To a relay; behind it `known`, unless that is NULL. */
void ingest_send_place(struct ingest *, peer_id, const struct control_place *,
                       const struct cbor *known);

/* The batch's frames are no longer needed; frees it. */
void ingest_release(struct batch *);
