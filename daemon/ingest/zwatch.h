/* A ZeroMQ socket on a libuv loop. Owns the four watchers it takes and nothing of the socket, which
 * the caller opens, drains and closes; loop thread only. This is the one file that knows ZMQ_FD.
 *
 * ZMQ_FD is edge-triggered and shared by both directions: it may stay silent although a message
 * waits, after any send or receive. So nothing is decided in its callback. As in flux-core's
 * zwatcher:
 *
 *     prepare   before the loop blocks: a message waits? then do not block (start `idle`)
 *     poll      wakes the loop when the descriptor moves; does nothing itself
 *     check     after the loop woke: a message waits? call on_readable
 *
 * Prepare reads ZMQ_EVENTS in every turn, so also after sends made in any callback of the turn. */
#pragma once

#include <uv.h>

struct zwatch;

/* At least one message waits. The callee receives with ZMQ_DONTWAIT as many as it likes; what it
 * leaves is announced again in the next turn. */
typedef void zwatch_readable_cb(struct zwatch *);
typedef void zwatch_close_cb(struct zwatch *);

struct zwatch {
    void *data; /* the caller's */

    void *socket;
    zwatch_readable_cb *on_readable;
    zwatch_close_cb *on_closed;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_poll_t poll;
    int n_open; /* watchers not yet closed */
};

/* Starts watching; the socket must outlive zwatch_close. Returns 0 or -errno, after which nothing
 * needs closing but the loop must turn once more (uv_run) before it is closed. */
int zwatch_init(struct zwatch *, uv_loop_t *, void *socket, zwatch_readable_cb *);

/* Stops announcing, for good; what waits stays in the socket. */
void zwatch_stop(struct zwatch *);

/* Stops and closes the watchers; on_closed when the memory is the caller's again. */
void zwatch_close(struct zwatch *, zwatch_close_cb *on_closed);
