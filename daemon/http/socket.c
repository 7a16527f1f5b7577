#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/parts.h"
#include "proto/feed.h"
#include "proto/json.h"

/* For a WebSocket to say its token. */
#define TOKEN_TICKS 10

/* ---- opening --------------------------------------------------------------------------------- */

/* Whether the comma-separated list of subprotocols has ours. */
static bool offers_token(const char *list)
{
    size_t n = strlen(HTTP_TOKEN_PROTOCOL);

    for (const char *at = list; *at; at += strcspn(at, ",")) {
        at += strspn(at, ", ");
        if (strncmp(at, HTTP_TOKEN_PROTOCOL, n) == 0 && strchr(", ", at[n]))
            return true;
    }
    return false;
}

static enum http_code check_upgrade(const struct http_request *q, const char *upgrade,
                                    struct err *e)
{
    bool says_token = q->protocols && offers_token(q->protocols);
    enum http_code status = http_request_check(q, !says_token, e);

    if (status != HTTP_OK)
        return status;
    if (q->method != HTTP_GET)
        return err_set(e, HTTP_NO_METHOD, "an upgrade is a GET");
    if (strcmp(q->path, "/ws") != 0)
        return err_set(e, HTTP_NOT_FOUND, "there is no WebSocket at this path, it is at /ws");
    if (strcasecmp(upgrade, "websocket") != 0)
        return err_set(e, HTTP_BAD_REQUEST, "the one upgrade here is to websocket");
    if (q->protocols && !says_token)
        return err_set(e, HTTP_BAD_REQUEST, "the one subprotocol here is " HTTP_TOKEN_PROTOCOL);
    return HTTP_OK;
}

static enum http_code read_upgrade(struct http_request *q, struct http *h, struct lws *wsi,
                                   struct err *e)
{
    char *path = NULL;
    int size = 0;

    if (lws_http_get_uri_and_method(wsi, &path, &size) < 0)
        size = 0; /* no method that lws knows */
    return http_request_read(q, h, wsi, size > 0 ? path : "", (size_t)size, e);
}

/* Called before lws has looked at the request's version and connection: the refusal is written at
 * once and ends the connection. */
static int refuse_upgrade(struct http *h, struct lws *wsi, enum http_code status,
                          const struct err *why)
{
    struct http_head head = {
        .status = status,
        .type = "text/plain; charset=utf-8",
        .length = strlen(why->text),
        .close = true,
    };
    char *text = (char *)h->scratch + LWS_PRE;
    size_t size = http_head_write(&head, text);

    memcpy(text + size, why->text, head.length);
    lws_write(wsi, (unsigned char *)text, size + head.length, LWS_WRITE_HTTP);
    return -1;
}

int http_socket_confirm(struct http *h, struct lws *wsi, const char *upgrade)
{
    struct http_request request;
    struct err why = {""};
    enum http_code status = read_upgrade(&request, h, wsi, &why);

    if (status == HTTP_OK)
        status = check_upgrade(&request, upgrade, &why);
    return status == HTTP_OK ? 0 : refuse_upgrade(h, wsi, status, &why);
}

static const struct feed_transport transport;

int http_socket_open(struct http *h, struct lws *wsi)
{
    struct http_peer *p = http_peer_new(h, wsi, HTTP_SOCKET);
    struct http_request request;

    if (!p || read_upgrade(&request, h, wsi, NULL) != HTTP_OK)
        return -1;
    /* The subprotocol passes without a token; with one in a header, too, nothing more is asked. */
    p->socket.state =
        http_request_check(&request, true, NULL) == HTTP_OK ? SOCKET_OPEN : SOCKET_UNPROVEN;
    p->client = feed_client_new(h->hub, &transport, p);
    return p->client ? 0 : -1;
}

/* ---- messages out ---------------------------------------------------------------------------- */

static void next_message(struct http_peer *p);

/* A line ends where the frame ends. */
static void send_line(void *arg, int code, char *line, size_t size)
{
    struct http_peer *p = arg;

    (void)code;
    outbox_put(&p->out, line, size - 1);
    lws_callback_on_writable(p->wsi);
}

static size_t pending_bytes(void *arg)
{
    return ((struct http_peer *)arg)->out.pending;
}

static void on_ready(void *arg)
{
    struct http_peer *p = arg;

    p->socket.is_asking = false;
    next_message(p);
}

static const struct feed_transport transport = {
    .words = &feed_lines,
    .send = send_line,
    .pending = pending_bytes,
    .ready = on_ready,
};

static int write_piece(struct http_peer *p, const struct outbox_piece *piece)
{
    unsigned char *at = p->http->scratch + LWS_PRE;
    int flags = lws_write_ws_flags(LWS_WRITE_TEXT, piece->first, piece->last);

    memcpy(at, piece->data, piece->size);
    if (lws_write(p->wsi, at, piece->size, (enum lws_write_protocol)flags) < (int)piece->size)
        return -1;
    lws_callback_on_writable(p->wsi);
    return 0;
}

int http_socket_write(struct http_peer *p)
{
    struct outbox_piece piece;

    assert(p->kind == HTTP_SOCKET);
    if (!outbox_peek(&p->out, HTTP_PIECE, &piece))
        return p->socket.state == SOCKET_ENDING ? -1 : 0;
    if (write_piece(p, &piece) < 0)
        return -1;
    outbox_take(&p->out, &piece);
    if (p->socket.state == SOCKET_ENDING || p->out.pending > FEED_MAX_PENDING)
        return 0;
    feed_client_drained(p->client);
    next_message(p);
    return 0;
}

/* ---- messages in ----------------------------------------------------------------------------- */

/* Says why, and ends the connection when that is out. */
static void refuse(struct http_peer *p, int code, const char *why)
{
    size_t size;
    char *line = feed_error(NULL, code, why, &size);

    if (line)
        send_line(p, code, line, size);
    p->socket.state = SOCKET_ENDING;
    p->socket.is_whole = false;
    lws_close_reason(p->wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, NULL, 0);
    lws_callback_on_writable(p->wsi);
}

/* The first message has to be server.hello with the token; then it is answered like any other. */
static bool brings_token(struct http_peer *p)
{
    struct feed_request request;
    struct feed_hello hello = {.token = NULL};
    struct err e;
    bool good = feed_request_parse(p->socket.message, p->socket.message_size, &request, &e) == 0 &&
                request.method == FEED_HELLO && feed_hello_read(&request, &hello, &e) == 0 &&
                hello.token &&
                http_access_check_reader(p->http->access, hello.token, &e) == HTTP_OK;

    feed_request_release(&request);
    return good;
}

static void hand_over(struct http_peer *p)
{
    struct http_socket *s = &p->socket;
    size_t size = s->message_size;

    s->is_whole = false;
    s->message_size = 0;
    s->is_asking = true;
    feed_client_request(p->client, s->message, size);
}

static void check_token(struct http_peer *p)
{
    if (brings_token(p))
        p->socket.state = SOCKET_OPEN;
    else
        refuse(p, FEED_NOT_ALLOWED, "the first message has to be server.hello with a token");
}

/* One request at a time, the next when the last is answered and its output has mostly drained.
 * Meanwhile nothing is read. */
static void next_message(struct http_peer *p)
{
    struct http_socket *s = &p->socket;

    if (s->is_busy || s->state == SOCKET_ENDING)
        return;
    s->is_busy = true;
    if (s->is_whole && s->state == SOCKET_UNPROVEN)
        check_token(p);
    if (s->is_whole && !s->is_asking && p->out.pending <= FEED_MAX_PENDING)
        hand_over(p);
    s->is_busy = false;
    lws_rx_flow_control(p->wsi, !s->is_whole);
}

static bool append(struct http_socket *s, const char *data, size_t size)
{
    size_t want = s->message_size + size;

    if (s->message_capacity <= want) {
        size_t capacity = want < 4096 ? 4096 : 2 * want;
        char *grown = realloc(s->message, capacity);

        if (!grown)
            return false;
        s->message = grown;
        s->message_capacity = capacity;
    }
    memcpy(s->message + s->message_size, data, size);
    s->message_size = want;
    return true;
}

int http_socket_receive(struct http_peer *p, const char *data, size_t size)
{
    struct http_socket *s = &p->socket;

    assert(p->kind == HTTP_SOCKET);
    if (s->state == SOCKET_ENDING)
        return 0;
    if (lws_frame_is_binary(p->wsi)) {
        refuse(p, FEED_NOT_JSON, "a message is text, not binary");
    } else if (s->message_size + size > JSON_MAX_SIZE) {
        refuse(p, FEED_NOT_A_REQUEST, "a message is at most 1 MiB");
    } else if (!append(s, data, size)) {
        return -1;
    } else if (lws_is_final_fragment(p->wsi) && lws_remaining_packet_payload(p->wsi) == 0) {
        s->is_whole = true;
        next_message(p);
    }
    return 0;
}

void http_socket_tick(struct http_peer *p)
{
    unsigned stalled = outbox_tick(&p->out);

    p->ticks++;
    if (p->out.lost || stalled >= HTTP_STALL_TICKS ||
        (p->socket.state == SOCKET_UNPROVEN && p->ticks >= TOKEN_TICKS))
        http_peer_cut(p);
}
