#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/host/files.h"
#include "daemon/http/parts.h"

/* ---- requests -------------------------------------------------------------------------------- */

static int answer_ready(const struct http_request *request)
{
    return request->http->is_ready(request->http->ready_arg)
               ? http_reply_text(request, HTTP_OK, "ready")
               : http_reply_text(request, HTTP_UNAVAILABLE, "stopping");
}

/* The page, and the answer that we live, say nothing of the runs: they are for everybody that Host
 * and Origin let in. All else needs the token, whether it exists or not. */
static int answer(const struct http_request *request)
{
    const struct http_asset *asset = http_asset_find(request->path);
    bool is_alive = strcmp(request->path, "/healthz") == 0,
         is_ready = strcmp(request->path, "/readyz") == 0;
    struct err why = {""};
    enum http_code status = http_request_check(request, !asset && !is_alive && !is_ready, &why);

    if (status == HTTP_OK && request->method == HTTP_OTHER_METHOD)
        status = err_set(&why, HTTP_NO_METHOD, "GET and HEAD are what is answered here");
    if (status != HTTP_OK)
        return http_reply_refuse(request, status, &why);
    if (asset)
        return http_reply_asset(request, asset);
    if (is_alive)
        return http_reply_text(request, HTTP_OK, "alive");
    return is_ready ? answer_ready(request) : http_api_request(request);
}

static int on_request(struct http *http, struct lws *wsi, const char *path, size_t size)
{
    struct http_request request;
    struct err why = {""};
    enum http_code status = http_request_read(&request, http, wsi, path, size, &why);

    return status == HTTP_OK ? answer(&request) : http_reply_refuse(&request, status, &why);
}

/* What a WebSocket's callbacks and a request's have in common: they know their peer. */
static int on_peer(struct http_peer *peer, enum lws_callback_reasons reason, const char *in,
                   size_t size)
{
    if (!peer)
        return -1;
    switch (reason) {
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_reply_write(peer);
    case LWS_CALLBACK_RECEIVE:
        return http_socket_receive(peer, in, size);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return http_socket_write(peer);
    default:
        return -1;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    struct http *http = lws_context_user(lws_get_context(wsi));

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(http, wsi, in, size);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return http_socket_confirm(http, wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return http_socket_open(http, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_peer_of(wsi) ? on_peer(http_peer_of(wsi), reason, in, size) : 0;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_peer(http_peer_of(wsi), reason, in, size);
    case LWS_CALLBACK_WSI_CREATE:
        files_note(FILES_HTTP, ++http->n_connections);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        files_note(FILES_HTTP, --http->n_connections);
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
              struct http **out, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    int rc;

    assert(config->address && config->is_ready);
    *out = http;
    if (!http)
        return err_set(err, -ENOMEM, "out of memory");
    http->is_ready = config->is_ready;
    http->ready_arg = config->arg;
    http->hub = hub;
    http->listener_fd = -1;
    list_init(&http->peers);
    snprintf(http->own, sizeof http->own, "%s", config->address);
    rc = http_access_new(http->own, config->hosts, config->token_file, &http->access, err);
    return rc == 0 ? http_listen(http, loop, protocols, err) : rc;
}

int http_set_access(struct http *http, const char *hosts, const char *token_file, struct err *err)
{
    struct http_access *fresh;
    int rc = http_access_new(http->own, hosts, token_file, &fresh, err);

    if (rc < 0)
        return rc;
    http_access_free(http->access);
    http->access = fresh;
    LIST_EACH(at, &http->peers)
    {
        if (token_file)
            http_peer_cut(LIST_ENTRY(at, struct http_peer, link));
    }
    return 0;
}

const char *http_address(const struct http *http)
{
    return http->address;
}

void http_tick(struct http *http)
{
    http_listen_tick(http);
    LIST_EACH_SAFE(at, &http->peers)
    {
        struct http_peer *peer = LIST_ENTRY(at, struct http_peer, link);

        if (peer->kind == HTTP_SOCKET)
            http_socket_tick(peer);
        else
            http_reply_tick(peer);
    }
}

void http_close(struct http *http)
{
    if (http)
        http_listen_close(http);
}

/* The second of two calls that a foreign loop needs: this one frees. */
void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->context)
        lws_context_destroy(http->context);
    assert(list_empty(&http->peers));
    http_access_free(http->access);
    free(http);
}
