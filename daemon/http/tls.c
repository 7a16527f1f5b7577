#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/host/files.h"
#include "daemon/host/log.h"
#include "daemon/http/parts.h"

/* A link speaks TLS with a client at its outer socket, and hands what the client says to the one
 * end of a pair of sockets, whose other end is a connection as any other (connection.c, and lws
 * for a WebSocket): these know nothing of TLS.
 *
 *     client <==TLS==> outer  [link]  inner <--plain--> connection
 *
 *     SHAKING --hands are shaken--> OPEN --the connection has ended--> ENDING --> CLOSED
 *
 * What one side does not take is kept, at most a record or HTTP_PIECE, and the other side is not
 * read meanwhile: so a client that takes nothing fills the pair, and the connection sees it as it
 * sees a client without TLS. A client that ends, or breaks TLS, ends the link, and the connection
 * finds its socket closed. Tested by tests/e2e/read/test_http_by_tls.py. */

/* proto/HTTP.md, Limits. */
#define SHAKE_TICKS 10
/* For what a client has still sent when the connection ends: as of a connection (LINGER_TICKS). */
#define ENDING_TICKS 3
/* The longest record, so that one SSL_read leaves nothing behind that no socket would tell of. */
#define RECORD_BYTES 16384
/* What the kernel holds of a pair's one direction; it doubles it. */
#define PAIR_BYTES 65536

enum state {
    SHAKING,
    OPEN,
    ENDING,
    CLOSED,
};

/* What one side did not take yet; `data` NULL: nothing. */
struct rest {
    char *data;
    size_t at, size;
};

struct http_link {
    struct list link;
    struct http *http;
    enum state state;
    SSL *ssl;
    struct in6_addr from;
    int outer_fd, inner_fd; /* inner_fd -1: hands are being shaken */
    uv_poll_t outer, inner;
    size_t n_handles;
    bool wants_write; /* shaking hands */
    struct rest unsent, unread;
    unsigned ticks; /* in this state, or since the client took something */
};

static void on_outer(uv_poll_t *poll, int status, int events);
static void on_inner(uv_poll_t *poll, int status, int events);

/* ---- the end --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct http_link *link = handle->data;

    if (--link->n_handles > 0)
        return;
    link->http->n_connections -= HTTP_LINK_FILES;
    files_note(FILES_HTTP, link->http->n_connections);
    free(link->unsent.data);
    free(link->unread.data);
    free(link);
}

static void close_link(struct http_link *link)
{
    if (link->state == CLOSED)
        return;
    link->state = CLOSED;
    list_remove(&link->link);
    SSL_free(link->ssl);
    uv_close((uv_handle_t *)&link->outer, on_closed);
    close(link->outer_fd);
    if (link->inner_fd < 0)
        return;
    uv_close((uv_handle_t *)&link->inner, on_closed);
    close(link->inner_fd);
}

/* The connection has ended, and all that it wrote is out. */
static void end(struct http_link *link)
{
    SSL_shutdown(link->ssl);
    shutdown(link->outer_fd, SHUT_WR);
    link->state = ENDING;
    link->ticks = 0;
}

/* ---- polling --------------------------------------------------------------------------------- */

static void poll_for(uv_poll_t *poll, int events, uv_poll_cb on_poll)
{
    if (events)
        uv_poll_start(poll, events, on_poll);
    else
        uv_poll_stop(poll);
}

static void update_polls(struct http_link *link)
{
    bool reads_outer = link->state == SHAKING ? !link->wants_write : !link->unread.data;
    bool writes_outer = link->wants_write || link->unsent.data;
    bool reads_inner = link->state == OPEN && !link->unsent.data;

    if (link->state == CLOSED)
        return;
    poll_for(&link->outer, (reads_outer ? UV_READABLE : 0) | (writes_outer ? UV_WRITABLE : 0),
             on_outer);
    if (link->inner_fd >= 0)
        poll_for(&link->inner,
                 (reads_inner ? UV_READABLE : 0) | (link->unread.data ? UV_WRITABLE : 0), on_inner);
}

static bool is_for_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Whether the call of OpenSSL, which gave `rc`, is to be made again later. */
static bool wants_more(struct http_link *link, int rc)
{
    int why = SSL_get_error(link->ssl, rc);

    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* Returns 0, or -1 when memory ran out. */
static int keep(struct rest *rest, const void *data, size_t size)
{
    rest->data = malloc(size);
    rest->at = 0;
    rest->size = size;
    if (!rest->data)
        return -1;
    memcpy(rest->data, data, size);
    return 0;
}

static void take(struct rest *rest, size_t size)
{
    rest->at += size;
    if (rest->at < rest->size)
        return;
    free(rest->data);
    rest->data = NULL;
}

/* ---- from the connection to the client ------------------------------------------------------- */

/* Returns how much went out, or -1. */
static ssize_t encrypt(struct http_link *link, const char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        int n;

        ERR_clear_error();
        n = SSL_write(link->ssl, data + done, (int)(size - done));
        if (n <= 0)
            return wants_more(link, n) ? (ssize_t)done : -1;
        done += (size_t)n;
        link->ticks = 0;
    }
    return (ssize_t)done;
}

static int write_unsent(struct http_link *link)
{
    ssize_t n =
        encrypt(link, link->unsent.data + link->unsent.at, link->unsent.size - link->unsent.at);

    if (n > 0)
        take(&link->unsent, (size_t)n);
    return n < 0 ? -1 : 0;
}

static int read_inner(struct http_link *link)
{
    char *data = (char *)link->http->scratch;
    ssize_t size = recv(link->inner_fd, data, HTTP_PIECE, 0), n;

    if (is_for_later(size))
        return 0;
    link->ticks = 0;
    if (size <= 0) {
        end(link);
        return 0;
    }
    n = encrypt(link, data, (size_t)size);
    if (n == size || n < 0)
        return n < 0 ? -1 : 0;
    return keep(&link->unsent, data + n, (size_t)(size - n));
}

/* ---- from the client to the connection ------------------------------------------------------- */

static int write_unread(struct http_link *link)
{
    ssize_t n = send(link->inner_fd, link->unread.data + link->unread.at,
                     link->unread.size - link->unread.at, MSG_NOSIGNAL);

    if (n > 0)
        take(&link->unread, (size_t)n);
    return n > 0 || is_for_later(n) ? 0 : -1;
}

static int read_outer(struct http_link *link)
{
    char *data = (char *)link->http->scratch;
    ssize_t n;
    int size;

    ERR_clear_error();
    size = SSL_read(link->ssl, data, RECORD_BYTES);
    if (size <= 0)
        return wants_more(link, size) ? 0 : -1;
    n = send(link->inner_fd, data, (size_t)size, MSG_NOSIGNAL);
    if (n == size || (n < 0 && !is_for_later(n)))
        return n < 0 ? -1 : 0;
    n = n < 0 ? 0 : n;
    return keep(&link->unread, data + n, (size_t)(size - n));
}

/* ---- shaking hands --------------------------------------------------------------------------- */

static int open_inner(struct http_link *link)
{
    int pair[2], size = PAIR_BYTES;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    if (uv_poll_init(link->outer.loop, &link->inner, pair[0]) < 0) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    link->inner.data = link;
    link->inner_fd = pair[0];
    link->n_handles++;
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    link->state = OPEN;
    link->ticks = 0;
    http_connection_open(link->http, link->outer.loop, pair[1], &link->from);
    return 0;
}

/* A person who forgot the s of https sees a word in the browser. */
static void answer_in_clear(const struct http_link *link)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n"
                               "connection: close\r\n\r\nTLS is spoken here: https://\n";

    if (ERR_GET_REASON(ERR_peek_error()) != SSL_R_HTTP_REQUEST)
        return;
    (void)!send(link->outer_fd, text, sizeof text - 1, MSG_NOSIGNAL);
    /* What is not read when it closes would make the kernel tell of a reset instead. */
    (void)!recv(link->outer_fd, link->http->scratch, sizeof link->http->scratch, 0);
}

static int shake(struct http_link *link)
{
    const char *why;
    int rc;

    ERR_clear_error();
    rc = SSL_accept(link->ssl);
    if (rc == 1) {
        link->wants_write = false;
        return open_inner(link);
    }
    link->wants_write = SSL_get_error(link->ssl, rc) == SSL_ERROR_WANT_WRITE;
    if (wants_more(link, rc))
        return 0;
    answer_in_clear(link);
    why = ERR_reason_error_string(ERR_peek_error());
    log_debug("http: no TLS with a client: %s", why ? why : "it has left");
    return -1;
}

/* ---- events ---------------------------------------------------------------------------------- */

static int step_outer(struct http_link *link, int events)
{
    int rc = 0;

    if (link->state == SHAKING)
        return shake(link);
    if (events & UV_WRITABLE && link->unsent.data)
        rc = write_unsent(link);
    if (rc == 0 && events & UV_READABLE && !link->unread.data)
        rc = read_outer(link);
    return rc;
}

static void on_outer(uv_poll_t *poll, int status, int events)
{
    struct http_link *link = poll->data;

    if (status < 0 || step_outer(link, events) < 0)
        close_link(link);
    update_polls(link);
}

static void on_inner(uv_poll_t *poll, int status, int events)
{
    struct http_link *link = poll->data;
    int rc = status;

    if (rc == 0 && events & UV_WRITABLE && link->unread.data)
        rc = write_unread(link);
    if (rc == 0 && events & UV_READABLE && link->state == OPEN && !link->unsent.data)
        rc = read_inner(link);
    if (rc < 0)
        close_link(link);
    update_polls(link);
}

void http_tls_open(struct http *http, uv_loop_t *loop, int fd, const struct in6_addr *from)
{
    struct http_link *link = calloc(1, sizeof *link);
    SSL *ssl = certificate_session(http->certificate);

    if (!link || !ssl || SSL_set_fd(ssl, fd) != 1 || uv_poll_init(loop, &link->outer, fd) < 0) {
        SSL_free(ssl);
        free(link);
        close(fd);
        return;
    }
    link->http = http;
    link->ssl = ssl;
    link->from = *from;
    link->outer_fd = fd;
    link->inner_fd = -1;
    link->outer.data = link;
    link->n_handles = 1;
    http->n_connections += HTTP_LINK_FILES;
    files_note(FILES_HTTP, http->n_connections);
    list_append(&http->links, &link->link);
    update_polls(link);
}

static struct http_link *link_at(struct list *at)
{
    return LIST_ENTRY(at, struct http_link, link);
}

void http_tls_tick(struct http *http)
{
    LIST_EACH_SAFE(at, &http->links)
    {
        struct http_link *link = link_at(at);

        link->ticks++;
        if ((link->state == SHAKING && link->ticks >= SHAKE_TICKS) ||
            (link->state == ENDING && link->ticks >= ENDING_TICKS) ||
            (link->unsent.data && link->ticks >= HTTP_STALL_TICKS))
            close_link(link);
    }
}

void http_tls_close(struct http *http)
{
    LIST_EACH_SAFE(at, &http->links)
    {
        close_link(link_at(at));
    }
}
