/* The inside of http, shared by its files. Loop thread only.
 *
 * The way of a request:
 *
 *     listen.c      accepts the connection
 *     tls.c         with a certificate (certificate.c): shakes hands, and stands in between
 *     connection.c  reads a head, and writes what the socket takes
 *     http.c        is called back with the head, and hands the request on
 *     requests.c    reads what the head says (message.c); access.c says whether it may be answered,
 *                   guard.c whether its token may be looked at
 *     api.c         asks the feed what the path means (route.c); words.c writes the answer down
 *                   of a POST that gets so far, connection.c reads the body first
 *     reply.c       writes an answer, piece by piece, as the socket takes it
 *     socket.c      gives the connection to libwebsockets (lws), and speaks FEED.md over a
 *                   WebSocket: a message in, a question; a line out, a frame
 *     peers.c       makes a peer and frees it
 *
 * http.c calls the others, api.c and socket.c call those that read and write, and connection.c
 * calls back through two functions of struct http. A refusal is an answer with a sentence, and ends
 * the connection. A peer that takes nothing for HTTP_STALL_TICKS is cut. When memory runs out, the
 * connection is closed.
 *
 * lws calls back when something came or may be written, and takes one lws_write a call.
 *
 * Tested end to end with its files by test_http.py, test_http_api.py and test_hostile_http.py;
 * access, head, message, route and words have unit tests. */
#pragma once

#include <libwebsockets.h>
#include <netinet/in.h>

#include "daemon/feed/outbox.h"
#include "daemon/http/access.h"
#include "daemon/http/asset.h"
#include "daemon/host/log.h"
#include "daemon/http/certificate.h"
#include "daemon/http/failures.h"
#include "daemon/http/head.h"
#include "daemon/http/http.h"
#include "daemon/http/message.h"
#include "daemon/http/proxies.h"
#include "daemon/http/route.h"
#include "daemon/http/tokens.h"

/* One lws_write: what a loopback socket takes at once, small enough to copy when it does not. */
#define HTTP_PIECE 65536
/* A reader that takes nothing for so long is cut (proto/HTTP.md, Limits). */
#define HTTP_STALL_TICKS 30

/* Descriptors of a link of TLS: the client's socket, and one end of a pair. */
#define HTTP_LINK_FILES 2

/* The subprotocol of a WebSocket that says its token first, as browsers cannot set headers. */
#define HTTP_TOKEN_PROTOCOL "richd.token"

struct http_connection;
struct http_peer;

struct http {
    /* What connection.c calls. A head is complete and borrowed, `code` HTTP_OK; or it is none, with
     * the status to refuse with. The peer's answer may be written: -1 ends the connection. */
    void (*on_head)(struct http_connection *, char *head, size_t size, enum http_code code);
    int (*on_writable)(struct http_peer *);
    /* The body that the peer's request has is complete and borrowed. */
    void (*on_body)(struct http_peer *, const char *body, size_t size);
    bool (*is_ready)(void *arg);
    void *ready_arg;
    char own[80];                             /* ADDRESS:PORT as it was asked for */
    char address[CERTIFICATE_NAME_SIZE + 24]; /* "http://ADDRESS:PORT", with the real port */
    bool may_move;
    char host[CERTIFICATE_NAME_SIZE]; /* by which we are reached, as it was asked for; "": none */
    struct certificate *certificate;  /* NULL: TLS is not spoken */
    struct proxies proxies;
    bool is_clear;        /* to a network: only the proxies may connect */
    struct tokens *named; /* that people were given; NULL: none can be */
    struct failures *failures;
    struct log_limit failures_limit;
    struct feedhub *hub;
    struct http_access *access;
    struct lws_context *context;
    struct lws_vhost *vhost;
    uv_poll_t listener; /* on `listener_fd`; -1: not open */
    int listener_fd;
    bool is_resting;      /* the listener is stopped until the next tick */
    size_t n_connections; /* ours, those of lws, and two for each link of TLS */
    size_t max_connections;
    struct list links; /* of TLS */
    struct list connections;
    struct list peers;
    struct in6_addr adopted; /* where the connection is from that lws is being given */
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
    bool no_body;   /* the method is HEAD, or the reader has the file */
    bool may_write; /* the token of a POST is for that, too */
    bool ends;      /* the request says that it is the connection's last */
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
    bool may_write; /* its token is for that, too */
};

enum http_peer_kind {
    HTTP_REPLY,
    HTTP_SOCKET,
};

/* The peer that we answer: one request, or a WebSocket. It hangs on its connection, which of a
 * WebSocket is lws' (called wsi), until it is answered or cut. */
struct http_peer {
    struct list link;
    struct http *http;
    struct http_connection *connection; /* of a request */
    struct lws *wsi;                    /* of a WebSocket */
    struct in6_addr from;               /* of a WebSocket */
    bool has_token;                     /* with which it came, for as long as it stays */
    uint8_t digest[SHA256_SIZE];        /* of that */
    struct feed_client *client;         /* NULL: nothing is asked of the feed */
    struct outbox out;
    unsigned ticks; /* since it came, for those that the clock looks at */
    enum http_peer_kind kind;
    union {
        struct http_reply reply;
        struct http_socket socket;
    };
};

/* ---- peers.c --------------------------------------------------------------------------------- */

/* Puts a new peer onto the connection, that of a request or that of lws; all else of it is zero.
 * NULL when memory ran out. */
struct http_peer *http_peer_new_reply(struct http_connection *);
struct http_peer *http_peer_new_socket(struct http *, struct lws *);
/* Takes it off and frees it; later callbacks of the connection find none. NULL is fine. */
void http_peer_free(struct http_peer *);
/* The peer of lws' connection; NULL: it has none. */
struct http_peer *http_peer_of(struct lws *);
/* Cuts the connection, and with it the peer: now, or that of lws when the loop turns. */
void http_peer_cut(struct http_peer *);
/* It came with this token (NULL: with none), and stays as long as that has its rights. */
void http_peer_remember(struct http_peer *, const char *token);

/* ---- connection.c ---------------------------------------------------------------------------- */

/* Takes the socket, of a client at that address. When memory runs out it is closed. */
void http_connection_open(struct http *, uv_loop_t *, int fd, const struct in6_addr *from);
void http_connection_close(struct http_connection *);
struct http *http_connection_of(const struct http_connection *);
/* Where it is from; IPv4 as ::ffff:a.b.c.d. */
const struct in6_addr *http_connection_from(const struct http_connection *);
void http_connection_set_peer(struct http_connection *, struct http_peer *);
/* The peer has something to write: on_writable is called when the socket takes it. */
void http_connection_want_write(struct http_connection *);
/* From on_writable, once: takes a copy of what the socket does not take, and calls on_writable
 * again. Returns 0, or -1 when the connection is to be ended. */
int http_connection_write(struct http_connection *, const void *data, size_t size);
/* From on_head, with a peer: on_body is called when so many bytes (at most HTTP_BODY_BYTES_MAX)
 * have come. Returns 0, or -1 when memory ran out. */
int http_connection_take_body(struct http_connection *, size_t size);
/* The answer is out, and its peer is gone: the next request is read, or (`keeps` false) none. */
void http_connection_next(struct http_connection *, bool keeps);
/* Something came behind the head that is being answered. */
bool http_connection_has_more(const struct http_connection *);
/* While an answer is made the socket is not read: a look whether the client has closed it, or sends
 * more where it may not. */
bool http_connection_has_left(const struct http_connection *, bool may_send);
/* Gives socket and head to lws; the connection is gone. False when lws does not take them. */
bool http_connection_hand_over(struct http_connection *, const char *head, size_t size);
/* A second has passed. */
void http_connection_tick(struct http_connection *);
/* The one of that link in `connections` of http. */
struct http_connection *http_connection_at(struct list *);

/* ---- requests.c ------------------------------------------------------------------------------ */

/* What a request says, read once. Texts are NULL where it says nothing. */
struct http_request {
    struct http *http;
    struct http_connection *connection;
    struct http_message message;
    struct http_args args;
    struct http_asker asker;
    struct in6_addr from; /* who asks, also behind a proxy */
    unsigned wait_s;      /* of HTTP_TOO_MANY */
    size_t size;
    char head[HTTP_HEAD_BYTES_MAX]; /* as it came */
    char text[HTTP_HEAD_BYTES_MAX + 1];
};

/* Reads the head. HTTP_OK, or the status to refuse with. */
enum http_code http_request_read(struct http_request *, struct http_connection *, const char *head,
                                 size_t size, struct err *err);
/* Host, Origin and, where `needs_token`, the token: HTTP_OK or the status to refuse with. */
enum http_code http_request_check(struct http_request *, bool needs_token, struct err *err);

/* ---- guard.c --------------------------------------------------------------------------------- */

/* Whether who asks from there may read with this token (NULL: has none): HTTP_OK, HTTP_UNAUTHORIZED
 * or HTTP_FORBIDDEN; HTTP_TOO_MANY after many wrong ones, with the seconds to wait. */
enum http_code http_guard_check(struct http *, const struct in6_addr *from, const char *token,
                                unsigned *wait_s, struct err *err);
/* Whether a connection from there may ask at all. */
bool http_guard_lets_in(const struct http *, const struct in6_addr *from);
/* A second has passed: tokens that people were given may have come and gone. */
void http_guard_tick(struct http *);

/* ---- tls.c ----------------------------------------------------------------------------------- */

/* Takes the socket, and opens a connection when hands are shaken. The certificate is there. */
void http_tls_open(struct http *, uv_loop_t *, int fd, const struct in6_addr *from);
/* A second has passed. */
void http_tls_tick(struct http *);
/* Cuts all links. */
void http_tls_close(struct http *);

/* ---- listen.c -------------------------------------------------------------------------------- */

/* Listens at `own`, and starts libwebsockets on the loop. Returns 0 or -errno. */
int http_listen(struct http *, uv_loop_t *, const struct lws_protocols *, struct err *err);
/* A second has passed. */
void http_listen_tick(struct http *);
/* Closes what http_listen has opened, however far it came. */
void http_listen_close(struct http *);

/* ---- reply.c --------------------------------------------------------------------------------- */
/* All that return an int return 0, or -1 to end the connection. */

/* A peer for the current request; its answer is still to come. NULL when memory ran out. */
struct http_peer *http_reply_new(const struct http_request *);
/* The head is complete: it is written when the socket takes it, and the body after it. */
void http_reply_start(struct http_peer *);
/* A short text, which is copied. */
int http_reply_text(const struct http_request *, enum http_code, const char *text);
/* A refusal with a sentence. */
int http_reply_refuse(const struct http_request *, enum http_code, const struct err *why);
int http_reply_asset(const struct http_request *, const struct http_asset *);
/* The socket takes more. */
int http_reply_write(struct http_peer *);
/* A second has passed. */
void http_reply_tick(struct http_peer *);

/* ---- api.c ----------------------------------------------------------------------------------- */

/* A request for /api/v1 or /metrics, or for nothing that exists. Returns as reply.c's. */
int http_api_request(const struct http_request *);
/* Whether at the path a request of FEED.md is the body of a POST. NULL is none. */
bool http_api_is_rpc(const char *path);
/* Such a POST, which was checked: its body is asked for. Returns as reply.c's. */
int http_api_post(const struct http_request *);
/* It has come: the feed is asked. */
void http_api_body(struct http_peer *, const char *body, size_t size);

/* ---- socket.c -------------------------------------------------------------------------------- */

/* A request for an upgrade: grants it, or refuses. Returns as reply.c's. */
int http_socket_request(struct http_request *);
/* The rest returns what the callback of lws is to return. */
int http_socket_open(struct http *, struct lws *);
int http_socket_receive(struct http_peer *, const char *data, size_t size);
int http_socket_write(struct http_peer *);
/* A second has passed. */
void http_socket_tick(struct http_peer *);
