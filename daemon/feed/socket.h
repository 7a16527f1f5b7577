/* The feed's socket: JSON lines over a UNIX or loopback TCP socket. Owns the listening socket and
 * the connections: line buffers in, write queue out, limits and time-outs; loop thread only. hub.h
 * knows what a line means. */
#pragma once

#include <uv.h>

#include "daemon/feed/hub.h"

struct feedsock;

/* Listens on "unix:PATH" (mode 0600; a socket left behind is replaced, after
 * lock_check_socket) or "tcp:ADDRESS:PORT". Returns 0 with the socket (free by
 * feedsock_close), or -errno. */
int feedsock_open(uv_loop_t *, const char *address, struct feedhub *, struct feedsock **out,
                  struct err *err);

/* The address to connect to, with the real port. */
const char *feedsock_address(const struct feedsock *);

/* A second has passed: cuts off readers that take nothing. */
void feedsock_tick(struct feedsock *);

/* Closes all connections and the socket; the loop has to turn until `on_closed`. */
void feedsock_close(struct feedsock *, void (*on_closed)(void *arg), void *arg);
