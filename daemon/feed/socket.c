#include "daemon/feed/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/feed/connections.h"
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
    struct feedsock *s = arg;
    void (*on_closed)(void *) = s->on_closed;
    void *closed_arg = s->closed_arg;

    if (!on_closed || s->server_is_open || s->connections.n > 0)
        return;
    free(s);
    on_closed(closed_arg);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct feedsock *s = server->data;

    if (status == 0)
        connections_accept(&s->connections, server);
}

static int listen_pipe(struct feedsock *s, const char *path)
{
    int rc;

    unlink(path);
    rc = uv_pipe_bind(&s->server.pipe, path);
    if (rc == 0 && chmod(path, 0600) < 0)
        rc = -errno;
    if (rc == 0)
        rc = uv_listen(&s->server.stream, BACKLOG, on_connection);
    snprintf(s->address, sizeof s->address, "unix:%s", path);
    return rc;
}

/* paths_complete has checked the address. */
static int listen_tcp(struct feedsock *s, const char *text)
{
    struct sockaddr_storage bound;
    struct address address;
    int size = sizeof bound, rc = -EINVAL;

    if (address_parse(text, &address) == 0 && address_to_socket(&address, &bound) > 0)
        rc = uv_tcp_bind(&s->server.tcp, (struct sockaddr *)&bound, 0);
    if (rc == 0)
        rc = uv_listen(&s->server.stream, BACKLOG, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&s->server.tcp, (struct sockaddr *)&bound, &size);
    if (rc < 0)
        return rc;
    address.port = ntohs(((struct sockaddr_in *)&bound)->sin_port); /* where sin6_port lies, too */
    memcpy(s->address, "tcp:", 5);
    return address_print(&address, s->address + 4, sizeof s->address - 4);
}

static void on_failed_server_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int feedsock_open(uv_loop_t *loop, const char *address, struct feedhub *hub, struct feedsock **out,
                  struct err *e)
{
    struct feedsock *s = calloc(1, sizeof *s);
    bool is_pipe = strncmp(address, "unix:", 5) == 0;
    int rc;

    if (!s)
        return err_set(e, -ENOMEM, "out of memory");
    s->connections = (struct connections){
        .loop = loop, .is_pipe = is_pipe, .hub = hub, .on_gone = finish_close, .arg = s};
    list_init(&s->connections.list);
    rc = feed_stream_init(loop, is_pipe, &s->server);
    if (rc < 0) {
        free(s);
        return err_set(e, rc, "%s: %s", address, uv_strerror(rc));
    }
    s->server.stream.data = s;
    rc = is_pipe ? listen_pipe(s, address + 5) : listen_tcp(s, address + 4);
    if (rc < 0) {
        err_set(e, rc, "%s: %s", address, uv_strerror(rc));
        uv_close((uv_handle_t *)&s->server, on_failed_server_closed);
        return rc;
    }
    s->server_is_open = true;
    *out = s;
    return 0;
}

const char *feedsock_address(const struct feedsock *s)
{
    return s->address;
}

void feedsock_tick(struct feedsock *s)
{
    connections_tick(&s->connections);
}

static void on_server_closed(uv_handle_t *handle)
{
    struct feedsock *s = handle->data;

    s->server_is_open = false;
    finish_close(s);
}

void feedsock_close(struct feedsock *s, void (*on_closed)(void *arg), void *arg)
{
    assert(on_closed && !s->on_closed);
    s->on_closed = on_closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->server, on_server_closed);
    connections_close(&s->connections);
}
