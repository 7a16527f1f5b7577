#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/host/log.h"
#include "daemon/http/parts.h"

/* proto/HTTP.md, Limits. */
#define MAX_CONNECTIONS 1024
/* For a request's head, and for the next one on a connection that is kept. */
#define HEAD_TIMEOUT_S 15
#define IDLE_TIMEOUT_S 60
/* A head, all of it. */
#define MAX_HEAD_BYTES 8192

/* A peer that is gone without a word (a laptop that sleeps) shows itself by not answering. */
static const lws_retry_bo_t keep_alive = {.secs_since_valid_ping = 30,
                                          .secs_since_valid_hangup = 60};

/* libwebsockets says why something failed in its log alone, which knows no context: whose it is,
 * and the last line of it. Most others are about peers that break the protocol. */
static struct http *logger;
static char complaint[256];

/* No descriptor is left for a connection that waits, so the listener would be told of it for ever:
 * it rests for a second. */
static void rest(struct http *h)
{
    if (h->listener && !h->is_resting)
        uv_poll_stop(h->listener);
    h->is_resting = true;
}

static void on_log(int level, const char *line)
{
    int size = (int)strcspn(line, "\n");

    if (level & LLL_ERR)
        snprintf(complaint, sizeof complaint, "%.*s", size, line);
    if (strncmp(line, "accept: errno", 13) == 0)
        rest(logger);
    log_debug("libwebsockets: %.*s", size, line);
}

static int new_context(struct http *h, uv_loop_t *loop, struct err *e)
{
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
        .foreign_loops = (void *[]){loop},
        .user = h,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .fd_limit_per_thread = MAX_CONNECTIONS + 2, /* the listener, and lws' own pipe */
        .max_http_header_data = MAX_HEAD_BYTES,
        .max_http_header_pool = MAX_CONNECTIONS,
        .timeout_secs = HEAD_TIMEOUT_S,
        .retry_and_idle_policy = &keep_alive,
    };

    logger = h;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    *complaint = '\0';
    h->context = lws_create_context(&info);
    return h->context ? 0
                      : err_set(e, -EIO,
                                "libwebsockets does not start (%s); it needs its plugin "
                                "for libuv, libwebsockets-evlib-uv",
                                complaint);
}

/* libwebsockets looks an address up among the interfaces, and listens on all of them when it cannot
 * list them, as without AF_NETLINK in a sandbox. */
static int check_interfaces(struct err *e)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return err_set(e, -errno, "http: the interfaces cannot be listed (AF_NETLINK): %s",
                       strerror(errno));
    freeifaddrs(list);
    return 0;
}

/* "127.0.0.1:8080" or "[::1]:8080", which config has checked. */
static int listen_at(struct http *h, const struct lws_protocols *protocols, struct err *e)
{
    const char *address = h->own, *colon = strrchr(address, ':');
    char name[64];
    bool v6 = *address == '[';
    struct lws_context_creation_info info = {
        .port = atoi(colon + 1),
        .iface = name,
        .protocols = protocols,
        .options =
            LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | (v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6),
        .keepalive_timeout = IDLE_TIMEOUT_S,
        .timeout_secs_ah_idle = HEAD_TIMEOUT_S,
        .retry_and_idle_policy = &keep_alive,
        .vhost_name = "richd",
    };
    struct lws_vhost *vhost;

    snprintf(name, sizeof name, "%.*s", (int)(colon - address) - 2 * v6, address + v6);
    vhost = lws_create_vhost(h->context, &info);
    if (!vhost)
        return err_set(e, -EADDRNOTAVAIL, "http %s: cannot listen there: %s", address, complaint);
    snprintf(h->address, sizeof h->address, "http://%.*s:%d", (int)(colon - address), address,
             lws_get_vhost_listen_port(vhost));
    return 0;
}

/* The handle that libwebsockets made for its listening socket. */
static void find_listener(uv_handle_t *handle, void *arg)
{
    struct http *h = arg;
    int fd, listens = 0;
    socklen_t size = sizeof listens;

    if (handle->type == UV_POLL && !uv_is_closing(handle) && uv_fileno(handle, &fd) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
        h->listener = (uv_poll_t *)handle;
}

int http_listen(struct http *h, uv_loop_t *loop, const struct lws_protocols *protocols,
                struct err *e)
{
    int rc = new_context(h, loop, e);

    if (rc == 0)
        rc = check_interfaces(e);
    if (rc == 0)
        rc = listen_at(h, protocols, e);
    if (rc == 0)
        uv_walk(loop, find_listener, h);
    return rc;
}

void http_listen_tick(struct http *h)
{
    if (!h->is_resting || !h->listener)
        return;
    h->is_resting = false;
    uv_poll_start(h->listener, UV_READABLE, h->listener->poll_cb);
}

/* The first of two calls that a foreign loop needs. */
void http_listen_close(struct http *h)
{
    h->listener = NULL;
    lws_context_destroy(h->context);
}
