/* What the files of ingest share. Calls go one way: ingest.c receives a message, control.c or
 * data.c makes an event of it, answers.c sends what leaves: events to the core, answers to
 * trainers. Loop thread. The core decides what a message means. Tested with its files by
 * test_ingest.c, and end to end by test_malformed_messages_do_no_harm.py. */
#pragma once

#include <zmq.h>

#include "daemon/host/log.h"
#include "daemon/ingest/authorised.h"
#include "daemon/ingest/gate.h"
#include "daemon/ingest/ingest.h"
#include "daemon/ingest/zap.h"
#include "daemon/ingest/zwatch.h"
#include "proto/wire.h"

/* A routing id that libzmq made: a zero byte and 32 bits. Peers that chose their own are refused.
 */
#define ROUTING_ID_SIZE 5
/* Peers have numbers in order, so as many as there can be descriptors have places of their own,
 * unless one stays while twice as many come and go: its place is its own again with its next
 * message.
 */
#define PEER_PLACES 131072
/* Peers found dead between two reports; more wait for their next failing answer. */
#define MAX_GONE 64

/* The descriptor of a peer's connection. */
struct place {
    peer_id peer;
    int fd;
    bool has_key;  /* it came over a network */
    bool is_relay; /* the core does not know it */
};

struct ingest {
    void *context;
    void *socket;
    struct zwatch watch;
    struct place *places; /* PEER_PLACES, by number */
    ingest_event_cb *on_event;
    ingest_relay_cb *on_relay;
    void *arg;
    char endpoint[256];
    struct listen network;
    struct authorised *authorised; /* NULL: no network is listened on */
    struct zap zap;
    const char *feed, *page; /* as ingest_tell had them; NULL: not told */
    uint64_t n_refused;
    peer_id gone[MAX_GONE];
    size_t n_gone;
    struct gate_counts counts; /* as they were told */
    size_t most_connected;     /* trainers, since memory was given back */
    bool was_cut;              /* one, since then */
    struct log_limit limit, strangers;
    uint64_t n_nameless; /* connections of a network that were told to have shown no key */
    bool stopped;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

/* A message as it came, behind its routing id. */
struct incoming {
    zmq_msg_t frames[WIRE_FRAMES_MAX];
    size_t n_frames;
    bool too_many;                    /* frames beyond those were discarded */
    uint64_t bytes;                   /* on the connection, all frames and their headers */
    int fd;                           /* of the connection; -1: not known */
    const char *key;                  /* its sender's, over a network; NULL: it needs none */
    const struct authorised_key *who; /* whose that is; NULL: nobody's */
};

#define OUT_OF_MEMORY "the daemon is out of memory"

/* Completes the event and hands it to the core. */
void ingest_emit(struct ingest *, struct event *, enum event_type, peer_id);

/* What ZMTP makes of a frame of that size: its header has 2 bytes for up to 255, else 9. A box of
 * CURVE has more around the bytes that it hides: a name, a nonce, a check and flags. */
#define CURVE_BOX_BYTES 33
size_t ingest_frame_bytes(size_t size, bool has_key);

/* Hands on what a relay says. Returns 0, or -1 when it is to be refused. */
int ingest_take_relay(struct ingest *, peer_id, const struct control *, struct incoming *,
                      struct nack *);

/* Takes the text (NULL: memory ran out). A peer that cannot be sent to is noted as gone. */
void ingest_send_text(struct ingest *, peer_id, char *text);
/* The same with a second frame, unless that is NULL. */
void ingest_send_pair(struct ingest *, peer_id, char *text, const struct cbor *second);
/* Refuses a message that the core never sees. */
void ingest_refuse(struct ingest *, peer_id, const struct nack *);

/* Each borrows the message; that of data may take its frames. */
void ingest_take_control(struct ingest *, peer_id, struct incoming *);
void ingest_take_data(struct ingest *, peer_id, struct incoming *);
