#include "daemon/feed/connections.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/outbox.h"
#include "daemon/host/files.h"
#include "proto/feed.h"

/* Tested by tests/e2e: test_malformed_requests_do_no_harm.py,
 * test_subscriber_sees_every_point_once.py, test_one_line_of_socat_and_jq_asks.py. */

/* proto/FEED.md, Limits. */
#define MAX_LINE    (1u << 20)
#define STALL_TICKS 30
#define READ_SIZE   65536
/* A reader that takes less than this in STALL_TICKS is cut. */
#define PIECE_SIZE 65536

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
    bool is_asking; /* a request is being answered */
    bool is_busy;   /* next_lines() is on the stack */
    struct outbox out;
    uv_write_t write; /* of a piece of it */
    struct outbox_piece piece;
    bool is_writing;
};

static void on_connection_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct connections *all = connection->all;

    assert(connection->state == CONNECTION_CLOSED);
    list_remove(&connection->link);
    files_note(FILES_FEED, --all->n);
    outbox_release(&connection->out);
    free(connection->line);
    free(connection);
    all->on_gone(all->arg);
}

/* Never back. */
static void move(struct connection *connection, enum connection_state state)
{
    if (state > connection->state)
        connection->state = state;
}

static void close_connection(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    move(connection, CONNECTION_CLOSED);
    if (connection->client)
        feed_client_close(connection->client);
    connection->client = NULL;
    uv_close((uv_handle_t *)&connection->stream, on_connection_closed);
}

static void next_lines(struct connection *connection);

/* ---- lines out ------------------------------------------------------------------------------- */

static void write_piece(struct connection *connection);

static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = request->data;

    connection->is_writing = false;
    if (status < 0) {
        close_connection(connection);
        return;
    }
    outbox_take(&connection->out, &connection->piece);
    write_piece(connection);
    if (connection->state >= CONNECTION_ENDING || connection->out.pending > FEED_MAX_PENDING)
        return;
    feed_client_drained(connection->client);
    next_lines(connection);
}

/* One at a time: what the next one is may lie in a file until then. */
static void write_piece(struct connection *connection)
{
    uv_buf_t buffer;

    if (connection->is_writing || connection->state >= CONNECTION_BROKEN)
        return;
    if (!outbox_peek(&connection->out, PIECE_SIZE, &connection->piece)) {
        if (connection->state == CONNECTION_ENDING && !connection->out.lost)
            close_connection(connection);
        return;
    }
    buffer = uv_buf_init(connection->piece.data, (unsigned)connection->piece.size);
    connection->write.data = connection;
    connection->is_writing =
        uv_write(&connection->write, &connection->stream.stream, &buffer, 1, on_written) == 0;
    if (!connection->is_writing)
        move(connection, CONNECTION_BROKEN);
}

static void send_line(void *transport, int code, char *line, size_t size)
{
    struct connection *connection = transport;

    (void)code;
    assert(size > 0 && line[size - 1] == '\n');
    outbox_put(&connection->out, line, size);
    write_piece(connection);
}

static void send_long(void *transport, struct text *text)
{
    struct connection *connection = transport;

    outbox_put_long(&connection->out, text, 0);
    write_piece(connection);
}

static size_t pending_bytes(void *transport)
{
    return ((struct connection *)transport)->out.pending;
}

/* ---- lines in -------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *connection = handle->data;
    size_t want = connection->line_size + READ_SIZE;

    (void)suggested;
    if (connection->line_capacity < want) {
        char *line = realloc(connection->line, want);

        if (!line) {
            *out = uv_buf_init(NULL, 0); /* comes back as UV_ENOBUFS */
            return;
        }
        connection->line = line;
        connection->line_capacity = want;
    }
    *out = uv_buf_init(connection->line + connection->line_size, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    (void)buffer;
    if (n == UV_EOF) {
        move(connection, CONNECTION_HEARD);
        uv_read_stop(stream);
    } else if (n < 0) {
        close_connection(connection);
        return;
    } else {
        connection->line_size += (size_t)n;
    }
    next_lines(connection);
}

/* An answer that says why, and the end: what follows is no line of its own. */
static void refuse(struct connection *connection, const char *why)
{
    size_t size;
    char *line = feed_error(NULL, FEED_NOT_A_REQUEST, why, &size);

    move(connection, CONNECTION_ENDING);
    connection->line_size = 0;
    uv_read_stop(&connection->stream.stream);
    if (line)
        send_line(connection, 0, line, size);
}

/* A browser that a page sends here by a form: behind its head would come what the page wants asked,
 * in the name of who sits before it. */
static bool is_http(const char *line, size_t size)
{
    size -= size > 0 && line[size - 1] == '\r';
    return size > 8 && strncmp(line + size - 8, "HTTP/1.", 7) == 0;
}

/* The peer has sent all it wanted and has its answers. */
static void end_connection(struct connection *connection)
{
    move(connection, CONNECTION_ENDING);
    if (connection->out.pending == 0)
        close_connection(connection);
}

/* Hands over the lines that are complete, and moves the rest to the front once: a client that sends
 * nothing but newlines must not make us move all of them for each. */
static void hand_over(struct connection *connection)
{
    size_t at = 0;

    while (!connection->is_asking && connection->state < CONNECTION_ENDING &&
           connection->out.pending <= FEED_MAX_PENDING) {
        char *line = connection->line + at;
        char *end =
            at < connection->line_size ? memchr(line, '\n', connection->line_size - at) : NULL;

        if (!end || (size_t)(end - line) > MAX_LINE)
            break;
        if (is_http(line, (size_t)(end - line))) {
            refuse(connection, "this is the feed, which speaks no HTTP");
            return;
        }
        at += (size_t)(end - line) + 1;
        connection->is_asking = end > line;
        if (connection->is_asking)
            feed_client_request(connection->client, line, (size_t)(end - line));
    }
    if (at > 0) {
        connection->line_size -= at;
        memmove(connection->line, connection->line + at, connection->line_size);
    }
}

/* One line at a time: the next when the last is answered and its output has mostly drained.
 * Meanwhile nothing is read, so a client that only asks cannot grow us. */
static void next_lines(struct connection *connection)
{
    const char *end = NULL;
    bool is_long;

    if (connection->is_busy)
        return;
    connection->is_busy = true;
    hand_over(connection);
    connection->is_busy = false;
    if (connection->line_size > 0)
        end = memchr(connection->line, '\n', connection->line_size);
    is_long = (end ? (size_t)(end - connection->line) : connection->line_size) > MAX_LINE;
    if (connection->state == CONNECTION_HEARD && !connection->is_asking && !end)
        end_connection(connection);
    if (connection->state > CONNECTION_HEARD)
        return;
    if (is_long && !connection->is_asking)
        refuse(connection, "a request line is at most 1 MiB");
    else if (connection->state == CONNECTION_HEARD)
        return;
    else if (connection->is_asking || connection->out.pending > FEED_MAX_PENDING)
        uv_read_stop(&connection->stream.stream);
    else
        uv_read_start(&connection->stream.stream, on_alloc, on_read);
}

/* Who reaches a UNIX socket of ours may send runs as well. */
static bool may_write(void *transport)
{
    return ((struct connection *)transport)->all->is_pipe;
}

static void on_ready(void *transport)
{
    struct connection *connection = transport;

    connection->is_asking = false;
    next_lines(connection);
}

static const struct feed_transport transport = {
    .words = &feed_lines,
    .send = send_line,
    .send_long = send_long,
    .may_write = may_write,
    .pending = pending_bytes,
    .ready = on_ready,
};

/* ---- connections ----------------------------------------------------------------------------- */

int feed_stream_init(uv_loop_t *loop, bool is_pipe, union feed_stream *stream)
{
    return is_pipe ? uv_pipe_init(loop, &stream->pipe, 0) : uv_tcp_init(loop, &stream->tcp);
}

static void refuse_connection(struct connection *connection)
{
    char why[64], *line;
    size_t size;

    snprintf(why, sizeof why, "%zu connections are open already", connection->all->max);
    line = feed_error(NULL, FEED_TOO_MANY, why, &size);
    move(connection, CONNECTION_ENDING);
    if (line)
        send_line(connection, 0, line, size);
    else
        close_connection(connection);
}

/* On the list, with a stream that nothing is connected to. */
static struct connection *new_connection(struct connections *all)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (!connection || feed_stream_init(all->loop, all->is_pipe, &connection->stream) < 0) {
        free(connection);
        return NULL;
    }
    connection->all = all;
    outbox_init(&connection->out);
    connection->stream.stream.data = connection;
    list_append(&all->list, &connection->link);
    files_note(FILES_FEED, ++all->n);
    return connection;
}

void connections_accept(struct connections *all, uv_stream_t *server)
{
    struct connection *connection = new_connection(all);

    if (!connection)
        return;
    if (uv_accept(server, &connection->stream.stream) < 0) {
        close_connection(connection);
        return;
    }
    if (all->n > all->max) {
        refuse_connection(connection);
        return;
    }
    connection->client = feed_client_new(all->hub, &transport, connection);
    if (!connection->client)
        close_connection(connection);
    else
        uv_read_start(&connection->stream.stream, on_alloc, on_read);
}

void connections_tick(struct connections *all)
{
    LIST_EACH_SAFE(at, &all->list)
    {
        struct connection *connection = LIST_ENTRY(at, struct connection, link);

        if (outbox_tick(&connection->out) >= STALL_TICKS || connection->out.lost ||
            connection->state == CONNECTION_BROKEN)
            close_connection(connection);
        else if (connection->client)
            feed_client_drained(connection->client);
    }
}

void connections_close(struct connections *all)
{
    LIST_EACH_SAFE(at, &all->list)
    {
        close_connection(LIST_ENTRY(at, struct connection, link));
    }
}
