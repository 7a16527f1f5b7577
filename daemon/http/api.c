#include <assert.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/parts.h"
#include "daemon/http/words.h"
#include "proto/json.h"

/* What is asked of the feed over HTTP: one request a peer, answered once, or for ever as a stream
 * of events. */

/* A line of FEED.md says itself whether it is an error. */
static void on_line(void *arg, int code, char *text, size_t size)
{
    struct http_peer *peer = arg;

    (void)code;
    outbox_put(&peer->out, text, size);
    peer->reply.head.length = size;
    http_reply_start(peer);
}

static void on_text(void *arg, int code, char *text, size_t size)
{
    struct http_peer *peer = arg;

    if (code != 0)
        peer->reply.head =
            (struct http_head){.status = http_route_status(code), .type = "application/json"};
    on_line(arg, code, text, size);
}

static void on_long_text(void *arg, struct text *text)
{
    struct http_peer *peer = arg;

    peer->reply.head.length = text_left(text);
    outbox_put_long(&peer->out, text, 0);
    http_reply_start(peer);
}

static size_t pending_bytes(void *arg)
{
    return ((struct http_peer *)arg)->out.pending;
}

/* One request a peer: there is no next one to hand over. */
static void on_ready(void *arg)
{
    (void)arg;
}

/* One for each of the words that a route may have. */
#define TRANSPORT(its_words)                                                                       \
    {                                                                                              \
        .words = (its_words), .send = on_text, .send_long = on_long_text,                          \
        .pending = pending_bytes, .ready = on_ready                                                \
    }
static const struct feed_transport transports[] = {
    TRANSPORT(&http_json),        TRANSPORT(&http_csv),    TRANSPORT(&http_metrics),
    TRANSPORT(&http_run_metrics), TRANSPORT(&http_events),
};

static const struct feed_transport *transport_of(const struct http_route *r)
{
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
        if (transports[i].words == r->words)
            return &transports[i];
    }
    assert(!"a route without a transport");
    return NULL;
}

static int ask(const struct http_request *q, const struct http_route *route, const char *request)
{
    struct http_peer *peer = http_reply_new(q);

    if (!peer)
        return -1;
    peer->reply.head =
        (struct http_head){.status = HTTP_OK, .type = route->type, .endless = route->endless};
    peer->client = feed_client_new(q->http->hub, transport_of(route), peer);
    if (!peer->client)
        return -1;
    http_peer_remember(peer, http_access_bearer(&q->asker));
    feed_client_request(peer->client, request, strlen(request));
    return 0;
}

int http_api_request(const struct http_request *q)
{
    struct err why = {""};
    const char *accept = q->message.header[HEADER_ACCEPT],
               *last_event = q->message.header[HEADER_LAST_EVENT_ID];
    bool wants_csv = accept && strncmp(accept, "text/csv", 8) == 0;
    const char *run;
    char *request = NULL;
    size_t run_size;
    const struct http_route *route = http_route_find(q->message.path, wants_csv, &run, &run_size);
    enum http_code code;
    int rc;

    if (!route)
        return http_reply_refuse(q, HTTP_NOT_FOUND, &(struct err){"there is nothing at this path"});
    if (!route->endless || (last_event && !*last_event))
        last_event = NULL;
    code = http_route_request(route, run, run_size, &q->args, last_event, &request, &why);
    if (code != HTTP_OK)
        return http_reply_refuse(q, code, &why);
    rc = ask(q, route, request);
    cJSON_free(request);
    return rc;
}

/* ---- JSON-RPC -------------------------------------------------------------------------------- */

bool http_api_is_rpc(const char *path)
{
    return path && strcmp(path, "/api/v1/rpc") == 0;
}

static bool may_write(void *arg)
{
    return ((struct http_peer *)arg)->reply.may_write;
}

static const struct feed_transport rpc_transport = {
    .words = &feed_lines,
    .send = on_line,
    .send_long = on_long_text,
    .may_write = may_write,
    .pending = pending_bytes,
    .ready = on_ready,
    .answers_once = true,
};

/* A page elsewhere can post a form or plain text without asking us; JSON it cannot. */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;

    return type && strncasecmp(type, json, n) == 0 && (type[n] == '\0' || strchr("; \t", type[n]));
}

static enum http_code check_post(const struct http_request *q, struct err *why)
{
    const char *expects = q->message.header[HEADER_EXPECT];

    if (!is_json(q->message.header[HEADER_CONTENT_TYPE]))
        return err_set(why, HTTP_NO_TYPE, "a request is JSON: Content-Type: application/json");
    if (q->message.body_size < 0)
        return err_set(why, HTTP_NO_LENGTH, "a body comes with its Content-Length, not in chunks");
    if (q->message.body_size > HTTP_BODY_BYTES_MAX)
        return err_set(why, HTTP_BODY_TOO_LARGE, "a body is at most 1 MiB");
    if (q->args.n > 0)
        return err_set(why, HTTP_BAD_REQUEST, "the parameters of a request are in its body");
    if (expects && !q->message.is_1_0 && strcasecmp(expects, "100-continue") != 0)
        return err_set(why, HTTP_NOT_EXPECTED, "100-continue is all that may be expected");
    return HTTP_OK;
}

/* A client that waits for a word before it sends the body gets it. */
static int go_on(const struct http_request *q)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (!q->message.header[HEADER_EXPECT] || q->message.is_1_0 || q->message.body_size == 0 ||
        http_connection_has_more(q->connection))
        return 0;
    return http_connection_write(q->connection, text, sizeof text - 1);
}

int http_api_post(const struct http_request *q)
{
    struct err why = {""};
    enum http_code code = check_post(q, &why);
    struct http_peer *peer;

    if (code != HTTP_OK)
        return http_reply_refuse(q, code, &why);
    peer = http_reply_new(q);
    if (!peer)
        return -1;
    peer->reply.head = (struct http_head){.status = HTTP_OK, .type = "application/json"};
    peer->reply.may_write = http_access_may_edit_by(q->http->access, &q->asker);
    peer->client = feed_client_new(q->http->hub, &rpc_transport, peer);
    if (!peer->client || http_connection_take_body(q->connection, (size_t)q->message.body_size) < 0)
        return -1;
    return go_on(q);
}

void http_api_body(struct http_peer *peer, const char *body, size_t size)
{
    feed_client_request(peer->client, body, size);
}
