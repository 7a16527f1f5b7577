/* The connections of the feed's socket: lines in, one request of each at a time, and lines out.
 * Owns their buffers and streams; loop thread only. hub.h knows what a line means, and socket.h
 * listens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "daemon/feed/hub.h"
#include "proto/base/list.h"

/* What comes beyond is answered that it is too many, and closed (proto/FEED.md, Limits). Fewer,
 * where the process may have few descriptors. */
#define CONNECTIONS_MAX 1024

/* A UNIX or a TCP socket. */
union feed_stream {
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
};
int feed_stream_init(uv_loop_t *, bool is_pipe, union feed_stream *);

/* Those of one socket. The owner fills in the members above `list`, and
 * calls list_init for it. */
struct connections {
    uv_loop_t *loop;
    bool is_pipe;
    struct feedhub *hub;
    size_t max;
    void (*on_gone)(void *arg); /* one of them is freed */
    void *arg;
    struct list list;
    size_t n;
};

/* One waits at the server. */
void connections_accept(struct connections *, uv_stream_t *server);
/* A second has passed: cuts off readers that take nothing. */
void connections_tick(struct connections *);
/* Closes all; `n` is 0 when they are gone. */
void connections_close(struct connections *);
