/* The background thread and its socket: finds the daemon, connects, carries the session's messages
 * out and the daemon's in, and begins again when the connection fails. It owns the ZeroMQ context;
 * it shares the session with the program's threads under `lock`, which is never held across a call
 * that can wait. The session decides what is sent, kept or dropped. Tested by test_client.c. */
#pragma once

#include <pthread.h>

#include "client/c/session.h"
#include "client/common/endpoints.h"

/* What the program's threads and the sender share; it outlives the sender. */
struct shared {
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a ticket may have been settled, or never will; CLOCK_MONOTONIC */
    struct session *session;
};

struct sender;

/* Starts the thread. Borrows both until sender_stop. Returns NULL with the reason in `err`. */
struct sender *sender_start(struct shared *shared, struct endpoints *endpoints, struct err *err);

/* Something was queued. Any thread; never waits. */
void sender_wake(struct sender *);

/* Ends the thread and frees all; what libzmq has not sent is lost. Takes milliseconds. NULL is
 * fine. */
void sender_stop(struct sender *);
