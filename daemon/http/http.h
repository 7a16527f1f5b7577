/* The daemon over HTTP (proto/HTTP.md): the page, the feed as a WebSocket, the history as JSON and
 * CSV, server-sent events, metrics (parts.h has the way through the room). Owns the listening
 * socket and what hangs on it, all of it libwebsockets' on our loop; loop thread only. The feed
 * (hub.h) knows what a request means: here paths become its methods. */
#pragma once

#include <uv.h>

#include "daemon/feed/hub.h"

struct http;

struct http_config {
    const char *address;     /* "ADDRESS:PORT"; port 0: a free one */
    const char *hosts;       /* names beside the loopback's; NULL: none */
    const char *token_file;  /* NULL: nobody has one */
    const char *state_dir;   /* where the tokens lie that people were given; NULL: nowhere */
    const char *proxies;     /* as proxies.h reads them; NULL: none */
    const char *certificate; /* PEM files for TLS; NULL: it is not spoken */
    const char *key;
    bool reads_freely; /* a token is asked of those alone who write */
    bool may_move;     /* to a free port when another program has this one */
    /* Whether the daemon takes work: the answer of /readyz. */
    bool (*is_ready)(void *arg);
    void *arg;
};

/* Listens. Returns 0, or -errno; `*out` is to be closed and freed in both cases, unless NULL. */
int http_open(uv_loop_t *, const struct http_config *, struct feedhub *, struct http **out,
              struct err *err);

/* Other names and tokens, as `hosts`, `token_file` and `reads_freely` say, or the same file read
 * again. Where tokens are asked for, WebSockets and streams are cut: a reader that still may
 * connects again. The certificate is read
 * again. Returns 0, or -errno and names and tokens stay as they were. */
int http_set_access(struct http *, const struct http_config *, struct err *err);

/* "http://ADDRESS:PORT", with the real port, or "https://NAME:PORT", with the first of `hosts` or
 * else of the certificate; NULL when http_open has failed. */
const char *http_address(const struct http *);

/* As certificate.h says; without TLS there is no problem, and 0. */
void http_certificate_problem(const struct http *, double now, struct err *problem);
double http_certificate_expires(const struct http *);

/* A second has passed: cuts off readers that take nothing. */
void http_tick(struct http *);

/* Cuts all connections and closes the socket; the loop has to turn until its handles are gone. */
void http_close(struct http *);
/* After http_close, when the loop has no handles left. NULL is fine. */
void http_free(struct http *);
