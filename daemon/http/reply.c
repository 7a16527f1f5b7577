#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/http/parts.h"

/* Proxies close what is silent for a minute. */
#define HEARTBEAT_TICKS 15

/* ---- answers --------------------------------------------------------------------------------- */

struct http_peer *http_reply_new(const struct http_request *q)
{
    struct http_peer *p = http_peer_new(q->http, q->wsi, HTTP_REPLY);

    if (!p)
        return NULL;
    p->reply.no_body = q->method == HTTP_HEAD;
    lws_set_timeout(q->wsi, NO_PENDING_TIMEOUT, 0);
    return p;
}

void http_reply_start(struct http_peer *p)
{
    assert(p->kind == HTTP_REPLY);
    if (p->reply.state == REPLY_AWAITED)
        p->reply.state = REPLY_HEAD;
    lws_rx_flow_control(p->wsi, 1);
    lws_callback_on_writable(p->wsi);
}

int http_reply_text(const struct http_request *q, enum http_code status, const char *text)
{
    struct http_peer *p = http_reply_new(q);
    char *line = NULL;
    int size = p ? asprintf(&line, "%s\n", text) : -1;

    if (size < 0)
        return -1;
    outbox_put(&p->out, line, (size_t)size);
    p->reply.head = (struct http_head){
        .status = status,
        .type = "text/plain; charset=utf-8",
        .length = (uint64_t)size,
        .close = status >= HTTP_BAD_REQUEST,
    };
    http_reply_start(p);
    return 0;
}

int http_reply_refuse(const struct http_request *q, enum http_code status, const struct err *why)
{
    return http_reply_text(q, status, why->text);
}

/* The tag of one form of the file: caches must not mix them up. */
static void make_etag(char out[32], const struct http_asset *a, bool gzip)
{
    snprintf(out, 32, "\"%s%s\"", a->hash, gzip ? "-gzip" : "");
}

/* Whether a comma-separated list has the word, and not with quality 0. */
static bool lists(const char *list, const char *word)
{
    const char *at = list ? strstr(list, word) : NULL;

    return at && strncmp(at + strlen(word), ";q=0", 4) != 0;
}

int http_reply_asset(const struct http_request *q, const struct http_asset *a)
{
    bool gzip = lists(q->encodings, "gzip");
    struct http_peer *p = http_reply_new(q);
    struct http_reply *r;

    if (!p)
        return -1;
    r = &p->reply;
    r->body = gzip ? a->gzip : a->data;
    r->body_left = (size_t)((gzip ? a->gzip_end : a->data_end) - r->body);
    make_etag(r->etag, a, gzip);
    r->head = (struct http_head){
        .status = HTTP_OK, .type = a->type, .etag = r->etag, .gzip = gzip, .length = r->body_left};
    if (lists(q->tags, r->etag)) {
        r->head.status = HTTP_NOT_MODIFIED;
        r->no_body = true;
    }
    http_reply_start(p);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The response is out, or lws has what is left of it: the connection waits for its next request. */
static int end(struct http_peer *p)
{
    struct lws *wsi = p->wsi;
    bool close = p->reply.head.close || p->reply.head.endless;

    http_peer_free(p);
    return lws_http_transaction_completed(wsi) || close ? -1 : 0;
}

/* A stream has nothing to write: it is neither timed nor polled until it has. */
static int rest(struct http_peer *p)
{
    lws_set_timeout(p->wsi, NO_PENDING_TIMEOUT, 0);
    lws_rx_flow_control(p->wsi, 0);
    return 0;
}

static int write_bytes(struct http_peer *p, const void *data, size_t size)
{
    unsigned char *at = p->http->scratch + LWS_PRE;

    memcpy(at, data, size);
    if (lws_write(p->wsi, at, size, LWS_WRITE_HTTP) < (int)size)
        return -1;
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_STALL_TICKS);
    lws_callback_on_writable(p->wsi);
    return 0;
}

static int write_head(struct http_peer *p)
{
    char head[HTTP_HEAD_MAX];
    size_t size = http_head_write(&p->reply.head, head);

    p->reply.state = REPLY_BODY;
    return write_bytes(p, head, size);
}

/* A piece of the feed's answer; a stream goes on when enough of it was taken. */
static int write_answer(struct http_peer *p)
{
    struct outbox_piece piece;

    if (!outbox_peek(&p->out, HTTP_PIECE, &piece))
        return p->reply.head.endless ? rest(p) : end(p);
    if (write_bytes(p, piece.data, piece.size) < 0)
        return -1;
    outbox_take(&p->out, &piece);
    if (p->reply.head.endless && p->out.pending <= FEED_MAX_PENDING)
        feed_client_drained(p->client);
    return 0;
}

/* A piece of a file of the page. */
static int write_file(struct http_peer *p)
{
    struct http_reply *r = &p->reply;
    size_t size = r->body_left < HTTP_PIECE ? r->body_left : HTTP_PIECE;

    if (size == 0)
        return end(p);
    if (write_bytes(p, r->body, size) < 0)
        return -1;
    r->body += size;
    r->body_left -= size;
    return 0;
}

int http_reply_write(struct http_peer *p)
{
    assert(p->kind == HTTP_REPLY);
    if (p->out.lost)
        return -1;
    switch (p->reply.state) {
    case REPLY_AWAITED:
        return 0;
    case REPLY_HEAD:
        return write_head(p);
    case REPLY_BODY:
        break;
    }
    if (p->reply.no_body)
        return end(p);
    return p->reply.body ? write_file(p) : write_answer(p);
}

/* ---- those who wait -------------------------------------------------------------------------- */

/* While a peer waits for the feed it is not polled: lws would not read what comes then, and libuv
 * would report it again and again. So each second we look at the socket whether the peer has left.
 * A client that sends more before its answer is out, and does not take that answer, is cut by the
 * same look: it uses pipelining, which HTTP allows and no browser uses. */
static bool has_left(struct http_peer *p)
{
    char byte;
    ssize_t n = recv(lws_get_socket_fd(p->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n > 0 && p->out.stalled_ticks > 0) ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* A comment, for the sake of the proxies between us and the reader. */
static void send_heartbeat(struct http_peer *p)
{
    char *text = strdup(":\n\n");

    if (!text)
        return;
    outbox_put(&p->out, text, strlen(text));
    http_reply_start(p);
}

void http_reply_tick(struct http_peer *p)
{
    unsigned stalled = outbox_tick(&p->out);
    bool streams = p->reply.head.endless && p->reply.state != REPLY_AWAITED;

    if (streams && ++p->ticks % HEARTBEAT_TICKS == 0 && p->out.pending == 0)
        send_heartbeat(p);
    if (p->out.lost || stalled >= HTTP_STALL_TICKS || has_left(p))
        http_peer_cut(p);
}
