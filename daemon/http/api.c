#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/http/parts.h"
#include "daemon/http/route.h"
#include "daemon/http/words.h"

/* What is asked of the feed over HTTP: one request a peer, answered once, or for ever as a stream
 * of events.
 *
 * While a peer waits for the feed it is not polled: libwebsockets would not read what comes then,
 * and libuv would tell of it again and again. So each second a look at the socket finds those who
 * left. A client that sends more before its answer is out, and does not take that answer, is cut by
 * the same look: HTTP has a use for it that nobody uses (pipelining). */

/* Proxies close what is silent for a minute. */
#define HEARTBEAT_TICKS 15
#define MAX_ARGS        64

static void start_writing(struct http_peer *p)
{
    p->answered = true;
    lws_rx_flow_control(p->wsi, 1);
    lws_callback_on_writable(p->wsi);
}

static void on_text(void *arg, int code, char *text, size_t size)
{
    struct http_peer *p = arg;

    outbox_put(&p->out, text, size);
    if (code != 0)
        p->head = (struct http_head){.status = http_route_status(code), .type = "application/json"};
    p->head.length = size;
    start_writing(p);
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
        .words = (its_words), .send = on_text, .pending = pending_bytes, .ready = on_ready         \
    }
static const struct feed_transport transports[] = {
    TRANSPORT(&http_json),        TRANSPORT(&http_csv),    TRANSPORT(&http_metrics),
    TRANSPORT(&http_run_metrics), TRANSPORT(&http_events),
};

static const struct feed_transport *transport_of(const struct http_route *r)
{
    const struct feed_transport *t = transports;

    while (t->words != r->words)
        t++;
    return t;
}

static int ask(struct http_peer *p, const struct http_route *r, const char *request)
{
    p->head = (struct http_head){.status = HTTP_OK, .type = r->type, .endless = r->endless};
    p->client = feed_client_new(p->http->hub, transport_of(r), p);
    if (!p->client)
        return -1;
    feed_client_request(p->client, request, strlen(request));
    if (!p->answered)
        lws_rx_flow_control(p->wsi, 0);
    return 0;
}

/* ---- parameters ------------------------------------------------------------------------------ */

struct args {
    char texts[HTTP_TEXT_MAX];
    const char *at[MAX_ARGS];
    struct http_args list;
};

/* libwebsockets has split the query and decoded it. */
static bool read_args(struct lws *wsi, struct args *args)
{
    size_t used = 0;
    int n = 0;

    args->list = (struct http_args){.text = args->at};
    for (int i = 0; i < MAX_ARGS; i++) {
        n = lws_hdr_copy_fragment(wsi, args->texts + used, (int)(sizeof args->texts - used),
                                  WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) == 0;
        args->at[args->list.n++] = args->texts + used;
        used += (size_t)n + 1;
        if (used >= sizeof args->texts)
            return false;
    }
    return lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, MAX_ARGS) == 0;
}

/* What a browser sends when it connects a stream again: the id of the last event. */
static bool read_last_id(struct lws *wsi, char out[32])
{
    static const char name[] = "last-event-id:";
    int n = lws_hdr_custom_length(wsi, name, sizeof name - 1);

    return n > 0 && n < 32 && lws_hdr_custom_copy(wsi, out, 32, name, sizeof name - 1) > 0;
}

int http_api_request(struct http *h, struct lws *wsi, const char *path)
{
    struct args args;
    struct err why = {"the query is longer than 2 KiB, or has more than 64 parts"};
    char accept[HTTP_TEXT_MAX], id[32], *request = NULL;
    bool wants_csv =
        http_header(wsi, WSI_TOKEN_HTTP_ACCEPT, accept) > 0 && strncmp(accept, "text/csv", 8) == 0;
    const char *run;
    size_t run_size;
    const struct http_route *r = http_route_find(path, wants_csv, &run, &run_size);
    enum http_code code = HTTP_BAD_REQUEST;
    struct http_peer *p;
    int rc;

    if (!r)
        return http_reply_refuse(h, wsi, HTTP_NOT_FOUND,
                                 &(struct err){"there is nothing at this path"});
    if (read_args(wsi, &args))
        code = http_route_request(r, run, run_size, &args.list,
                                  r->endless && read_last_id(wsi, id) ? id : NULL, &request, &why);
    if (code != HTTP_OK)
        return http_reply_refuse(h, wsi, code, &why);
    p = http_reply_new(h, wsi);
    rc = p ? ask(p, r, request) : -1;
    cJSON_free(request);
    return rc;
}

/* ---- those who wait -------------------------------------------------------------------------- */

static bool has_left(struct http_peer *p)
{
    char byte;
    ssize_t n = recv(lws_get_socket_fd(p->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n > 0 && p->out.stalled_ticks > 0) ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void beat(struct http_peer *p)
{
    char *text = strdup(":\n\n");

    if (text)
        on_text(p, 0, text, 3);
}

void http_api_tick(struct http_peer *p)
{
    unsigned stalled = outbox_tick(&p->out);

    if (p->head.endless && p->answered && ++p->ticks % HEARTBEAT_TICKS == 0 && p->out.pending == 0)
        beat(p);
    if (p->out.lost || stalled >= HTTP_STALL_TICKS || has_left(p))
        http_peer_cut(p);
}

void http_api_drained(struct http_peer *p)
{
    if (p->head.endless && p->out.pending <= FEED_MAX_PENDING)
        feed_client_drained(p->client);
}
