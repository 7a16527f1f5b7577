/* The inside of http, shared by its files. Loop thread only.
 *
 * The way of a request:
 *
 *     listen.c    accepts the connection and gives it to libwebsockets (lws), which reads the head
 *     http.c      is called back by lws, and hands the request on
 *     requests.c  reads what the head says, and asks access.c whether it may be answered
 *     api.c       asks the feed what the path means (route.c); words.c writes the answer down
 *     socket.c    speaks FEED.md over a WebSocket: a message in, a question; a line out, a frame
 *     reply.c     writes an answer, piece by piece, as the socket takes it
 *     peers.c     makes a peer and frees it
 *
 * http.c calls the others, api.c and socket.c call those that read and write, and none calls back.
 * A refusal is an answer with a sentence, and ends the connection. A peer that takes nothing for
 * HTTP_STALL_TICKS is cut. When memory runs out, the connection is closed.
 *
 * lws calls back when something came or may be written, and takes one lws_write a call.
 *
 * Tested end to end with its files by test_http.py and test_http_api.py; access, head, route and
 * words have unit tests. */
#pragma once

#include <libwebsockets.h>

#include "daemon/feed/outbox.h"
#include "daemon/http/access.h"
#include "daemon/http/asset.h"
#include "daemon/http/head.h"
#include "daemon/http/http.h"
#include "daemon/http/route.h"

/* One lws_write: what a loopback socket takes at once, small enough to copy when it does not. */
#define HTTP_PIECE 65536
/* The longest path, query or header that is read. */
#define HTTP_TEXT_MAX 2048
/* A reader that takes nothing for so long is cut (proto/HTTP.md, Limits). */
#define HTTP_STALL_TICKS 30
/* A head, all of it. */
#define HTTP_HEAD_BYTES_MAX 8192
/* Parts of a query. */
#define HTTP_ARGS_MAX 64

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
    struct lws_vhost *vhost;
    uv_poll_t listener; /* on `listener_fd`; -1: not open */
    int listener_fd;
    bool is_resting;      /* the listener is stopped until the next tick */
    size_t n_connections; /* of lws */
    size_t max_connections;
    struct list peers;
    unsigned char scratch[LWS_PRE + HTTP_PIECE];
};

enum http_reply_state {
    REPLY_AWAITED, /* the feed has the question */
    REPLY_HEAD,    /* the head is complete, and is to be written */
    REPLY_BODY,    /* the head is written */
};

/* One response with an end, or a stream of events. */
struct http_reply {
    enum http_reply_state state;
    struct http_head head;
    bool no_body; /* the method is HEAD, or the reader has the file */
    char etag[32];
    const unsigned char *body; /* constant data, which is sent in place of `out`; NULL: none */
    size_t body_left;
};

enum http_socket_state {
    SOCKET_UNPROVEN, /* the first message has to bring a token */
    SOCKET_OPEN,
    SOCKET_ENDING, /* takes no message more; closed when the output is written */
};

struct http_socket {
    enum http_socket_state state;
    char *message; /* what has come of it */
    size_t message_size, message_capacity;
    bool is_whole;  /* `message` waits for its turn */
    bool is_asking; /* the feed has a question of ours */
    bool is_busy;   /* next_message() is on the stack */
};

enum http_peer_kind {
    HTTP_REPLY,
    HTTP_SOCKET,
};

/* The peer that we answer: one request, or a WebSocket. It hangs on lws' connection (called wsi)
 * from the request's first callback until it is answered or cut. */
struct http_peer {
    struct list link;
    struct http *http;
    struct lws *wsi;
    struct feed_client *client; /* NULL: nothing is asked of the feed */
    struct outbox out;
    unsigned ticks; /* since it came, for those that the clock looks at */
    enum http_peer_kind kind;
    union {
        struct http_reply reply;
        struct http_socket socket;
    };
};

/* ---- peers.c --------------------------------------------------------------------------------- */

/* Puts a new peer onto the connection; all of it is zero but its kind. NULL when memory ran out. */
struct http_peer *http_peer_new(struct http *, struct lws *, enum http_peer_kind);
/* Takes it off and frees it; later callbacks of the connection find none. NULL is fine. */
void http_peer_free(struct http_peer *);
/* The connection's peer; NULL: it has none. */
struct http_peer *http_peer_of(struct lws *);
/* Cuts the connection when the loop turns, and with it the peer. */
void http_peer_cut(struct http_peer *);

/* ---- requests.c ------------------------------------------------------------------------------ */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_OTHER_METHOD,
};

/* What a request says, read once. Texts are NULL where it says nothing. */
struct http_request {
    struct http *http;
    struct lws *wsi;
    enum http_method method;
    char path[HTTP_TEXT_MAX];
    bool has_query;        /* false: it is too long, or has too many parts */
    struct http_args args; /* its parts, decoded */
    char last_event[32];   /* that a browser has seen of a stream; empty: none */
    struct http_asker asker;
    const char *protocols, *accept, *encodings, *tags; /* lists, as the headers have them */

    char texts[HTTP_HEAD_BYTES_MAX]; /* of the headers */
    size_t used;                     /* of it */
    char query[HTTP_TEXT_MAX];
    const char *arg[HTTP_ARGS_MAX];
};

/* Reads the current request. HTTP_OK, or the status to refuse with: then as much of it is read as
 * http_reply_refuse needs. */
enum http_code http_request_read(struct http_request *, struct http *, struct lws *,
                                 const char *path, size_t size, struct err *err);
/* Host, Origin and, where `needs_token`, the token: HTTP_OK or the status to refuse with. */
enum http_code http_request_check(const struct http_request *, bool needs_token, struct err *err);

/* ---- listen.c -------------------------------------------------------------------------------- */

/* Starts libwebsockets on the loop, listening at `own`. Returns 0 or -errno. */
int http_listen(struct http *, uv_loop_t *, const struct lws_protocols *, struct err *err);
/* A second has passed. */
void http_listen_tick(struct http *);
/* Closes what http_listen has opened, however far it came. */
void http_listen_close(struct http *);

/* ---- reply.c --------------------------------------------------------------------------------- */
/* All that return an int return what the callback of lws is to return: 0, or -1 to end the
 * connection. */

/* A peer for the current request; its answer is still to come. NULL when memory ran out. */
struct http_peer *http_reply_new(const struct http_request *);
/* The head is complete: it is written when the socket takes it, and the body after it. */
void http_reply_start(struct http_peer *);
/* A short text, which is copied. */
int http_reply_text(const struct http_request *, enum http_code, const char *text);
/* A refusal with a sentence. */
int http_reply_refuse(const struct http_request *, enum http_code, const struct err *why);
int http_reply_asset(const struct http_request *, const struct http_asset *);
/* LWS_CALLBACK_HTTP_WRITEABLE */
int http_reply_write(struct http_peer *);
/* A second has passed. */
void http_reply_tick(struct http_peer *);

/* ---- api.c ----------------------------------------------------------------------------------- */

/* A request for /api/v1 or /metrics, or for nothing that exists. Returns as reply.c's. */
int http_api_request(const struct http_request *);

/* ---- socket.c -------------------------------------------------------------------------------- */

/* Whether the request for an upgrade is granted: 0, or -1 when it was answered by a refusal. */
int http_socket_confirm(struct http *, struct lws *, const char *upgrade);
/* The rest returns what the callback of lws is to return. */
int http_socket_open(struct http *, struct lws *);
int http_socket_receive(struct http_peer *, const char *data, size_t size);
int http_socket_write(struct http_peer *);
/* A second has passed. */
void http_socket_tick(struct http_peer *);
