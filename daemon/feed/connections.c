#include "daemon/feed/connections.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/feed.h"

/* Tested by tests/e2e: test_malformed_requests_do_no_harm.py,
 * test_subscriber_sees_every_point_once.py, test_one_line_of_socat_and_jq_asks.py. */

/* proto/FEED.md, Limits. */
#define MAX_LINE    (1u << 20)
#define STALL_TICKS 30
#define READ_SIZE   65536

/* They follow each other; a connection may leave some out. */
enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_HEARD,  /* the peer sends no more: ending when its requests are answered */
    CONNECTION_ENDING, /* takes no more requests: closed when the output is written */
    CONNECTION_BROKEN, /* a line could not be sent: nothing more is, closed at the next tick */
    CONNECTION_CLOSED, /* its handle is */
};

struct connection {
    struct list link;
    struct connections *all;
    union feed_stream stream;
    struct feed_client *client;
    char *line; /* input not yet handed over */
    size_t line_size, line_capacity;
    enum connection_state state;
    bool is_asking;   /* a request is being answered */
    bool is_busy;     /* next_lines() is on the stack */
    size_t pending;   /* bytes of output not yet written */
    size_t unwritten; /* what the kernel had not taken at the last tick */
    unsigned stalled_ticks;
};

struct write {
    uv_write_t request;
    struct connection *connection;
    char *line;
    size_t size;
};

static void on_connection_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct connections *all = c->all;

    assert(c->state == CONNECTION_CLOSED);
    list_remove(&c->link);
    all->n--;
    free(c->line);
    free(c);
    all->on_gone(all->arg);
}

/* Never back. */
static void move(struct connection *c, enum connection_state state)
{
    if (state > c->state)
        c->state = state;
}

static void close_connection(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    move(c, CONNECTION_CLOSED);
    if (c->client)
        feed_client_close(c->client);
    c->client = NULL;
    uv_close((uv_handle_t *)&c->stream, on_connection_closed);
}

static void next_lines(struct connection *c);

/* ---- lines out ------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status)
{
    struct write *w = LIST_ENTRY(request, struct write, request);
    struct connection *c = w->connection;

    c->pending -= w->size;
    free(w->line);
    free(w);
    if (status < 0 || (c->state >= CONNECTION_ENDING && c->pending == 0))
        close_connection(c);
    if (c->state >= CONNECTION_ENDING || c->pending > FEED_MAX_PENDING)
        return;
    feed_client_drained(c->client);
    next_lines(c);
}

static void send_line(void *transport, int code, char *line, size_t size)
{
    struct connection *c = transport;
    struct write *w = c->state >= CONNECTION_BROKEN ? NULL : calloc(1, sizeof *w);
    uv_buf_t buffer = uv_buf_init(line, (unsigned)size);

    (void)code;
    assert(size > 0 && line[size - 1] == '\n');
    if (w) {
        w->connection = c;
        w->line = line;
        w->size = size;
    }
    if (!w || uv_write(&w->request, &c->stream.stream, &buffer, 1, on_written) < 0) {
        free(line);
        free(w);
        move(c, CONNECTION_BROKEN);
        return;
    }
    c->pending += size;
}

static size_t pending_bytes(void *transport)
{
    return ((struct connection *)transport)->pending;
}

/* ---- lines in -------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *c = handle->data;
    size_t want = c->line_size + READ_SIZE;

    (void)suggested;
    if (c->line_capacity < want) {
        char *line = realloc(c->line, want);

        if (!line) {
            *out = uv_buf_init(NULL, 0); /* comes back as UV_ENOBUFS */
            return;
        }
        c->line = line;
        c->line_capacity = want;
    }
    *out = uv_buf_init(c->line + c->line_size, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;

    (void)buffer;
    if (n == UV_EOF) {
        move(c, CONNECTION_HEARD);
        uv_read_stop(stream);
    } else if (n < 0) {
        close_connection(c);
        return;
    } else {
        c->line_size += (size_t)n;
    }
    next_lines(c);
}

/* An answer that says why, and the end: what follows cannot be told apart from the long line. */
static void refuse_long_line(struct connection *c)
{
    size_t size;
    char *line = feed_error(NULL, FEED_NOT_A_REQUEST, "a request line is at most 1 MiB", &size);

    move(c, CONNECTION_ENDING);
    c->line_size = 0;
    uv_read_stop(&c->stream.stream);
    if (line)
        send_line(c, 0, line, size);
}

/* The peer has sent all it wanted and has its answers. */
static void end_connection(struct connection *c)
{
    move(c, CONNECTION_ENDING);
    if (c->pending == 0)
        close_connection(c);
}

/* Hands over the lines that are complete, and moves the rest to the front once: a client that sends
 * nothing but newlines must not make us move all of them for each. */
static void hand_over(struct connection *c)
{
    size_t at = 0;

    while (!c->is_asking && c->state < CONNECTION_ENDING && c->pending <= FEED_MAX_PENDING) {
        char *line = c->line + at;
        char *end = at < c->line_size ? memchr(line, '\n', c->line_size - at) : NULL;

        if (!end)
            break;
        at += (size_t)(end - line) + 1;
        c->is_asking = end > line;
        if (c->is_asking)
            feed_client_request(c->client, line, (size_t)(end - line));
    }
    if (at > 0) {
        c->line_size -= at;
        memmove(c->line, c->line + at, c->line_size);
    }
}

/* One line at a time: the next when the last is answered and its output has mostly drained.
 * Meanwhile nothing is read, so a client that only asks cannot grow us. */
static void next_lines(struct connection *c)
{
    bool has_line;

    if (c->is_busy)
        return;
    c->is_busy = true;
    hand_over(c);
    c->is_busy = false;
    has_line = c->line_size > 0 && memchr(c->line, '\n', c->line_size);
    if (c->state == CONNECTION_HEARD && !c->is_asking && !has_line)
        end_connection(c);
    if (c->state != CONNECTION_OPEN)
        return;
    if (c->line_size > MAX_LINE && !has_line)
        refuse_long_line(c);
    else if (c->is_asking || c->pending > FEED_MAX_PENDING)
        uv_read_stop(&c->stream.stream);
    else
        uv_read_start(&c->stream.stream, on_alloc, on_read);
}

static void on_ready(void *transport)
{
    struct connection *c = transport;

    c->is_asking = false;
    next_lines(c);
}

static const struct feed_transport transport = {
    .words = &feed_lines,
    .send = send_line,
    .pending = pending_bytes,
    .ready = on_ready,
};

/* ---- connections ----------------------------------------------------------------------------- */

int feed_stream_init(uv_loop_t *loop, bool is_pipe, union feed_stream *stream)
{
    return is_pipe ? uv_pipe_init(loop, &stream->pipe, 0) : uv_tcp_init(loop, &stream->tcp);
}

static void refuse_connection(struct connection *c)
{
    char why[64], *line;
    size_t size;

    snprintf(why, sizeof why, "%d connections are open already", CONNECTIONS_MAX);
    line = feed_error(NULL, FEED_TOO_MANY, why, &size);
    move(c, CONNECTION_ENDING);
    if (line)
        send_line(c, 0, line, size);
    else
        close_connection(c);
}

/* On the list, with a stream that nothing is connected to. */
static struct connection *new_connection(struct connections *all)
{
    struct connection *c = calloc(1, sizeof *c);

    if (!c || feed_stream_init(all->loop, all->is_pipe, &c->stream) < 0) {
        free(c);
        return NULL;
    }
    c->all = all;
    c->stream.stream.data = c;
    list_append(&all->list, &c->link);
    all->n++;
    return c;
}

void connections_accept(struct connections *all, uv_stream_t *server)
{
    struct connection *c = new_connection(all);

    if (!c)
        return;
    if (uv_accept(server, &c->stream.stream) < 0) {
        close_connection(c);
        return;
    }
    if (all->n > CONNECTIONS_MAX) {
        refuse_connection(c);
        return;
    }
    c->client = feed_client_new(all->hub, &transport, c);
    if (!c->client)
        close_connection(c);
    else
        uv_read_start(&c->stream.stream, on_alloc, on_read);
}

/* A reader that takes part of a long line is slow, and not stalled. */
static bool is_stalled(struct connection *c)
{
    size_t unwritten = uv_stream_get_write_queue_size(&c->stream.stream);
    bool moved = unwritten < c->unwritten || unwritten == 0;

    c->unwritten = unwritten;
    c->stalled_ticks = moved ? 0 : c->stalled_ticks + 1;
    return c->stalled_ticks >= STALL_TICKS;
}

void connections_tick(struct connections *all)
{
    LIST_EACH_SAFE(at, &all->list)
    {
        struct connection *c = LIST_ENTRY(at, struct connection, link);

        if (c->state == CONNECTION_BROKEN || is_stalled(c))
            close_connection(c);
    }
}

void connections_close(struct connections *all)
{
    LIST_EACH_SAFE(at, &all->list)
    {
        close_connection(LIST_ENTRY(at, struct connection, link));
    }
}
