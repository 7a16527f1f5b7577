#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"

/* ---- peers ----------------------------------------------------------------------------------- */

struct http_peer *http_peer_new(struct http *h, struct lws *wsi, enum http_peer_kind kind)
{
    struct http_peer *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    http_peer_free(http_peer_of(wsi));
    p->http = h;
    p->wsi = wsi;
    p->kind = kind;
    outbox_init(&p->out);
    list_append(&h->peers, &p->link);
    lws_set_opaque_user_data(wsi, p);
    return p;
}

void http_peer_free(struct http_peer *p)
{
    if (!p)
        return;
    lws_set_opaque_user_data(p->wsi, NULL);
    list_remove(&p->link);
    if (p->client)
        feed_client_close(p->client);
    outbox_release(&p->out);
    free(p->message);
    free(p);
}

/* As a time-out: a plain close would wait for what the peer does not take. lws looks at its timers
 * when it is called, so it is woken. */
void http_peer_cut(struct http_peer *p)
{
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(p->http->context);
}

/* ---- requests -------------------------------------------------------------------------------- */

int http_header(struct lws *wsi, enum lws_token_indexes token, char *out)
{
    int n = lws_hdr_total_length(wsi, token);

    *out = '\0';
    if (n <= 0)
        return 0;
    return lws_hdr_copy(wsi, out, HTTP_TEXT_MAX, token) > 0 && strlen(out) == (size_t)n ? 1 : -1;
}

enum http_code http_check(struct http *h, struct lws *wsi, bool needs_token, struct err *e)
{
    char host[HTTP_TEXT_MAX], origin[HTTP_TEXT_MAX], authorization[HTTP_TEXT_MAX];
    int has_host = http_header(wsi, WSI_TOKEN_HOST, host);
    int has_origin = http_header(wsi, WSI_TOKEN_ORIGIN, origin);
    int has_authorization = http_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization);
    struct http_asker asker = {
        .host = has_host > 0 ? host : NULL,
        .origin = has_origin > 0 ? origin : NULL,
        .authorization = has_authorization > 0 ? authorization : NULL,
    };
    enum http_code status;

    if (has_host < 0 || has_origin < 0 || has_authorization < 0)
        return err_set(e, HTTP_BAD_REQUEST, "a header is too long, or has no single value");
    status = http_access_check_names(h->access, &asker, e);
    if (status == HTTP_OK && needs_token)
        status = http_access_check_token(h->access, &asker, e);
    return status;
}

static int on_request(struct http *h, struct lws *wsi, const char *path, size_t size)
{
    char text[HTTP_TEXT_MAX];

    if (size >= sizeof text || memchr(path, '\0', size))
        return http_reply_refuse(h, wsi, HTTP_BAD_REQUEST,
                                 &(struct err){"a path of 2 KiB or more"});
    memcpy(text, path, size);
    text[size] = '\0';
    return http_reply_request(h, wsi, text);
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
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        http_peer_free(http_peer_of(wsi));
        return 0;
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT, which lws would make a raw socket of */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

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

    *out = h;
    if (!h)
        return err_set(e, -ENOMEM, "out of memory");
    h->is_ready = config->is_ready;
    h->ready_arg = config->arg;
    h->hub = hub;
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
            http_api_tick(p);
    }
}

void http_close(struct http *h)
{
    if (h && h->context)
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
