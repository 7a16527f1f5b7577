#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"

/* ---- writing --------------------------------------------------------------------------------- */

/* The response is out, or lws has what is left of it: the connection waits for its next request. */
static int end(struct http_peer *p)
{
    struct lws *wsi = p->wsi;
    bool close = p->head.close || p->head.endless;

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
    size_t size = http_head_write(&p->head, head);

    p->head_is_sent = true;
    return write_bytes(p, head, size);
}

/* From constant data, or from what the feed answered. False when nothing is left. */
static bool next_piece(struct http_peer *p, struct outbox_piece *out)
{
    if (!p->body)
        return outbox_peek(&p->out, HTTP_PIECE, out);
    out->data = (const char *)p->body;
    out->size = p->body_left < HTTP_PIECE ? p->body_left : HTTP_PIECE;
    return out->size > 0;
}

int http_reply_write(struct http_peer *p)
{
    struct outbox_piece piece;

    if (!p->answered)
        return 0;
    if (p->out.lost)
        return -1;
    if (!p->head_is_sent)
        return write_head(p);
    if (p->is_head || !next_piece(p, &piece))
        return p->head.endless && !p->is_head ? rest(p) : end(p);
    if (write_bytes(p, piece.data, piece.size) < 0)
        return -1;
    if (p->body) {
        p->body += piece.size;
        p->body_left -= piece.size;
    } else {
        outbox_take(&p->out, &piece);
        http_api_drained(p);
    }
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The head is complete: it is written when the socket takes it. */
static void answer(struct http_peer *p)
{
    p->answered = true;
    lws_callback_on_writable(p->wsi);
}

struct http_peer *http_reply_new(struct http *h, struct lws *wsi)
{
    struct http_peer *p = http_peer_new(h, wsi, HTTP_ANSWER);

    if (!p)
        return NULL;
    p->is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    return p;
}

/* A short text, which is copied. */
static int answer_text(struct http *h, struct lws *wsi, enum http_code status, const char *text)
{
    struct http_peer *p = http_reply_new(h, wsi);
    char *line = NULL;
    int size = p ? asprintf(&line, "%s\n", text) : -1;

    if (size < 0)
        return -1;
    outbox_put(&p->out, line, (size_t)size);
    p->head = (struct http_head){
        .status = status, .type = "text/plain; charset=utf-8", .length = (uint64_t)size};
    p->head.close = status >= 400;
    answer(p);
    return 0;
}

int http_reply_refuse(struct http *h, struct lws *wsi, enum http_code status, const struct err *why)
{
    return answer_text(h, wsi, status, why->text);
}

/* Whether a comma-separated header has the word, and not with quality 0. */
static bool header_has(struct lws *wsi, enum lws_token_indexes token, const char *word)
{
    char text[HTTP_TEXT_MAX];
    const char *at = http_header(wsi, token, text) > 0 ? strstr(text, word) : NULL;

    return at && strncmp(at + strlen(word), ";q=0", 4) != 0;
}

/* The tag of one form of the file: caches must not mix them up. */
static void make_etag(char out[32], const struct http_asset *a, bool gzip)
{
    snprintf(out, 32, "\"%s%s\"", a->hash, gzip ? "-gzip" : "");
}

static int answer_asset(struct http *h, struct lws *wsi, const struct http_asset *a)
{
    bool gzip = header_has(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, "gzip");
    struct http_peer *p = http_reply_new(h, wsi);

    if (!p)
        return -1;
    p->body = gzip ? a->gzip : a->data;
    p->body_left = (size_t)((gzip ? a->gzip_end : a->data_end) - p->body);
    make_etag(p->etag, a, gzip);
    p->head = (struct http_head){
        .status = HTTP_OK, .type = a->type, .etag = p->etag, .gzip = gzip, .length = p->body_left};
    if (header_has(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, p->etag)) {
        p->head.status = HTTP_NOT_MODIFIED;
        p->is_head = true;
    }
    answer(p);
    return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool may_read(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0 ||
           lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
}

static int answer_ready(struct http *h, struct lws *wsi)
{
    bool ready = h->is_ready(h->ready_arg);

    return answer_text(h, wsi, ready ? HTTP_OK : HTTP_UNAVAILABLE, ready ? "ready" : "stopping");
}

/* The page and whether we live say nothing of the runs: they are for everybody whom Host and Origin
 * let in. All else needs the token, whether it exists or not. */
int http_reply_request(struct http *h, struct lws *wsi, const char *path)
{
    const struct http_asset *asset = http_asset_find(path);
    bool is_open = asset || strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0;
    struct err why = {""};
    enum http_code status = http_check(h, wsi, !is_open, &why);

    if (status == HTTP_OK && !may_read(wsi))
        status = err_set(&why, HTTP_NO_METHOD, "GET and HEAD are what is answered here");
    if (status != HTTP_OK)
        return http_reply_refuse(h, wsi, status, &why);
    if (asset)
        return answer_asset(h, wsi, asset);
    if (strcmp(path, "/healthz") == 0)
        return answer_text(h, wsi, HTTP_OK, "alive");
    if (strcmp(path, "/readyz") == 0)
        return answer_ready(h, wsi);
    return http_api_request(h, wsi, path);
}
