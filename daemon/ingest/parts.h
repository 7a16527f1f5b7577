/* What the files of ingest share: the socket with its peers (ingest.c), the texts that go out
 * (answers.c), and the two kinds of message that come in (control.c, data.c).
 * Loop thread. What a message means is left to the core. */
#pragma once

#include <zmq.h>

#include "daemon/host/log.h"
#include "daemon/ingest/ingest.h"
#include "daemon/ingest/zwatch.h"
#include "proto/wire.h"

/* A routing id that libzmq made: a zero byte and 32 bits. Peers that chose their own are refused.
 */
#define ROUTING_ID_SIZE 5
/* Peers found dead between two reports; more wait for their next failing answer. */
#define MAX_GONE 64

struct ingest {
    void *context;
    void *socket;
    struct zwatch watch;
    ingest_event_cb *on_event;
    void *arg;
    char endpoint[256];
    uint64_t n_refused;
    peer_id gone[MAX_GONE];
    size_t n_gone;
    struct log_limit limit;
    bool stopped;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

/* A message as it came, behind its routing id. */
struct message {
    zmq_msg_t frames[WIRE_FRAMES_MAX];
    size_t n_frames;
    bool too_many; /* frames beyond those were discarded */
};

/* Why a message is refused that found no memory. */
extern const struct err ingest_no_memory;

/* Seconds since 1970. */
double ingest_clock(void);
/* Completes the event and hands it to the core. */
void ingest_emit(struct ingest *, struct event *, enum event_type, peer_id);

/* Takes the text (NULL: memory ran out). A peer that cannot be sent to is noted as gone. */
void ingest_send_text(struct ingest *, peer_id, char *text);
/* Refuses a message that the core never sees; of a batch, the text names layer and number. */
void ingest_refuse(struct ingest *, peer_id, const char *code, const struct err *why,
                   const struct wire_batch *);

/* Each borrows the message; that of data may take its frames. */
void ingest_take_control(struct ingest *, peer_id, struct message *);
void ingest_take_data(struct ingest *, peer_id, struct message *);
