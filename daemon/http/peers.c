#include <assert.h>
#include <stdlib.h>

#include "daemon/http/parts.h"

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
    assert(http_peer_of(p->wsi) == p);
    lws_set_opaque_user_data(p->wsi, NULL);
    list_remove(&p->link);
    if (p->client)
        feed_client_close(p->client);
    outbox_release(&p->out);
    if (p->kind == HTTP_SOCKET)
        free(p->socket.message);
    free(p);
}

struct http_peer *http_peer_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

/* As a time-out: a plain close would wait for what the peer does not take. lws looks at its timers
 * when it is called, so it is woken. */
void http_peer_cut(struct http_peer *p)
{
    assert(http_peer_of(p->wsi) == p);
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(p->http->context);
}
