#include "daemon/loop/alert.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "proto/base/list.h"

/* Standard input, output and error of the command: the event, nowhere, and ours. */
#define N_STREAMS 3
/* The process, the pipe to it, and its time limit. */
#define N_HANDLES 3

struct message {
    struct list link;
    char *line;
    size_t size;
};

/* The command while it runs. It is freed when its handles are closed. */
struct child {
    struct alert *alert;
    struct message *message;
    uv_process_t process;
    uv_pipe_t input;
    uv_timer_t limit;
    uv_write_t write;
    int n_handles;
    bool runs;
};

struct alert {
    uv_loop_t *loop;
    const char *path;
    struct list queue;
    size_t n_queued;
    struct child *child; /* NULL: none runs */
    bool closing;
    struct log_limit dropped;
};

int alert_check(const char *path, struct err *e)
{
    struct stat s;

    if (path[0] != '/')
        return err_set(e, -EINVAL, "\"%s\" is not an absolute path", path);
    if (stat(path, &s) < 0)
        return err_set(e, -EINVAL, "%s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode) || access(path, X_OK) < 0)
        return err_set(e, -EINVAL, "%s is no executable file", path);
    return 0;
}

struct alert *alert_new(uv_loop_t *loop, const char *path)
{
    struct alert *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->loop = loop;
    a->path = path;
    list_init(&a->queue);
    return a;
}

static void free_message(struct message *m)
{
    free(m->line);
    free(m);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void run_next(struct alert *a);

static void on_handle_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;
    struct alert *a = c->alert;

    if (--c->n_handles > 0)
        return;
    free_message(c->message);
    free(c);
    a->child = NULL;
    run_next(a);
}

static void close_child(struct child *c)
{
    uv_handle_t *handles[N_HANDLES] = {(uv_handle_t *)&c->process, (uv_handle_t *)&c->input,
                                       (uv_handle_t *)&c->limit};

    c->runs = false;
    for (size_t i = 0; i < N_HANDLES; i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], on_handle_closed);
    }
}

/* It leads a group of its own: what it has started goes with it. */
static void kill_child(struct child *c)
{
    if (c->runs)
        kill(-c->process.pid, SIGKILL);
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int number)
{
    struct child *c = process->data;

    if (number)
        log_warn("the command for events was ended by %s", strsignal(number));
    else if (status)
        log_warn("the command for events ended with %d", (int)status);
    close_child(c);
}

static void on_limit(uv_timer_t *timer)
{
    struct child *c = timer->data;

    log_warn("the command for events took more than %d s and is killed", ALERT_LIMIT_MS / 1000);
    kill_child(c);
}

/* The command may end without reading: an error here is its own affair. */
static void on_written(uv_write_t *write, int status)
{
    struct child *c = write->data;

    (void)status;
    if (!uv_is_closing((uv_handle_t *)&c->input))
        uv_close((uv_handle_t *)&c->input, on_handle_closed);
}

static int spawn(struct child *c)
{
    char *arguments[] = {(char *)(uintptr_t)c->alert->path, NULL};
    uv_stdio_container_t streams[N_STREAMS] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&c->input},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .file = c->alert->path,
        .args = arguments,
        .exit_cb = on_exit_of_child,
        .flags = UV_PROCESS_DETACHED,
        .stdio = streams,
        .stdio_count = N_STREAMS,
    };

    return uv_spawn(c->alert->loop, &c->process, &options);
}

/* Gives the child its event. */
static void start(struct child *c)
{
    uv_buf_t line = uv_buf_init(c->message->line, (unsigned)c->message->size);

    c->runs = true;
    uv_timer_start(&c->limit, on_limit, ALERT_LIMIT_MS, 0);
    if (uv_write(&c->write, (uv_stream_t *)&c->input, &line, 1, on_written) < 0)
        uv_close((uv_handle_t *)&c->input, on_handle_closed);
}

static void run(struct alert *a, struct message *m)
{
    struct child *c = calloc(1, sizeof *c);
    int rc;

    if (!c) {
        free_message(m);
        return;
    }
    a->child = c;
    c->alert = a;
    c->message = m;
    c->n_handles = N_HANDLES;
    c->process.data = c->input.data = c->limit.data = c->write.data = c;
    uv_pipe_init(a->loop, &c->input, 0);
    uv_timer_init(a->loop, &c->limit);
    rc = spawn(c);
    if (rc == 0) {
        start(c);
        return;
    }
    log_warn("the command for events, %s, does not run: %s", a->path, uv_strerror(rc));
    close_child(c);
}

static void run_next(struct alert *a)
{
    struct list *first = list_first(&a->queue);

    if (!first || a->child || a->closing)
        return;
    list_remove(first);
    a->n_queued--;
    run(a, LIST_ENTRY(first, struct message, link));
}

/* ---- the queue ------------------------------------------------------------------------------- */

void alert_put(struct alert *a, char *line, size_t size)
{
    struct message *m = a->n_queued < ALERT_QUEUE_MAX ? calloc(1, sizeof *m) : NULL;

    assert(size > 0 && line[size - 1] == '\n');
    if (!m) {
        log_warn_limited(&a->dropped, "an event is not told to %s: %zu wait already", a->path,
                         a->n_queued);
        free(line);
        return;
    }
    m->line = line;
    m->size = size;
    list_append(&a->queue, &m->link);
    a->n_queued++;
    run_next(a);
}

static void drop_queue(struct alert *a)
{
    if (a->n_queued > 0)
        log_warn("%zu events are not told to the command", a->n_queued);
    LIST_EACH_SAFE(at, &a->queue)
    {
        list_remove(at);
        free_message(LIST_ENTRY(at, struct message, link));
    }
    a->n_queued = 0;
}

void alert_set_path(struct alert *a, const char *path)
{
    a->path = path;
    if (!path)
        drop_queue(a);
}

bool alert_is_on(const struct alert *a)
{
    return a->path;
}

void alert_close(struct alert *a)
{
    if (!a || a->closing)
        return;
    a->closing = true;
    drop_queue(a);
    if (!a->child)
        return;
    kill_child(a->child);
    close_child(a->child);
}

void alert_free(struct alert *a)
{
    free(a);
}
