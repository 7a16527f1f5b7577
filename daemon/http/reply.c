#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/http/parts.h"

/* Proxies close what is silent for a minute. */
#define HEARTBEAT_TICKS 15

/* ---- answers --------------------------------------------------------------------------------- */

struct http_peer *http_reply_new(const struct http_request *request)
{
    struct http_peer *peer = http_peer_new(request->http, request->wsi, HTTP_REPLY);

    if (!peer)
        return NULL;
    peer->reply.no_body = request->method == HTTP_HEAD;
    lws_set_timeout(request->wsi, NO_PENDING_TIMEOUT, 0);
    return peer;
}

void http_reply_start(struct http_peer *peer)
{
    assert(peer->kind == HTTP_REPLY);
    if (peer->reply.state == REPLY_AWAITED)
        peer->reply.state = REPLY_HEAD;
    lws_rx_flow_control(peer->wsi, 1);
    lws_callback_on_writable(peer->wsi);
}

int http_reply_text(const struct http_request *request, enum http_code status, const char *text)
{
    struct http_peer *peer = http_reply_new(request);
    char *line = NULL;
    int size = peer ? asprintf(&line, "%s\n", text) : -1;

    if (size < 0)
        return -1;
    outbox_put(&peer->out, line, (size_t)size);
    peer->reply.head = (struct http_head){
        .status = status,
        .type = "text/plain; charset=utf-8",
        .length = (uint64_t)size,
        .close = status >= HTTP_BAD_REQUEST,
    };
    http_reply_start(peer);
    return 0;
}

int http_reply_refuse(const struct http_request *request, enum http_code status,
                      const struct err *why)
{
    return http_reply_text(request, status, why->text);
}

/* The tag of one form of the file: caches must not mix them up. */
static void make_etag(char out[32], const struct http_asset *asset, bool gzip)
{
    snprintf(out, 32, "\"%s%s\"", asset->hash, gzip ? "-gzip" : "");
}

/* Whether a comma-separated list has the word, and not with quality 0. */
static bool lists(const char *list, const char *word)
{
    const char *at = list ? strstr(list, word) : NULL;

    return at && strncmp(at + strlen(word), ";q=0", 4) != 0;
}

int http_reply_asset(const struct http_request *request, const struct http_asset *asset)
{
    bool gzip = lists(request->encodings, "gzip");
    struct http_peer *peer = http_reply_new(request);
    struct http_reply *reply;

    if (!peer)
        return -1;
    reply = &peer->reply;
    reply->body = gzip ? asset->gzip : asset->data;
    reply->body_left = (size_t)((gzip ? asset->gzip_end : asset->data_end) - reply->body);
    make_etag(reply->etag, asset, gzip);
    reply->head = (struct http_head){.status = HTTP_OK,
                                     .type = asset->type,
                                     .etag = reply->etag,
                                     .gzip = gzip,
                                     .length = reply->body_left};
    if (lists(request->tags, reply->etag)) {
        reply->head.status = HTTP_NOT_MODIFIED;
        reply->no_body = true;
    }
    http_reply_start(peer);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The response is out, or lws has what is left of it: the connection waits for its next request. */
static int end(struct http_peer *peer)
{
    struct lws *wsi = peer->wsi;
    bool close = peer->reply.head.close || peer->reply.head.endless;

    http_peer_free(peer);
    return lws_http_transaction_completed(wsi) || close ? -1 : 0;
}

/* A stream has nothing to write: it is neither timed nor polled until it has. */
static int rest(struct http_peer *peer)
{
    lws_set_timeout(peer->wsi, NO_PENDING_TIMEOUT, 0);
    lws_rx_flow_control(peer->wsi, 0);
    return 0;
}

static int write_bytes(struct http_peer *peer, const void *data, size_t size)
{
    unsigned char *at = peer->http->scratch + LWS_PRE;

    memcpy(at, data, size);
    if (lws_write(peer->wsi, at, size, LWS_WRITE_HTTP) < (int)size)
        return -1;
    lws_set_timeout(peer->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_STALL_TICKS);
    lws_callback_on_writable(peer->wsi);
    return 0;
}

static int write_head(struct http_peer *peer)
{
    char head[HTTP_HEAD_MAX];
    size_t size = http_head_write(&peer->reply.head, head);

    peer->reply.state = REPLY_BODY;
    return write_bytes(peer, head, size);
}

/* A piece of the feed's answer; a stream goes on when enough of it was taken. */
static int write_answer(struct http_peer *peer)
{
    struct outbox_piece piece;

    if (!outbox_peek(&peer->out, HTTP_PIECE, &piece))
        return peer->reply.head.endless ? rest(peer) : end(peer);
    if (write_bytes(peer, piece.data, piece.size) < 0)
        return -1;
    outbox_take(&peer->out, &piece);
    if (peer->reply.head.endless && peer->out.pending <= FEED_MAX_PENDING)
        feed_client_drained(peer->client);
    return 0;
}

/* A piece of a file of the page. */
static int write_file(struct http_peer *peer)
{
    struct http_reply *reply = &peer->reply;
    size_t size = reply->body_left < HTTP_PIECE ? reply->body_left : HTTP_PIECE;

    if (size == 0)
        return end(peer);
    if (write_bytes(peer, reply->body, size) < 0)
        return -1;
    reply->body += size;
    reply->body_left -= size;
    return 0;
}

int http_reply_write(struct http_peer *peer)
{
    assert(peer->kind == HTTP_REPLY);
    if (peer->out.lost)
        return -1;
    switch (peer->reply.state) {
    case REPLY_AWAITED:
        return 0;
    case REPLY_HEAD:
        return write_head(peer);
    case REPLY_BODY:
        break;
    }
    if (peer->reply.no_body)
        return end(peer);
    return peer->reply.body ? write_file(peer) : write_answer(peer);
}

/* ---- those who wait -------------------------------------------------------------------------- */

/* While a peer waits for the feed it is not polled: lws would not read what comes then, and libuv
 * would report it again and again. So each second we look at the socket whether the peer has left.
 * A client that sends more before its answer is out, and does not take that answer, is cut by the
 * same look: it uses pipelining, which HTTP allows and no browser uses. */
static bool has_left(struct http_peer *peer)
{
    char byte;
    ssize_t n = recv(lws_get_socket_fd(peer->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n > 0 && peer->out.stalled_ticks > 0) ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* A comment, for the sake of the proxies between us and the reader. */
static void send_heartbeat(struct http_peer *peer)
{
    char *text = strdup(":\n\n");

    if (!text)
        return;
    outbox_put(&peer->out, text, strlen(text));
    http_reply_start(peer);
}

void http_reply_tick(struct http_peer *peer)
{
    unsigned stalled = outbox_tick(&peer->out);
    bool streams = peer->reply.head.endless && peer->reply.state != REPLY_AWAITED;

    if (streams && ++peer->ticks % HEARTBEAT_TICKS == 0 && peer->out.pending == 0)
        send_heartbeat(peer);
    if (peer->out.lost || stalled >= HTTP_STALL_TICKS || has_left(peer))
        http_peer_cut(peer);
}
