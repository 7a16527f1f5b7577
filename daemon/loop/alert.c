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

int alert_check(const char *path, struct err *err)
{
    struct stat s;

    if (path[0] != '/')
        return err_set(err, -EINVAL, "\"%s\" is not an absolute path", path);
    if (stat(path, &s) < 0)
        return err_set(err, -EINVAL, "%s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode) || access(path, X_OK) < 0)
        return err_set(err, -EINVAL, "%s is no executable file", path);
    return 0;
}

struct alert *alert_new(uv_loop_t *loop, const char *path)
{
    struct alert *alert = calloc(1, sizeof *alert);

    if (!alert)
        return NULL;
    alert->loop = loop;
    alert->path = path;
    list_init(&alert->queue);
    return alert;
}

static void free_message(struct message *message)
{
    free(message->line);
    free(message);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void run_next(struct alert *alert);

static void on_handle_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    struct alert *alert = child->alert;

    if (--child->n_handles > 0)
        return;
    free_message(child->message);
    free(child);
    alert->child = NULL;
    run_next(alert);
}

static void close_child(struct child *child)
{
    uv_handle_t *handles[N_HANDLES] = {(uv_handle_t *)&child->process, (uv_handle_t *)&child->input,
                                       (uv_handle_t *)&child->limit};

    child->runs = false;
    for (size_t i = 0; i < N_HANDLES; i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], on_handle_closed);
    }
}

/* It leads a group of its own: what it has started goes with it. */
static void kill_child(struct child *child)
{
    if (child->runs)
        kill(-child->process.pid, SIGKILL);
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int number)
{
    struct child *child = process->data;

    if (number)
        log_warn("the command for events was ended by %s", strsignal(number));
    else if (status)
        log_warn("the command for events ended with %d", (int)status);
    close_child(child);
}

static void on_limit(uv_timer_t *timer)
{
    struct child *child = timer->data;

    log_warn("the command for events took more than %d s and is killed", ALERT_LIMIT_MS / 1000);
    kill_child(child);
}

/* The command may end without reading: an error here is its own affair. */
static void on_written(uv_write_t *write, int status)
{
    struct child *child = write->data;

    (void)status;
    if (!uv_is_closing((uv_handle_t *)&child->input))
        uv_close((uv_handle_t *)&child->input, on_handle_closed);
}

static int spawn(struct child *child)
{
    char *arguments[] = {(char *)(uintptr_t)child->alert->path, NULL};
    uv_stdio_container_t streams[N_STREAMS] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->input},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .file = child->alert->path,
        .args = arguments,
        .exit_cb = on_exit_of_child,
        .flags = UV_PROCESS_DETACHED,
        .stdio = streams,
        .stdio_count = N_STREAMS,
    };

    return uv_spawn(child->alert->loop, &child->process, &options);
}

/* Gives the child its event. */
static void start(struct child *child)
{
    uv_buf_t line = uv_buf_init(child->message->line, (unsigned)child->message->size);

    child->runs = true;
    uv_timer_start(&child->limit, on_limit, ALERT_LIMIT_MS, 0);
    if (uv_write(&child->write, (uv_stream_t *)&child->input, &line, 1, on_written) < 0)
        uv_close((uv_handle_t *)&child->input, on_handle_closed);
}

static void run(struct alert *alert, struct message *message)
{
    struct child *child = calloc(1, sizeof *child);
    int rc;

    if (!child) {
        free_message(message);
        return;
    }
    alert->child = child;
    child->alert = alert;
    child->message = message;
    child->n_handles = N_HANDLES;
    child->process.data = child->input.data = child->limit.data = child->write.data = child;
    uv_pipe_init(alert->loop, &child->input, 0);
    uv_timer_init(alert->loop, &child->limit);
    rc = spawn(child);
    if (rc == 0) {
        start(child);
        return;
    }
    log_warn("the command for events, %s, does not run: %s", alert->path, uv_strerror(rc));
    close_child(child);
}

static void run_next(struct alert *alert)
{
    struct list *first = list_first(&alert->queue);

    if (!first || alert->child || alert->closing)
        return;
    list_remove(first);
    alert->n_queued--;
    run(alert, LIST_ENTRY(first, struct message, link));
}

/* ---- the queue ------------------------------------------------------------------------------- */

void alert_put(struct alert *alert, char *line, size_t size)
{
    struct message *message = alert->n_queued < ALERT_QUEUE_MAX ? calloc(1, sizeof *message) : NULL;

    assert(size > 0 && line[size - 1] == '\n');
    if (!message) {
        log_warn_limited(&alert->dropped, "an event is not told to %s: %zu wait already",
                         alert->path, alert->n_queued);
        free(line);
        return;
    }
    message->line = line;
    message->size = size;
    list_append(&alert->queue, &message->link);
    alert->n_queued++;
    run_next(alert);
}

static void drop_queue(struct alert *alert)
{
    if (alert->n_queued > 0)
        log_warn("%zu events are not told to the command", alert->n_queued);
    LIST_EACH_SAFE(at, &alert->queue)
    {
        list_remove(at);
        free_message(LIST_ENTRY(at, struct message, link));
    }
    alert->n_queued = 0;
}

void alert_set_path(struct alert *alert, const char *path)
{
    alert->path = path;
    if (!path)
        drop_queue(alert);
}

bool alert_is_on(const struct alert *alert)
{
    return alert->path;
}

void alert_close(struct alert *alert)
{
    if (!alert || alert->closing)
        return;
    alert->closing = true;
    drop_queue(alert);
    if (!alert->child)
        return;
    kill_child(alert->child);
    close_child(alert->child);
}

void alert_free(struct alert *alert)
{
    free(alert);
}
