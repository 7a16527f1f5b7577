/* Who is let in by CURVE: libzmq asks us at each handshake, by the protocol ZAP (RFC 27), on a
 * socket inside the process. Owns that socket; loop thread. authorised.h knows the keys. A question
 * waits while the loop is busy, and libzmq's thread goes on meanwhile; one that is not answered in
 * ZMQ_HANDSHAKE_IVL ends with its connection. */
#pragma once

#include <uv.h>

#include "daemon/host/log.h"
#include "daemon/ingest/authorised.h"
#include "daemon/ingest/zwatch.h"

/* Sockets of this domain ask. With the option, libzmq lets nobody in where no one answers: zmq.h of
 * 4.3 has it among its drafts, and the library always. */
#define ZAP_DOMAIN         "richd"
#define ZAP_ENFORCE_DOMAIN 93
/* By this property a message tells its sender's key, as text. */
#define ZAP_KEY_PROPERTY "User-Id"

struct zap {
    void *socket;
    struct zwatch watch;
    const struct authorised *authorised;
    struct log_limit limit;
    uint64_t n_refused; /* keys */
};

/* Answers from now on, for the sockets of the context. Borrows the keys. Returns 0 or -errno, after
 * which there is nothing to close. */
int zap_open(struct zap *, uv_loop_t *, void *context, const struct authorised *);
/* Answers no more. */
void zap_stop(struct zap *);
/* Closes the socket, whose watch is closed (zwatch_close), or was never made. */
void zap_release(struct zap *);
