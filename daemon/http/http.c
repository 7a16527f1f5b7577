#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"

/* ---- requests -------------------------------------------------------------------------------- */

static int answer_ready(const struct http_request *q)
{
    return q->http->is_ready(q->http->ready_arg) ? http_reply_text(q, HTTP_OK, "ready")
                                                 : http_reply_text(q, HTTP_UNAVAILABLE, "stopping");
}

/* The page, and the answer that we live, say nothing of the runs: they are for everybody that Host
 * and Origin let in. All else needs the token, whether it exists or not. */
static int answer(const struct http_request *q)
{
    const struct http_asset *asset = http_asset_find(q->path);
    bool is_alive = strcmp(q->path, "/healthz") == 0, is_ready = strcmp(q->path, "/readyz") == 0;
    struct err why = {""};
    enum http_code status = http_request_check(q, !asset && !is_alive && !is_ready, &why);

    if (status == HTTP_OK && q->method == HTTP_OTHER_METHOD)
        status = err_set(&why, HTTP_NO_METHOD, "GET and HEAD are what is answered here");
    if (status != HTTP_OK)
        return http_reply_refuse(q, status, &why);
    if (asset)
        return http_reply_asset(q, asset);
    if (is_alive)
        return http_reply_text(q, HTTP_OK, "alive");
    return is_ready ? answer_ready(q) : http_api_request(q);
}

static int on_request(struct http *h, struct lws *wsi, const char *path, size_t size)
{
    struct http_request request;
    struct err why = {""};
    enum http_code status = http_request_read(&request, h, wsi, path, size, &why);

    return status == HTTP_OK ? answer(&request) : http_reply_refuse(&request, status, &why);
}

/* What a WebSocket's callbacks and a request's have in common: they know their peer. */
static int on_peer(struct http_peer *p, enum lws_callback_reasons reason, const char *in,
                   size_t size)
{
    if (!p)
        return -1;
    switch (reason) {
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_reply_write(p);
    case LWS_CALLBACK_RECEIVE:
        return http_socket_receive(p, in, size);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return http_socket_write(p);
    default:
        return -1;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    struct http *h = lws_context_user(lws_get_context(wsi));

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(h, wsi, in, size);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return http_socket_confirm(h, wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return http_socket_open(h, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_peer_of(wsi) ? on_peer(http_peer_of(wsi), reason, in, size) : 0;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_peer(http_peer_of(wsi), reason, in, size);
    case LWS_CALLBACK_WSI_CREATE:
        h->n_connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        h->n_connections--;
        http_peer_free(http_peer_of(wsi));
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
        http_peer_free(http_peer_of(wsi));
        return 0;
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT, which lws would make a raw socket of */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = on_event},
    {.name = HTTP_TOKEN_PROTOCOL, .callback = on_event},
    {.name = NULL},
};

int http_open(uv_loop_t *loop, const struct http_config *config, struct feedhub *hub,
              struct http **out, struct err *e)
{
    struct http *h = calloc(1, sizeof *h);
    int rc;

    assert(config->address && config->is_ready);
    *out = h;
    if (!h)
        return err_set(e, -ENOMEM, "out of memory");
    h->is_ready = config->is_ready;
    h->ready_arg = config->arg;
    h->hub = hub;
    h->listener_fd = -1;
    list_init(&h->peers);
    snprintf(h->own, sizeof h->own, "%s", config->address);
    rc = http_access_new(h->own, config->hosts, config->token_file, &h->access, e);
    return rc == 0 ? http_listen(h, loop, protocols, e) : rc;
}

int http_set_access(struct http *h, const char *hosts, const char *token_file, struct err *e)
{
    struct http_access *fresh;
    int rc = http_access_new(h->own, hosts, token_file, &fresh, e);

    if (rc < 0)
        return rc;
    http_access_free(h->access);
    h->access = fresh;
    LIST_EACH(at, &h->peers)
    {
        if (token_file)
            http_peer_cut(LIST_ENTRY(at, struct http_peer, link));
    }
    return 0;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

void http_tick(struct http *h)
{
    http_listen_tick(h);
    LIST_EACH_SAFE(at, &h->peers)
    {
        struct http_peer *p = LIST_ENTRY(at, struct http_peer, link);

        if (p->kind == HTTP_SOCKET)
            http_socket_tick(p);
        else
            http_reply_tick(p);
    }
}

void http_close(struct http *h)
{
    if (h)
        http_listen_close(h);
}

/* The second of two calls that a foreign loop needs: this one frees. */
void http_free(struct http *h)
{
    if (!h)
        return;
    if (h->context)
        lws_context_destroy(h->context);
    assert(list_empty(&h->peers));
    http_access_free(h->access);
    free(h);
}
