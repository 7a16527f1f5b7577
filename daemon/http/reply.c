#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"

/* Proxies close what is silent for a minute. */
#define HEARTBEAT_TICKS 15

/* ---- answers --------------------------------------------------------------------------------- */

struct http_peer *http_reply_new(const struct http_request *request)
{
    struct http_peer *peer = http_peer_new_reply(request->connection);

    if (!peer)
        return NULL;
    peer->reply.no_body = request->message.method == HTTP_HEAD;
    peer->reply.ends = !request->message.keeps;
    return peer;
}

void http_reply_start(struct http_peer *peer)
{
    assert(peer->kind == HTTP_REPLY);
    if (peer->reply.state == REPLY_AWAITED)
        peer->reply.state = REPLY_HEAD;
    http_connection_want_write(peer->connection);
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
        .wait_s = request->wait_s,
        .allow = http_api_is_rpc(request->message.path) ? "POST" : NULL,
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
static void make_etag(char out[32], const struct http_asset *asset, const char *coding)
{
    snprintf(out, 32, "\"%s%s%s\"", asset->hash, coding ? "-" : "", coding ? coding : "");
}

/* Whether a comma-separated list has the word, and not with quality 0. */
static bool lists(const char *list, const char *word)
{
    const size_t size = strlen(word);

    for (const char *at = list; at && *at; at += strcspn(at, ",")) {
        at += strspn(at, ", \t");
        if (strncmp(at, word, size) == 0 && strchr(",; \t", at[size]))
            return strncmp(at + size, ";q=0", 4) != 0;
    }
    return false;
}

/* The smallest form that the browser takes. */
static enum http_coding choose_coding(const struct http_request *request)
{
    const char *accepted = request->message.header[HEADER_ACCEPT_ENCODING];
    enum http_coding coding = HTTP_BROTLI;

    while (coding > HTTP_PLAIN && !lists(accepted, http_coding_names[coding]))
        coding--;
    return coding;
}

int http_reply_asset(const struct http_request *request, const struct http_asset *asset)
{
    const enum http_coding coding = choose_coding(request);
    const struct http_form *form = &asset->forms[coding];
    struct http_peer *peer = http_reply_new(request);
    struct http_reply *reply;

    if (!peer)
        return -1;
    reply = &peer->reply;
    reply->body = form->data;
    reply->body_left = (size_t)(form->end - form->data);
    make_etag(reply->etag, asset, http_coding_names[coding]);
    reply->head = (struct http_head){.status = HTTP_OK,
                                     .type = asset->type,
                                     .etag = reply->etag,
                                     .coding = http_coding_names[coding],
                                     .length = reply->body_left};
    if (lists(request->message.header[HEADER_IF_NONE_MATCH], reply->etag)) {
        reply->head.status = HTTP_NOT_MODIFIED;
        reply->no_body = true;
    }
    http_reply_start(peer);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The response is out: the connection waits for its next request. */
static int end(struct http_peer *peer)
{
    struct http_connection *connection = peer->connection;
    bool close = peer->reply.head.close || peer->reply.head.endless;

    http_peer_free(peer);
    http_connection_next(connection, !close);
    return 0;
}

static int write_head(struct http_peer *peer)
{
    char head[HTTP_HEAD_MAX];
    size_t size;

    peer->reply.head.close |= peer->reply.ends;
    size = http_head_write(&peer->reply.head, head);
    peer->reply.state = REPLY_BODY;
    return http_connection_write(peer->connection, head, size);
}

/* A piece of the feed's answer; a stream goes on when enough of it was taken. */
static int write_answer(struct http_peer *peer)
{
    struct outbox_piece piece;

    if (!outbox_peek(&peer->out, HTTP_PIECE, &piece))
        return peer->reply.head.endless ? 0 : end(peer);
    if (http_connection_write(peer->connection, piece.data, piece.size) < 0)
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
    if (http_connection_write(peer->connection, reply->body, size) < 0)
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

/* While a peer waits for the feed it is not polled, so each second we look at the socket whether it
 * has left. A client that sends more before its answer is out, and does not take that answer, is
 * cut by the same look: it uses pipelining, which HTTP allows and no browser uses. */
static bool has_left(struct http_peer *peer)
{
    return http_connection_has_left(peer->connection, peer->out.stalled_ticks == 0);
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
    else if (streams)
        feed_client_drained(peer->client);
}
