#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/host/files.h"
#include "daemon/http/parts.h"

/* One connection, until it becomes a WebSocket. The happy way:
 *
 *     READING --a head--> ANSWERING --the answer is out--> READING ...
 *                          |  ^  |
 *          it has a body   v  |  +--that ends the connection--> LINGERING --> CLOSED
 *                         TAKING
 *
 * Nothing is read while an answer is made: what a client sends meanwhile waits in the kernel, or
 * here, and is a request of its own afterwards. A peer that is refused has perhaps not sent all of
 * its request; closing at once would make the kernel tell it of a reset in place of the refusal, so
 * for LINGER_TICKS what comes is read and thrown away. */

/* proto/HTTP.md, Limits. */
#define HEAD_TICKS   15
#define BODY_TICKS   30
#define IDLE_TICKS   60
#define LINGER_TICKS 2

enum state {
    READING,
    TAKING,
    ANSWERING,
    LINGERING,
    CLOSED,
};

struct http_connection {
    struct list link;
    struct http *http;
    struct http_peer *peer; /* whom we answer; NULL: nobody */
    enum state state;
    uv_poll_t poll;
    int fd;
    struct in6_addr from;
    char *in; /* what has come of the next head; NULL: not a byte */
    size_t in_size;
    char *body; /* NULL: the request has none */
    size_t body_size, body_taken;
    char *unsent; /* what the socket did not take; NULL: nothing */
    size_t unsent_at, unsent_size;
    bool wants_write; /* the answer has more, or its end is to be noticed */
    unsigned ticks;   /* in this state, or since something moved */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void update_poll(struct http_connection *c)
{
    bool reads = c->state == READING || c->state == TAKING || c->state == LINGERING;
    int events = reads ? UV_READABLE : 0;

    if (c->state == CLOSED)
        return;
    if (c->unsent || c->wants_write)
        events |= UV_WRITABLE;
    if (events)
        uv_poll_start(&c->poll, events, on_poll);
    else
        uv_poll_stop(&c->poll);
}

static void move(struct http_connection *c, enum state state)
{
    assert(c->state != CLOSED);
    c->state = state;
    c->ticks = 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct http_connection *c = handle->data;

    files_note(FILES_HTTP, --c->http->n_connections);
    free(c->in);
    free(c->body);
    free(c->unsent);
    free(c);
}

void http_connection_close(struct http_connection *c)
{
    if (c->state == CLOSED)
        return;
    http_peer_free(c->peer);
    move(c, CLOSED);
    list_remove(&c->link);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    if (c->fd >= 0)
        close(c->fd);
}

static void linger(struct http_connection *c)
{
    shutdown(c->fd, SHUT_WR);
    move(c, LINGERING);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* In front of a request some clients leave the end of the line before it. */
static void skip_empty_lines(struct http_connection *c)
{
    size_t n = 0;

    while (c->in_size - n >= 2 && memcmp(c->in + n, "\r\n", 2) == 0)
        n += 2;
    c->in_size -= n;
    memmove(c->in, c->in + n, c->in_size);
}

static void give_head(struct http_connection *c, size_t size)
{
    size_t behind = c->in_size - size;

    c->in_size = behind;
    c->http->on_head(c, c->in, size, HTTP_OK);
    memmove(c->in, c->in + size, behind);
}

/* Gives the next head away, when all of it is there. */
static void take_head(struct http_connection *c)
{
    long size;

    if (c->state != READING || !c->in)
        return;
    skip_empty_lines(c);
    size = http_message_end(c->in, c->in_size);
    if (size == 0 && c->in_size < HTTP_HEAD_BYTES_MAX)
        return;
    move(c, ANSWERING);
    if (size > 0)
        give_head(c, (size_t)size);
    else
        c->http->on_head(c, NULL, 0, size < 0 ? HTTP_BAD_REQUEST : HTTP_HEAD_TOO_LARGE);
}

static bool is_for_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void read_more(struct http_connection *c)
{
    ssize_t n;

    if (!c->in) {
        c->in = malloc(HTTP_HEAD_BYTES_MAX);
        c->ticks = 0; /* from the first byte on: empty lines begin a head as well */
    }
    n = c->in ? recv(c->fd, c->in + c->in_size, HTTP_HEAD_BYTES_MAX - c->in_size, 0) : 0;
    if (is_for_later(n))
        return;
    if (n <= 0) {
        http_connection_close(c);
        return;
    }
    c->in_size += (size_t)n;
    take_head(c);
}

int http_connection_take_body(struct http_connection *c, size_t size)
{
    assert(c->state == ANSWERING && c->peer && size <= HTTP_BODY_BYTES_MAX);
    c->body = malloc(size + 1);
    c->body_size = size;
    c->body_taken = 0;
    if (!c->body)
        return -1;
    move(c, TAKING);
    return 0;
}

/* What came with the head. */
static void take_from_in(struct http_connection *c)
{
    size_t left = c->body_size - c->body_taken, n = c->in_size < left ? c->in_size : left;

    if (n == 0)
        return;
    memcpy(c->body + c->body_taken, c->in, n);
    c->body_taken += n;
    c->in_size -= n;
    memmove(c->in, c->in + n, c->in_size);
}

/* Gives the body away, when all of it is there. */
static void take_body(struct http_connection *c)
{
    if (c->state != TAKING)
        return;
    take_from_in(c);
    if (c->body_taken < c->body_size)
        return;
    move(c, ANSWERING);
    c->http->on_body(c->peer, c->body, c->body_size);
    free(c->body);
    c->body = NULL;
}

static void read_body(struct http_connection *c)
{
    ssize_t n = recv(c->fd, c->body + c->body_taken, c->body_size - c->body_taken, 0);

    if (n > 0)
        c->body_taken += (size_t)n;
    else if (!is_for_later(n))
        http_connection_close(c);
}

static void read_away(struct http_connection *c)
{
    ssize_t n = recv(c->fd, c->http->scratch, sizeof c->http->scratch, 0);

    if (n <= 0 && !is_for_later(n))
        http_connection_close(c);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Returns what the socket took, or -1. */
static ssize_t send_some(struct http_connection *c, const char *data, size_t size)
{
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);

    if (is_for_later(n))
        return 0;
    if (n > 0)
        c->ticks = 0;
    return n;
}

int http_connection_write(struct http_connection *c, const void *data, size_t size)
{
    ssize_t n = send_some(c, data, size);

    assert(!c->unsent && size > 0);
    c->wants_write = true;
    if (n < 0)
        return -1;
    if ((size_t)n < size) {
        c->unsent_at = 0;
        c->unsent_size = size - (size_t)n;
        c->unsent = malloc(c->unsent_size);
        if (!c->unsent)
            return -1;
        memcpy(c->unsent, (const char *)data + n, c->unsent_size);
    }
    return 0;
}

static int write_unsent(struct http_connection *c)
{
    ssize_t n = send_some(c, c->unsent + c->unsent_at, c->unsent_size - c->unsent_at);

    if (n < 0)
        return -1;
    c->unsent_at += (size_t)n;
    if (c->unsent_at == c->unsent_size) {
        free(c->unsent);
        c->unsent = NULL;
    }
    return 0;
}

static int write_more(struct http_connection *c)
{
    if (c->unsent)
        return write_unsent(c);
    if (!c->wants_write)
        return 0;
    c->wants_write = false;
    return c->peer ? c->http->on_writable(c->peer) : 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_connection *c = poll->data;

    if (status < 0 || (events & UV_WRITABLE && write_more(c) < 0)) {
        http_connection_close(c);
        return;
    }
    if (events & UV_READABLE && c->state == READING)
        read_more(c);
    else if (events & UV_READABLE && c->state == TAKING)
        read_body(c);
    else if (events & UV_READABLE && c->state == LINGERING)
        read_away(c);
    take_head(c); /* of the next request, which came with the one before */
    take_body(c);
    update_poll(c);
}

void http_connection_want_write(struct http_connection *c)
{
    if (!c->wants_write)
        c->ticks = 0; /* what is to be written may have taken long */
    c->wants_write = true;
    update_poll(c);
}

void http_connection_next(struct http_connection *c, bool keeps)
{
    assert(c->state == ANSWERING && !c->unsent && !c->peer);
    c->wants_write = false;
    if (!keeps) {
        linger(c);
        return;
    }
    move(c, READING);
    if (c->in_size > 0)
        return;
    free(c->in);
    c->in = NULL;
}

/* ---- the rest of a connection's life --------------------------------------------------------- */

void http_connection_open(struct http *http, uv_loop_t *loop, int fd, const struct in6_addr *from)
{
    struct http_connection *c = calloc(1, sizeof *c);

    if (!c || uv_poll_init(loop, &c->poll, fd) < 0) {
        free(c);
        close(fd);
        return;
    }
    c->http = http;
    c->fd = fd;
    c->from = *from;
    c->poll.data = c;
    files_note(FILES_HTTP, ++http->n_connections);
    list_append(&http->connections, &c->link);
    update_poll(c);
}

struct http_connection *http_connection_at(struct list *link)
{
    return LIST_ENTRY(link, struct http_connection, link);
}

struct http *http_connection_of(const struct http_connection *c)
{
    return c->http;
}

const struct in6_addr *http_connection_from(const struct http_connection *c)
{
    return &c->from;
}

void http_connection_set_peer(struct http_connection *c, struct http_peer *peer)
{
    c->peer = peer;
}

bool http_connection_has_more(const struct http_connection *c)
{
    return c->in_size > 0;
}

bool http_connection_has_left(const struct http_connection *c, bool may_send)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n > 0 && !may_send) || (n < 0 && !is_for_later(n));
}

/* libuv polls a descriptor by one handle: ours goes before lws has its own. lws reads the head, and
 * opens the WebSocket, within the call: so `adopted` of http is its. */
bool http_connection_hand_over(struct http_connection *c, const char *head, size_t size)
{
    int fd = c->fd;

    c->fd = -1;
    http_connection_close(c);
    return lws_adopt_socket_vhost_readbuf(c->http->vhost, fd, head, size) != NULL;
}

void http_connection_tick(struct http_connection *c)
{
    bool is_writing = c->unsent || c->wants_write;

    c->ticks++;
    if ((c->state == READING && c->ticks >= (c->in ? HEAD_TICKS : IDLE_TICKS)) ||
        (c->state == TAKING && c->ticks >= BODY_TICKS) ||
        (c->state == ANSWERING && is_writing && c->ticks >= HTTP_STALL_TICKS) ||
        (c->state == LINGERING && c->ticks >= LINGER_TICKS))
        http_connection_close(c);
}
