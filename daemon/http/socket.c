#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"
#include "proto/feed.h"
#include "proto/json.h"

/* For a WebSocket to say its token. */
#define TOKEN_TICKS 10
/* Of 16 bytes in base 64. */
#define KEY_LENGTH 24

/* ---- opening --------------------------------------------------------------------------------- */

/* What RFC 6455 wants of the request. */
static enum http_code check_handshake(const struct http_request *request, struct err *err)
{
    const char *const *header = request->message.header;

    if (!http_message_lists(header[HEADER_CONNECTION], "upgrade") || !header[HEADER_WS_KEY] ||
        strlen(header[HEADER_WS_KEY]) != KEY_LENGTH)
        return err_set(err, HTTP_BAD_REQUEST, "an upgrade has Connection and Sec-WebSocket-Key");
    if (!header[HEADER_WS_VERSION] || strcmp(header[HEADER_WS_VERSION], "13") != 0)
        return err_set(err, HTTP_NO_UPGRADE, "WebSockets of version 13 are spoken here");
    if (http_connection_has_more(request->connection))
        return err_set(err, HTTP_BAD_REQUEST, "what follows an upgrade waits for its answer");
    return HTTP_OK;
}

static enum http_code check_upgrade(struct http_request *request, struct err *err)
{
    const char *protocols = request->message.header[HEADER_WS_PROTOCOL];
    bool says_token = http_message_lists(protocols, HTTP_TOKEN_PROTOCOL);
    enum http_code status = http_request_check(request, !says_token, err);

    if (status != HTTP_OK)
        return status;
    if (request->message.method != HTTP_GET)
        return err_set(err, HTTP_NO_METHOD, "an upgrade is a GET");
    if (strcmp(request->message.path, "/ws") != 0)
        return err_set(err, HTTP_NOT_FOUND, "there is no WebSocket at this path, it is at /ws");
    if (protocols && !says_token)
        return err_set(err, HTTP_BAD_REQUEST, "the one subprotocol here is " HTTP_TOKEN_PROTOCOL);
    return check_handshake(request, err);
}

int http_socket_request(struct http_request *request)
{
    struct err why = {""};
    enum http_code status = check_upgrade(request, &why);

    if (status != HTTP_OK)
        return http_reply_refuse(request, status, &why);
    request->http->adopted = request->from;
    http_connection_hand_over(request->connection, request->head, request->size);
    return 0;
}

/* The subprotocol passes without a token; with one in a header, too, nothing more is asked. */
static void look_for_token(struct http_peer *peer)
{
    const struct http_access *access = peer->http->access;
    char text[HTTP_TEXT_MAX];
    int n = lws_hdr_copy(peer->wsi, text, sizeof text, WSI_TOKEN_HTTP_AUTHORIZATION);
    struct http_asker asker = {.authorization = n > 0 ? text : NULL};
    bool good = http_access_check_token(access, &asker, NULL) == HTTP_OK,
         says_token = strcmp(lws_get_protocol(peer->wsi)->name, HTTP_TOKEN_PROTOCOL) == 0;

    peer->socket.state = good && (n > 0 || !says_token) ? SOCKET_OPEN : SOCKET_UNPROVEN;
    peer->socket.may_write = http_access_may_edit_by(access, &asker);
    if (good)
        http_peer_remember(peer, http_access_bearer(&asker));
}

static const struct feed_transport transport;

int http_socket_open(struct http *http, struct lws *wsi)
{
    struct http_peer *peer = http_peer_new_socket(http, wsi);

    if (!peer)
        return -1;
    look_for_token(peer);
    peer->client = feed_client_new(http->hub, &transport, peer);
    return peer->client ? 0 : -1;
}

/* ---- messages out ---------------------------------------------------------------------------- */

static void next_message(struct http_peer *peer);

/* A line ends where the frame ends. */
static void send_line(void *arg, int code, char *line, size_t size)
{
    struct http_peer *peer = arg;

    (void)code;
    outbox_put(&peer->out, line, size - 1);
    lws_callback_on_writable(peer->wsi);
}

static void send_long(void *arg, struct text *text)
{
    struct http_peer *peer = arg;

    outbox_put_long(&peer->out, text, 1);
    lws_callback_on_writable(peer->wsi);
}

static bool may_write(void *arg)
{
    return ((struct http_peer *)arg)->socket.may_write;
}

static size_t pending_bytes(void *arg)
{
    return ((struct http_peer *)arg)->out.pending;
}

static void on_ready(void *arg)
{
    struct http_peer *peer = arg;

    peer->socket.is_asking = false;
    next_message(peer);
}

static const struct feed_transport transport = {
    .words = &feed_lines,
    .send = send_line,
    .send_long = send_long,
    .may_write = may_write,
    .pending = pending_bytes,
    .ready = on_ready,
};

static int write_piece(struct http_peer *peer, const struct outbox_piece *piece)
{
    unsigned char *at = peer->http->scratch + LWS_PRE;
    int flags = lws_write_ws_flags(LWS_WRITE_TEXT, piece->first, piece->last);

    memcpy(at, piece->data, piece->size);
    if (lws_write(peer->wsi, at, piece->size, (enum lws_write_protocol)flags) < (int)piece->size)
        return -1;
    lws_callback_on_writable(peer->wsi);
    return 0;
}

int http_socket_write(struct http_peer *peer)
{
    struct outbox_piece piece;

    assert(peer->kind == HTTP_SOCKET);
    if (!outbox_peek(&peer->out, HTTP_PIECE, &piece))
        return peer->socket.state == SOCKET_ENDING ? -1 : 0;
    if (write_piece(peer, &piece) < 0)
        return -1;
    outbox_take(&peer->out, &piece);
    if (peer->socket.state == SOCKET_ENDING || peer->out.pending > FEED_MAX_PENDING)
        return 0;
    feed_client_drained(peer->client);
    next_message(peer);
    return 0;
}

/* ---- messages in ----------------------------------------------------------------------------- */

/* Says why, and ends the connection when that is out. */
static void refuse(struct http_peer *peer, int code, const char *why)
{
    size_t size;
    char *line = feed_error(NULL, code, why, &size);

    if (line)
        send_line(peer, code, line, size);
    peer->socket.state = SOCKET_ENDING;
    peer->socket.is_whole = false;
    lws_close_reason(peer->wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, NULL, 0);
    lws_callback_on_writable(peer->wsi);
}

/* The first message is server.hello with the token, or any where reading needs none; then it is
 * answered like any other. A token that may write counts where reading is free, too. */
static bool is_let_in(struct http_peer *peer)
{
    const struct http_access *access = peer->http->access;
    bool is_free = http_access_check_token(access, &(struct http_asker){0}, NULL) == HTTP_OK;
    unsigned wait_s;
    struct feed_request request;
    struct feed_hello hello = {.token = NULL};
    struct err err;
    bool has_token =
        feed_request_parse(peer->socket.message, peer->socket.message_size, &request, &err) == 0 &&
        request.method == FEED_HELLO && feed_hello_read(&request, &hello, &err) == 0 && hello.token;
    bool good = is_free || (has_token && http_guard_check(peer->http, &peer->from, hello.token,
                                                          &wait_s, &err) == HTTP_OK);

    peer->socket.may_write = good && has_token && http_access_may_edit(access, hello.token);
    if (good && has_token)
        http_peer_remember(peer, hello.token);
    feed_request_release(&request);
    return good;
}

static void hand_over(struct http_peer *peer)
{
    struct http_socket *socket = &peer->socket;
    size_t size = socket->message_size;

    socket->is_whole = false;
    socket->message_size = 0;
    socket->is_asking = true;
    feed_client_request(peer->client, socket->message, size);
}

static void check_token(struct http_peer *peer)
{
    if (is_let_in(peer))
        peer->socket.state = SOCKET_OPEN;
    else
        refuse(peer, FEED_NOT_ALLOWED, "the first message has to be server.hello with a token");
}

/* One request at a time, the next when the last is answered and its output has mostly drained.
 * Meanwhile nothing is read. */
static void next_message(struct http_peer *peer)
{
    struct http_socket *socket = &peer->socket;

    if (socket->is_busy || socket->state == SOCKET_ENDING)
        return;
    socket->is_busy = true;
    if (socket->is_whole && socket->state == SOCKET_UNPROVEN)
        check_token(peer);
    if (socket->is_whole && !socket->is_asking && peer->out.pending <= FEED_MAX_PENDING)
        hand_over(peer);
    socket->is_busy = false;
    lws_rx_flow_control(peer->wsi, !socket->is_whole);
}

static bool append(struct http_socket *socket, const char *data, size_t size)
{
    size_t want = socket->message_size + size;

    if (socket->message_capacity <= want) {
        size_t capacity = want < 4096 ? 4096 : 2 * want;
        char *grown = realloc(socket->message, capacity);

        if (!grown)
            return false;
        socket->message = grown;
        socket->message_capacity = capacity;
    }
    memcpy(socket->message + socket->message_size, data, size);
    socket->message_size = want;
    return true;
}

int http_socket_receive(struct http_peer *peer, const char *data, size_t size)
{
    struct http_socket *socket = &peer->socket;

    assert(peer->kind == HTTP_SOCKET);
    if (socket->state == SOCKET_ENDING)
        return 0;
    if (lws_frame_is_binary(peer->wsi)) {
        refuse(peer, FEED_NOT_JSON, "a message is text, not binary");
    } else if (socket->message_size + size > JSON_MAX_SIZE) {
        refuse(peer, FEED_NOT_A_REQUEST, "a message is at most 1 MiB");
    } else if (!append(socket, data, size)) {
        return -1;
    } else if (lws_is_final_fragment(peer->wsi) && lws_remaining_packet_payload(peer->wsi) == 0) {
        socket->is_whole = true;
        next_message(peer);
    }
    return 0;
}

void http_socket_tick(struct http_peer *peer)
{
    unsigned stalled = outbox_tick(&peer->out);

    peer->ticks++;
    if (peer->out.lost || stalled >= HTTP_STALL_TICKS ||
        (peer->socket.state == SOCKET_UNPROVEN && peer->ticks >= TOKEN_TICKS))
        http_peer_cut(peer);
    else
        feed_client_drained(peer->client);
}
