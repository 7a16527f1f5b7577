#include "daemon/ingest/zwatch.h"

#include <errno.h>
#include <stdbool.h>
#include <zmq.h>

/* Reading ZMQ_EVENTS also makes libzmq process its commands, which is what re-arms the descriptor.
 */
static bool is_readable(struct zwatch *w)
{
    int events = 0;
    size_t size = sizeof events;

    return zmq_getsockopt(w->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is its effect: the loop does not block */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct zwatch *w = prepare->data;

    if (is_readable(w))
        uv_idle_start(&w->idle, on_idle);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void on_check(uv_check_t *check)
{
    struct zwatch *w = check->data;

    uv_idle_stop(&w->idle);
    if (is_readable(w))
        w->on_readable(w);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct zwatch *w = handle->data;

    if (--w->n_open == 0 && w->on_closed)
        w->on_closed(w);
}

int zwatch_init(struct zwatch *w, uv_loop_t *loop, void *socket, zwatch_readable_cb *on_readable)
{
    int fd, rc;
    size_t size = sizeof fd;

    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) < 0)
        return -zmq_errno();
    rc = uv_poll_init(loop, &w->poll, fd);
    if (rc < 0)
        return rc;
    w->socket = socket;
    w->on_readable = on_readable;
    w->on_closed = NULL;
    uv_prepare_init(loop, &w->prepare);
    uv_check_init(loop, &w->check);
    uv_idle_init(loop, &w->idle);
    w->poll.data = w->prepare.data = w->check.data = w->idle.data = w;
    w->n_open = 4;
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    rc = uv_poll_start(&w->poll, UV_READABLE, on_poll);
    if (rc < 0)
        zwatch_close(w, NULL);
    return rc;
}

void zwatch_stop(struct zwatch *w)
{
    uv_prepare_stop(&w->prepare);
    uv_check_stop(&w->check);
    uv_idle_stop(&w->idle);
    uv_poll_stop(&w->poll);
}

void zwatch_close(struct zwatch *w, zwatch_close_cb *on_closed)
{
    w->on_closed = on_closed;
    uv_close((uv_handle_t *)&w->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&w->check, on_handle_closed);
    uv_close((uv_handle_t *)&w->idle, on_handle_closed);
    uv_close((uv_handle_t *)&w->poll, on_handle_closed);
}
