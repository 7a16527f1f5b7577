#include <assert.h>
#include <stdlib.h>

#include "daemon/http/parts.h"

struct http_peer *http_peer_new(struct http *http, struct lws *wsi, enum http_peer_kind kind)
{
    struct http_peer *peer = calloc(1, sizeof *peer);

    if (!peer)
        return NULL;
    http_peer_free(http_peer_of(wsi));
    peer->http = http;
    peer->wsi = wsi;
    peer->kind = kind;
    outbox_init(&peer->out);
    list_append(&http->peers, &peer->link);
    lws_set_opaque_user_data(wsi, peer);
    return peer;
}

void http_peer_free(struct http_peer *peer)
{
    if (!peer)
        return;
    assert(http_peer_of(peer->wsi) == peer);
    lws_set_opaque_user_data(peer->wsi, NULL);
    list_remove(&peer->link);
    if (peer->client)
        feed_client_close(peer->client);
    outbox_release(&peer->out);
    if (peer->kind == HTTP_SOCKET)
        free(peer->socket.message);
    free(peer);
}

struct http_peer *http_peer_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

/* As a time-out: a plain close would wait for what the peer does not take. lws looks at its timers
 * when it is called, so it is woken. */
void http_peer_cut(struct http_peer *peer)
{
    assert(http_peer_of(peer->wsi) == peer);
    lws_set_timeout(peer->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(peer->http->context);
}
