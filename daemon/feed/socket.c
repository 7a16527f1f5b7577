#include "daemon/feed/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/feed/connections.h"
#include "daemon/host/holder.h"
#include "daemon/host/files.h"
#include "proto/base/address.h"

/* Tested by tests/e2e: test_tcp_sockets_on_loopback.py, test_survives_a_restart.py. */

#define BACKLOG CONNECTIONS_MAX /* a connect that does not wait fails when it is full */

struct feedsock {
    union feed_stream server;
    char address[256];
    struct connections connections;
    bool server_is_open;
    void (*on_closed)(void *arg); /* NULL: it is not closing */
    void *closed_arg;
};

/* When the server and the last connection are gone. */
static void finish_close(void *arg)
{
    struct feedsock *sock = arg;
    void (*on_closed)(void *) = sock->on_closed;
    void *closed_arg = sock->closed_arg;

    if (!on_closed || sock->server_is_open || sock->connections.n > 0)
        return;
    free(sock);
    on_closed(closed_arg);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct feedsock *sock = server->data;

    if (status == 0)
        connections_accept(&sock->connections, server);
}

static int listen_pipe(struct feedsock *sock, const char *path)
{
    int rc;

    unlink(path);
    rc = uv_pipe_bind(&sock->server.pipe, path);
    if (rc == 0 && chmod(path, 0600) < 0)
        rc = -errno;
    if (rc == 0)
        rc = uv_listen(&sock->server.stream, BACKLOG, on_connection);
    snprintf(sock->address, sizeof sock->address, "unix:%s", path);
    return rc;
}

/* paths_complete has checked the address. */
static int listen_tcp(struct feedsock *sock, const char *text)
{
    struct sockaddr_storage bound;
    struct address address;
    int size = sizeof bound, rc = -EINVAL;

    if (address_parse(text, &address) == 0 && address_to_socket(&address, &bound) > 0)
        rc = uv_tcp_bind(&sock->server.tcp, (struct sockaddr *)&bound, 0);
    if (rc == 0)
        rc = uv_listen(&sock->server.stream, BACKLOG, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&sock->server.tcp, (struct sockaddr *)&bound, &size);
    if (rc < 0)
        return rc;
    address.port = ntohs(((struct sockaddr_in *)&bound)->sin_port); /* where sin6_port lies, too */
    memcpy(sock->address, "tcp:", 5);
    return address_print(&address, sock->address + 4, sizeof sock->address - 4);
}

static void on_failed_server_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int feedsock_open(uv_loop_t *loop, const char *address, struct feedhub *hub, struct feedsock **out,
                  struct err *err)
{
    struct feedsock *sock = calloc(1, sizeof *sock);
    bool is_pipe = strncmp(address, "unix:", 5) == 0;
    char held[HOLDER_SIZE];
    int rc;

    if (!sock)
        return err_set(err, -ENOMEM, "out of memory");
    sock->connections = (struct connections){.loop = loop,
                                             .is_pipe = is_pipe,
                                             .hub = hub,
                                             .max = files_reserve(FILES_FEED, CONNECTIONS_MAX),
                                             .on_gone = finish_close,
                                             .arg = sock};
    list_init(&sock->connections.list);
    rc = feed_stream_init(loop, is_pipe, &sock->server);
    if (rc < 0) {
        free(sock);
        return err_set(err, rc, "%s: %s", address, uv_strerror(rc));
    }
    sock->server.stream.data = sock;
    rc = is_pipe ? listen_pipe(sock, address + 5) : listen_tcp(sock, address + 4);
    if (rc < 0) {
        err_set(err, rc, "%s: %s%s", address, uv_strerror(rc), holder_describe(address, rc, held));
        uv_close((uv_handle_t *)&sock->server, on_failed_server_closed);
        return rc;
    }
    sock->server_is_open = true;
    *out = sock;
    return 0;
}

const char *feedsock_address(const struct feedsock *sock)
{
    return sock->address;
}

void feedsock_tick(struct feedsock *sock)
{
    connections_tick(&sock->connections);
}

static void on_server_closed(uv_handle_t *handle)
{
    struct feedsock *sock = handle->data;

    sock->server_is_open = false;
    finish_close(sock);
}

void feedsock_close(struct feedsock *sock, void (*on_closed)(void *arg), void *arg)
{
    assert(on_closed && !sock->on_closed);
    sock->on_closed = on_closed;
    sock->closed_arg = arg;
    uv_close((uv_handle_t *)&sock->server, on_server_closed);
    connections_close(&sock->connections);
}
