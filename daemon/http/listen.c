#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/host/files.h"
#include "daemon/host/holder.h"
#include "daemon/host/log.h"
#include "daemon/http/parts.h"
#include "proto/base/address.h"

/* The listening socket is ours, and libwebsockets gets the connections that become WebSockets. Its
 * own listener accepts in a busy loop when descriptors run out, says why it cannot listen in its
 * log alone, and listens on all interfaces when it cannot list them (in a sandbox without
 * AF_NETLINK).
 */

/* proto/HTTP.md, Limits. Fewer, where the process may have few descriptors. */
#define MAX_CONNECTIONS 1024

/* A peer that is gone without a word (a laptop that sleeps) shows itself by not answering. */
static const lws_retry_bo_t keep_alive = {.secs_since_valid_ping = 30,
                                          .secs_since_valid_hangup = 60};

/* Most of it is about peers that break the protocol. */
static void on_log(int level, const char *line)
{
    (void)level;
    log_debug("libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

static int new_context(struct http *http, uv_loop_t *loop, struct err *err)
{
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = (void *[]){loop},
        .user = http,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .fd_limit_per_thread = MAX_CONNECTIONS + 2, /* lws' own pipe, and one that it never uses */
        .max_http_header_data = HTTP_HEAD_BYTES_MAX,
        .max_http_header_pool = MAX_CONNECTIONS,
        .retry_and_idle_policy = &keep_alive,
    };

    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    http->context = lws_create_context(&info);
    return http->context ? 0
                         : err_set(err, -EIO,
                                   "libwebsockets does not start (--log-level debug says why); it "
                                   "needs its plugin for libuv, libwebsockets-evlib-uv");
}

static int new_vhost(struct http *http, const struct lws_protocols *protocols, struct err *err)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .retry_and_idle_policy = &keep_alive,
        .vhost_name = "richd",
    };

    http->vhost = lws_create_vhost(http->context, &info);
    return http->vhost ? 0 : err_set(err, -ENOMEM, "libwebsockets does not start: out of memory");
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* A connection that waits would be reported for ever: the listener rests until the next tick. */
static void rest(struct http *http)
{
    uv_poll_stop(&http->listener);
    http->is_resting = true;
}

/* Such errors concern one connection, which is gone. All others say that we lack something. */
static bool is_about_the_peer(int code)
{
    return code == EAGAIN || code == EINTR || code == ECONNABORTED || code == EPROTO;
}

/* IPv4 as ::ffff:a.b.c.d, so that one form of addresses is compared. */
static struct in6_addr address_of(const struct sockaddr_storage *socket)
{
    struct in6_addr out = {.s6_addr = {[10] = 0xff, 0xff}};

    if (socket->ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)socket)->sin6_addr;
    memcpy(&out.s6_addr[12], &((const struct sockaddr_in *)socket)->sin_addr, 4);
    return out;
}

static void take(struct http *http, uv_loop_t *loop, int fd, const struct in6_addr *from)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (http->certificate)
        http_tls_open(http, loop, fd, from);
    else
        http_connection_open(http, loop, fd, from);
}

static void on_connection(uv_poll_t *listener, int status, int events)
{
    struct http *http = listener->data;
    struct sockaddr_storage socket = {.ss_family = AF_UNSPEC};
    struct in6_addr from;
    socklen_t size = sizeof socket;
    int fd;

    (void)events;
    if (status < 0 || http->n_connections >= http->max_connections) {
        rest(http);
        return;
    }
    fd =
        accept4(http->listener_fd, (struct sockaddr *)&socket, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        from = address_of(&socket);
        take(http, listener->loop, fd, &from);
    } else if (!is_about_the_peer(errno)) {
        rest(http);
    }
}

static int bind_and_listen(int fd, struct sockaddr_storage *address)
{
    socklen_t size = sizeof *address;
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)address, size) < 0 || listen(fd, MAX_CONNECTIONS) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) < 0)
        return -errno;
    return 0;
}

static int open_listener(struct http *http, uv_loop_t *loop, struct sockaddr_storage *address)
{
    int rc;

    http->listener_fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (http->listener_fd < 0)
        return -errno;
    rc = bind_and_listen(http->listener_fd, address);
    if (rc == 0)
        rc = uv_poll_init(loop, &http->listener, http->listener_fd);
    if (rc == 0) {
        http->listener.data = http;
        return uv_poll_start(&http->listener, UV_READABLE, on_connection);
    }
    close(http->listener_fd);
    http->listener_fd = -1;
    return rc;
}

static int print_plain(struct http *http, const struct address *address)
{
    memcpy(http->address, "http://", 8);
    return address_print(address, http->address + 7, sizeof http->address - 7);
}

/* By the name that was given, or one that the certificate has: by another one a client would not
 * believe us. */
static int print_named(struct http *http, const struct address *address)
{
    struct address named = {.port = address->port};

    if (*http->host)
        memcpy(named.host, http->host, sizeof http->host);
    else
        certificate_name(http->certificate, named.host);
    memcpy(http->address, "https://", 9);
    return address_print(*named.host ? &named : address, http->address + 8,
                         sizeof http->address - 8);
}

/* paths_complete has checked the address. */
static int listen_at(struct http *http, uv_loop_t *loop, struct err *err)
{
    struct sockaddr_storage bound;
    struct address address;
    char held[HOLDER_SIZE];
    int rc = -EINVAL;

    if (address_parse(http->own, &address) == 0 && address_to_socket(&address, &bound) > 0)
        rc = open_listener(http, loop, &bound);
    if (rc == -EADDRINUSE && http->may_move) {
        address.port = 0;
        address_to_socket(&address, &bound);
        rc = open_listener(http, loop, &bound);
    }
    if (rc < 0)
        return err_set(err, rc, "http %s: cannot listen there: %s%s", http->own, strerror(-rc),
                       holder_describe(http->own, rc, held));
    address.port = ntohs(((struct sockaddr_in *)&bound)->sin_port); /* where sin6_port lies, too */
    return http->certificate ? print_named(http, &address) : print_plain(http, &address);
}

/* ---- opening and closing --------------------------------------------------------------------- */

int http_listen(struct http *http, uv_loop_t *loop, const struct lws_protocols *protocols,
                struct err *err)
{
    int rc = new_context(http, loop, err);

    http->max_connections = files_reserve(FILES_HTTP, http->certificate ? (size_t)MAX_CONNECTIONS *
                                                                              (1 + HTTP_LINK_FILES)
                                                                        : MAX_CONNECTIONS);
    if (rc == 0)
        rc = new_vhost(http, protocols, err);
    return rc == 0 ? listen_at(http, loop, err) : rc;
}

void http_listen_tick(struct http *http)
{
    if (!http->is_resting)
        return;
    http->is_resting = false;
    uv_poll_start(&http->listener, UV_READABLE, on_connection);
}

/* For lws it is the first of two calls that a foreign loop needs. */
void http_listen_close(struct http *http)
{
    if (http->listener_fd >= 0) {
        uv_close((uv_handle_t *)&http->listener, NULL);
        close(http->listener_fd);
    }
    http->listener_fd = -1;
    http->is_resting = false;
    if (http->context)
        lws_context_destroy(http->context);
}
