/* The inside of http, shared by its files: listen.c has the socket, http.c hands each
 * request to its place; reply.c answers requests, api.c those that the feed answers,
 * socket.c speaks FEED.md over a WebSocket. Loop thread only.
 *
 * libwebsockets calls back when something came or may be written, and takes one lws_write a call.
 * A peer is ours for one request or one WebSocket; it hangs on the connection (lws calls it wsi)
 * from the request's first callback until it is answered or cut. */
#pragma once

#include <libwebsockets.h>

#include "daemon/feed/outbox.h"
#include "daemon/http/access.h"
#include "daemon/http/asset.h"
#include "daemon/http/head.h"
#include "daemon/http/http.h"

/* One lws_write: what a loopback socket takes at once, small enough to copy when it does not. */
#define HTTP_PIECE 65536
/* The longest path, query or header that is looked at. */
#define HTTP_TEXT_MAX 2048
/* A reader that takes nothing for so long is cut (proto/HTTP.md, Limits). */
#define HTTP_STALL_TICKS 30
/* As long for a WebSocket to say its token. */
#define HTTP_TOKEN_TICKS 10

/* The subprotocol of a WebSocket that says its token first, as browsers cannot set headers. */
#define HTTP_TOKEN_PROTOCOL "richd.token"

struct http {
    bool (*is_ready)(void *arg);
    void *ready_arg;
    char own[80];     /* ADDRESS:PORT as it was asked for */
    char address[96]; /* "http://ADDRESS:PORT", with the real port */
    struct feedhub *hub;
    struct http_access *access;
    struct lws_context *context;
    uv_poll_t *listener; /* lws' own, borrowed until http_listen_close */
    bool is_resting;     /* the listener is stopped until the next tick */
    struct list peers;
    unsigned char scratch[LWS_PRE + HTTP_PIECE];
};

enum http_peer_kind {
    HTTP_ANSWER, /* one response with an end */
    HTTP_SOCKET, /* a WebSocket */
};

struct http_peer {
    struct list link;
    struct http *http;
    struct lws *wsi;
    enum http_peer_kind kind;
    struct feed_client *client; /* NULL: nothing is asked of the feed */
    struct outbox out;
    unsigned ticks; /* since it came, while it awaits a token or streams */

    /* HTTP_ANSWER */
    struct http_head head;
    bool is_head;  /* the method: no body is sent */
    bool answered; /* the head is complete, writing may begin */
    bool head_is_sent;
    char etag[32];
    const unsigned char *body; /* constant data, which is sent in place of `out` */
    size_t body_left;

    /* HTTP_SOCKET */
    char *message; /* assembled so far */
    size_t message_size, message_capacity;
    bool is_whole;     /* `message` waits for its turn */
    bool busy;         /* a request is being answered */
    bool in_next;      /* next_message() is on the stack */
    bool awaits_token; /* the first message has to bring one */
    bool cut;          /* close when the output is written */
};

/* Hangs a new peer on the connection. NULL when memory ran out. */
struct http_peer *http_peer_new(struct http *, struct lws *, enum http_peer_kind);
/* Takes it off and frees it; later callbacks of the connection find none. NULL is fine. */
void http_peer_free(struct http_peer *);
static inline struct http_peer *http_peer_of(struct lws *wsi)
{
    return (struct http_peer *)lws_get_opaque_user_data(wsi);
}
/* Cuts the connection when the loop turns, and with it the peer. */
void http_peer_cut(struct http_peer *);

/* ---- listen.c
 * ------------------------------------------------------------------------------- */

/* Starts libwebsockets on the loop, listening at `own`. Returns 0 or -errno. */
int http_listen(struct http *, uv_loop_t *, const struct lws_protocols *, struct err *e);
void http_listen_tick(struct http *);
void http_listen_close(struct http *);

/* ---- http.c: what a request says ----------------------------------------------------------------
 */

/* A header's text in `out` (HTTP_TEXT_MAX bytes): 1, 0 when it is absent, -1 when it is too long.
 */
int http_header(struct lws *wsi, enum lws_token_indexes, char *out);
/* Host, Origin and, where `needs_token`, the token: HTTP_OK or the status to refuse with. */
enum http_code http_check(struct http *, struct lws *wsi, bool needs_token, struct err *e);

/* ---- reply.c
 * -------------------------------------------------------------------------------- */
/* All return what the callback of libwebsockets is to return: 0, or -1 to end the connection. */

/* LWS_CALLBACK_HTTP: a request with its path. */
int http_reply_request(struct http *, struct lws *wsi, const char *path);
/* LWS_CALLBACK_HTTP_WRITEABLE */
int http_reply_write(struct http_peer *);
/* A refusal at once, with a sentence. */
int http_reply_refuse(struct http *, struct lws *wsi, enum http_code, const struct err *why);
/* A peer for the request at hand, not answered yet. NULL when memory ran out. */
struct http_peer *http_reply_new(struct http *, struct lws *wsi);

/* ---- api.c
 * ---------------------------------------------------------------------------------- */

/* A request for /api/v1 or /metrics, or for nothing that exists. */
int http_api_request(struct http *, struct lws *wsi, const char *path);
/* Something of a peer's output was taken. */
void http_api_drained(struct http_peer *);
/* A second has passed; for all peers that are HTTP_ANSWER. */
void http_api_tick(struct http_peer *);

/* ---- socket.c
 * ------------------------------------------------------------------------------- */

/* Whether the request for an upgrade is granted: 0, or 1 when it was answered by a refusal. */
int http_socket_confirm(struct http *, struct lws *wsi, const char *upgrade);
int http_socket_open(struct http *, struct lws *wsi);
int http_socket_receive(struct http_peer *, const char *data, size_t size);
int http_socket_write(struct http_peer *);
void http_socket_tick(struct http_peer *);
