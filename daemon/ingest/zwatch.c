#include "daemon/ingest/zwatch.h"

#include <errno.h>
#include <stdbool.h>
#include <zmq.h>

/* Reading ZMQ_EVENTS also makes libzmq process its commands, which is what re-arms the descriptor.
 */
static bool is_readable(struct zwatch *zwatch)
{
    int events = 0;
    size_t size = sizeof events;

    return zmq_getsockopt(zwatch->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is its effect: the loop does not block */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct zwatch *zwatch = prepare->data;

    if (is_readable(zwatch))
        uv_idle_start(&zwatch->idle, on_idle);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void on_check(uv_check_t *check)
{
    struct zwatch *zwatch = check->data;

    uv_idle_stop(&zwatch->idle);
    if (is_readable(zwatch))
        zwatch->on_readable(zwatch);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct zwatch *zwatch = handle->data;

    if (--zwatch->n_open == 0 && zwatch->on_closed)
        zwatch->on_closed(zwatch);
}

int zwatch_init(struct zwatch *zwatch, uv_loop_t *loop, void *socket,
                zwatch_readable_cb *on_readable)
{
    int fd, rc;
    size_t size = sizeof fd;

    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) < 0)
        return -zmq_errno();
    rc = uv_poll_init(loop, &zwatch->poll, fd);
    if (rc < 0)
        return rc;
    zwatch->socket = socket;
    zwatch->on_readable = on_readable;
    zwatch->on_closed = NULL;
    uv_prepare_init(loop, &zwatch->prepare);
    uv_check_init(loop, &zwatch->check);
    uv_idle_init(loop, &zwatch->idle);
    zwatch->poll.data = zwatch->prepare.data = zwatch->check.data = zwatch->idle.data = zwatch;
    zwatch->n_open = 4;
    uv_prepare_start(&zwatch->prepare, on_prepare);
    uv_check_start(&zwatch->check, on_check);
    rc = uv_poll_start(&zwatch->poll, UV_READABLE, on_poll);
    if (rc < 0)
        zwatch_close(zwatch, NULL);
    return rc;
}

void zwatch_stop(struct zwatch *zwatch)
{
    uv_prepare_stop(&zwatch->prepare);
    uv_check_stop(&zwatch->check);
    uv_idle_stop(&zwatch->idle);
    uv_poll_stop(&zwatch->poll);
}

void zwatch_close(struct zwatch *zwatch, zwatch_close_cb *on_closed)
{
    zwatch->on_closed = on_closed;
    uv_close((uv_handle_t *)&zwatch->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&zwatch->check, on_handle_closed);
    uv_close((uv_handle_t *)&zwatch->idle, on_handle_closed);
    uv_close((uv_handle_t *)&zwatch->poll, on_handle_closed);
}
