#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/host/files.h"
#include "daemon/host/log.h"
#include "daemon/host/paths.h"
#include "daemon/http/parts.h"
#include "proto/base/address.h"

/* ---- requests -------------------------------------------------------------------------------- */

static int answer_ready(const struct http_request *request)
{
    return request->http->is_ready(request->http->ready_arg)
               ? http_reply_text(request, HTTP_OK, "ready")
               : http_reply_text(request, HTTP_UNAVAILABLE, "stopping");
}

/* The page, and the answer that we live, say nothing of the runs: they are for everybody that Host
 * and Origin let in. All else needs the token, whether it exists or not. */
static int answer(struct http_request *request)
{
    const char *path = request->message.path;
    const struct http_asset *asset = path ? http_asset_find(path) : NULL;
    bool is_alive = path && strcmp(path, "/healthz") == 0,
         is_ready = path && strcmp(path, "/readyz") == 0;
    struct err why = {""};
    enum http_code status = http_request_check(request, !asset && !is_alive && !is_ready, &why);

    if (status != HTTP_OK)
        return http_reply_refuse(request, status, &why);
    if (asset)
        return http_reply_asset(request, asset);
    if (is_alive)
        return http_reply_text(request, HTTP_OK, "alive");
    if (is_ready)
        return answer_ready(request);
    return http_api_is_rpc(path) ? http_api_post(request) : http_api_request(request);
}

static int answer_or_refuse(struct http_connection *connection, const char *head, size_t size)
{
    struct http_request request;
    struct err why = {""};
    enum http_code status = http_request_read(&request, connection, head, size, &why);

    if (status != HTTP_OK)
        return http_reply_refuse(&request, status, &why);
    return http_message_lists(request.message.header[HEADER_UPGRADE], "websocket")
               ? http_socket_request(&request)
               : answer(&request);
}

static int refuse_head(struct http_connection *connection, enum http_code code)
{
    struct http_request request = {.http = http_connection_of(connection),
                                   .connection = connection};
    struct err why;

    if (code == HTTP_BAD_REQUEST)
        err_set(&why, 0, "this is no HTTP: lines end with CR LF, and have no control characters");
    else
        err_set(&why, 0, "a request's head is at most %d bytes", HTTP_HEAD_BYTES_MAX);
    return http_reply_refuse(&request, code, &why);
}

static void on_head(struct http_connection *connection, char *head, size_t size,
                    enum http_code code)
{
    int rc =
        code == HTTP_OK ? answer_or_refuse(connection, head, size) : refuse_head(connection, code);

    if (rc < 0)
        http_connection_close(connection);
}

/* ---- WebSockets ------------------------------------------------------------------------------ */

static int on_peer(struct http_peer *peer, enum lws_callback_reasons reason, const char *in,
                   size_t size)
{
    if (!peer)
        return -1;
    return reason == LWS_CALLBACK_RECEIVE ? http_socket_receive(peer, in, size)
                                          : http_socket_write(peer);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    struct http *http = lws_context_user(lws_get_context(wsi));

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return http_socket_open(http, wsi);
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
        http_peer_free(http_peer_of(wsi));
        return 0;
    case LWS_CALLBACK_HTTP: /* only upgrades come here */
    case LWS_CALLBACK_RAW_ADOPT:
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

static int new_access(const struct http *http, const struct http_config *config,
                      struct http_access **out, struct err *err)
{
    int rc = http_access_new(http->own, config->hosts, config->token_file, out, err);

    if (rc < 0)
        return rc;
    http_access_let_read(*out, config->reads_freely);
    http_access_set_named(*out, http->named);
    http_access_set_certificate(*out, http->certificate);
    return 0;
}

/* What decides on who gets in. */
static int open_guard(struct http *http, const struct http_config *config, struct err *err)
{
    struct address address;
    char *path;
    int rc = proxies_read(config->proxies, &http->proxies, err);

    http->failures = failures_new();
    if (rc == 0 && !http->failures)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0 && config->certificate)
        rc = certificate_new(config->certificate, config->key, &http->certificate, err);
    http->is_clear = !http->certificate && address_parse(http->own, &address) == 0 &&
                     !address_is_loopback(&address);
    if (rc < 0 || !config->state_dir)
        return rc;
    path = paths_join(config->state_dir, HTTP_TOKENS_FILE);
    http->named = path ? tokens_new(path, true) : NULL;
    free(path);
    if (!http->named)
        return err_set(err, -ENOMEM, "out of memory");
    rc = tokens_refresh(http->named, true, err);
    return rc < 0 ? rc : 0;
}

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
    http->may_move = config->may_move;
    http->hub = hub;
    http->listener_fd = -1;
    http->on_head = on_head;
    http->on_body = http_api_body;
    http->on_writable = http_reply_write;
    list_init(&http->peers);
    list_init(&http->connections);
    list_init(&http->links);
    snprintf(http->own, sizeof http->own, "%s", config->address);
    if (config->hosts)
        sscanf(config->hosts, " %255[^, \t]", http->host);
    rc = open_guard(http, config, err);
    if (rc == 0)
        rc = new_access(http, config, &http->access, err);
    return rc == 0 ? http_listen(http, loop, protocols, err) : rc;
}

/* A certificate is renewed while the daemon serves; who is connected stays so. */
static void look_for_certificate(struct http *http, bool always)
{
    struct err err = {""};
    int rc = http->certificate ? certificate_refresh(http->certificate, always, &err) : 0;

    if (rc < 0)
        log_error("http: the certificate stays as it was: %s", err.text);
    else if (rc > 0)
        log_info("http: the certificate was read again");
}

int http_set_access(struct http *http, const struct http_config *config, struct err *err)
{
    struct http_access *fresh;
    int rc = new_access(http, config, &fresh, err);

    look_for_certificate(http, true);
    if (rc < 0)
        return rc;
    http_access_free(http->access);
    http->access = fresh;
    LIST_EACH_SAFE(at, &http->peers)
    {
        if (config->token_file && !config->reads_freely)
            http_peer_cut(LIST_ENTRY(at, struct http_peer, link));
    }
    return 0;
}

const char *http_address(const struct http *http)
{
    return *http->address ? http->address : NULL;
}

void http_certificate_problem(const struct http *http, double now, struct err *problem)
{
    *problem->text = '\0';
    if (http->certificate)
        certificate_problem(http->certificate, now, problem);
}

double http_certificate_expires(const struct http *http)
{
    return http->certificate ? certificate_expires(http->certificate) : 0;
}

void http_tick(struct http *http)
{
    http_listen_tick(http);
    http_tls_tick(http);
    http_guard_tick(http);
    look_for_certificate(http, false);
    LIST_EACH_SAFE(at, &http->peers)
    {
        struct http_peer *peer = LIST_ENTRY(at, struct http_peer, link);

        if (peer->kind == HTTP_SOCKET)
            http_socket_tick(peer);
        else
            http_reply_tick(peer);
    }
    LIST_EACH_SAFE(at, &http->connections)
    {
        http_connection_tick(http_connection_at(at));
    }
}

void http_close(struct http *http)
{
    if (!http)
        return;
    LIST_EACH_SAFE(at, &http->connections)
    {
        http_connection_close(http_connection_at(at));
    }
    http_tls_close(http);
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
    certificate_free(http->certificate);
    tokens_free(http->named);
    failures_free(http->failures);
    free(http);
}
