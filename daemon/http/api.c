#include <assert.h>
#include <string.h>

#include "daemon/http/parts.h"
#include "daemon/http/words.h"
#include "proto/json.h"

/* What is asked of the feed over HTTP: one request a peer, answered once, or for ever as a stream
 * of events. */

static void on_text(void *arg, int code, char *text, size_t size)
{
    struct http_peer *peer = arg;

    outbox_put(&peer->out, text, size);
    if (code != 0)
        peer->reply.head =
            (struct http_head){.status = http_route_status(code), .type = "application/json"};
    peer->reply.head.length = size;
    http_reply_start(peer);
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
