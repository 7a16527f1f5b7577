#include <stdlib.h>
#include <string.h>

#include "daemon/http/parts.h"

static struct http_peer *new_peer(struct http *http, enum http_peer_kind kind)
{
    struct http_peer *peer = calloc(1, sizeof *peer);

    if (!peer)
        return NULL;
    peer->http = http;
    peer->kind = kind;
    outbox_init(&peer->out);
    list_append(&http->peers, &peer->link);
    return peer;
}

struct http_peer *http_peer_new_reply(struct http_connection *connection)
{
    struct http_peer *peer = new_peer(http_connection_of(connection), HTTP_REPLY);

    if (!peer)
        return NULL;
    peer->connection = connection;
    http_connection_set_peer(connection, peer);
    return peer;
}

struct http_peer *http_peer_new_socket(struct http *http, struct lws *wsi)
{
    struct http_peer *peer = new_peer(http, HTTP_SOCKET);

    if (!peer)
        return NULL;
    peer->wsi = wsi;
    peer->from = http->adopted;
    lws_set_opaque_user_data(wsi, peer);
    return peer;
}

void http_peer_free(struct http_peer *peer)
{
    if (!peer)
        return;
    if (peer->wsi)
        lws_set_opaque_user_data(peer->wsi, NULL);
    else
        http_connection_set_peer(peer->connection, NULL);
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

void http_peer_remember(struct http_peer *peer, const char *token)
{
    peer->has_token = token;
    if (token)
        sha256(token, strlen(token), peer->digest);
}

/* Of lws, as a time-out: a plain close would wait for what the peer does not take. lws looks at its
 * timers when it is called, so it is woken. */
void http_peer_cut(struct http_peer *peer)
{
    if (peer->connection) {
        http_connection_close(peer->connection);
        return;
    }
    lws_set_timeout(peer->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(peer->http->context);
}
