#include "client/ctl/feed/feedclient.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/address.h"
#include "proto/base/clock.h"
#include "client/ctl/common/interrupt.h"
#include "proto/json.h"

/* The longest answers are a page of a series (10,000 points, ~3 MB) and a page of runs, each of
 * which may carry 1 MiB of config; 100 of those fit. */
#define ANSWER_MAX_BYTES  ((size_t)128 * 1024 * 1024)
#define ANSWER_MAX_VALUES ((size_t)8 * 1024 * 1024)
#define READ_BYTES        ((size_t)65536)

struct feedclient {
    int fd;
    int timeout_ms;
    int last_id;
    char *buffer; /* read and not yet taken: [taken, used) */
    size_t taken, used, size;
    size_t scanned; /* up to here there is no newline */
    cJSON *waiting; /* array of updates that came while an answer was awaited */
};

/* Waits for `events` until `deadline_ms` (-1: for ever). Returns 1, 0 when the time is over, or
 * -EINTR. */
static int wait_for(const struct feedclient *f, short events, int64_t deadline_ms)
{
    struct pollfd p = {.fd = f->fd, .events = events};

    for (;;) {
        int64_t left_ms = deadline_ms < 0 ? 0 : deadline_ms - clock_monotonic_ms();
        struct timespec left;
        int rc;

        if (left_ms < 0)
            left_ms = 0;
        left = (struct timespec){.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        rc = ppoll(&p, 1, deadline_ms < 0 ? NULL : &left, interrupt_mask());
        if (interrupt_pending())
            return -EINTR;
        if (rc >= 0)
            return rc > 0;
    }
}

static int timed_out(const struct feedclient *f, struct err *e)
{
    return err_set(e, -ETIMEDOUT, "no answer within %g s", f->timeout_ms / 1000.0);
}

/* Ends a connect that goes on in the background. */
static int finish_connect(struct feedclient *f, struct err *e)
{
    socklen_t size = sizeof(int);
    int error = 0, rc;

    rc = wait_for(f, POLLOUT, clock_monotonic_ms() + f->timeout_ms);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return timed_out(f, e);
    getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error ? err_set(e, -ENOTCONN, "%s", strerror(error)) : 0;
}

static int connect_to(struct feedclient *f, int family, const struct sockaddr *address,
                      socklen_t size, struct err *e)
{
    f->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0)
        return err_set(e, -ENOTCONN, "socket: %s", strerror(errno));
    if (connect(f->fd, address, size) == 0)
        return 0;
    /* EAGAIN is how a UNIX socket says that the daemon's queue of new connections is full. */
    if (errno == EAGAIN)
        return err_set(e, -EBUSY, "too many connections are waiting");
    if (errno != EINPROGRESS)
        return err_set(e, -ENOTCONN, "%s", strerror(errno));
    return finish_connect(f, e);
}

static int connect_unix(struct feedclient *f, const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, -EINVAL, "a socket's path has at most %zu bytes",
                       sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    return connect_to(f, AF_UNIX, (struct sockaddr *)&address, sizeof address, e);
}

static int connect_tcp(struct feedclient *f, const char *text, struct err *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct address address;
    char port[8];
    int rc = address_parse(text, &address);

    if (rc < 0)
        return err_set(e, rc, "not tcp:ADDRESS:PORT");
    snprintf(port, sizeof port, "%u", address.port);
    rc = getaddrinfo(address.host, port, &hints, &found);
    if (rc != 0)
        return err_set(e, -ENOTCONN, "%s", gai_strerror(rc));
    rc = connect_to(f, found->ai_family, found->ai_addr, found->ai_addrlen, e);
    freeaddrinfo(found);
    return rc;
}

static int dial(struct feedclient *f, const char *address, struct err *e)
{
    if (strncmp(address, "unix:", 5) == 0)
        return connect_unix(f, address + 5, e);
    if (strncmp(address, "tcp:", 4) == 0)
        return connect_tcp(f, address + 4, e);
    return err_set(e, -EINVAL, "neither unix:PATH nor tcp:ADDRESS:PORT");
}

static void hang_up(struct feedclient *f)
{
    if (f->fd >= 0)
        close(f->fd);
    cJSON_Delete(f->waiting);
    f->fd = -1;
    f->waiting = NULL;
    f->taken = f->used = f->scanned = 0;
}

int feedclient_reopen(struct feedclient *f, const char *address, struct err *e)
{
    int rc;

    hang_up(f);
    f->waiting = cJSON_CreateArray();
    if (!f->waiting)
        return err_set(e, -ENOMEM, "out of memory");
    rc = dial(f, address, e);
    if (rc < 0)
        hang_up(f);
    return rc;
}

int feedclient_open(struct feedclient **out, const char *address, int timeout_ms, struct err *e)
{
    struct feedclient *f = calloc(1, sizeof *f);
    int rc;

    if (!f)
        return err_set(e, -ENOMEM, "out of memory");
    f->fd = -1;
    f->timeout_ms = timeout_ms;
    rc = feedclient_reopen(f, address, e);
    if (rc < 0) {
        feedclient_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

int feedclient_fd(const struct feedclient *f)
{
    return f->fd;
}

void feedclient_free(struct feedclient *f)
{
    if (!f)
        return;
    hang_up(f);
    free(f->buffer);
    free(f);
}

static int gone(struct err *e, int error)
{
    return err_set(e, -ENOTCONN, "the daemon has gone%s%s", error ? ": " : "",
                   error ? strerror(error) : "");
}

static int send_all(struct feedclient *f, const char *text, size_t size, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + f->timeout_ms;

    while (size > 0) {
        ssize_t n = send(f->fd, text, size, MSG_NOSIGNAL);
        int rc;

        if (n >= 0) {
            text += n;
            size -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return gone(e, errno);
        rc = wait_for(f, POLLOUT, deadline_ms);
        if (rc <= 0)
            return rc < 0 ? rc : timed_out(f, e);
    }
    return 0;
}

/* Makes room for a read: moves what is left to the front, then grows up to the limit. */
static int make_room(struct feedclient *f, struct err *e)
{
    size_t size = f->size ? 2 * f->size : 2 * READ_BYTES;
    char *buffer;

    if (f->taken > 0) {
        memmove(f->buffer, f->buffer + f->taken, f->used - f->taken);
        f->used -= f->taken;
        f->scanned -= f->taken;
        f->taken = 0;
    }
    if (f->size - f->used >= READ_BYTES)
        return 0;
    if (f->used >= ANSWER_MAX_BYTES)
        return err_set(e, -EPROTO, "an answer of more than %zu bytes", ANSWER_MAX_BYTES);
    buffer = realloc(f->buffer, size);
    if (!buffer)
        return err_set(e, -ENOMEM, "out of memory");
    f->buffer = buffer;
    f->size = size;
    return 0;
}

/* Reads what is there. Returns 0 when something, or nothing, came. */
static int read_some(struct feedclient *f, struct err *e)
{
    ssize_t n;
    int rc;

    rc = make_room(f, e);
    if (rc < 0)
        return rc;
    n = recv(f->fd, f->buffer + f->used, f->size - f->used, 0);
    if (n == 0)
        return gone(e, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : gone(e, errno);
    f->used += (size_t)n;
    return 0;
}

/* The next whole line in the buffer, without its newline, or NULL. */
static char *take_line(struct feedclient *f, size_t *size)
{
    char *line = f->buffer + f->taken, *end = NULL;

    if (f->scanned < f->used)
        end = memchr(f->buffer + f->scanned, '\n', f->used - f->scanned);
    f->scanned = f->used;
    if (!end)
        return NULL;
    *size = (size_t)(end - line);
    f->taken += *size + 1;
    f->scanned = f->taken;
    return line;
}

/* The next message. Returns 1 with it in `*out`, 0 when the time is over, or an error. */
static int read_message(struct feedclient *f, int64_t deadline_ms, cJSON **out, struct err *e)
{
    size_t size = 0;
    char *line;
    int rc;

    while (!(line = take_line(f, &size))) {
        rc = wait_for(f, POLLIN, deadline_ms);
        if (rc <= 0)
            return rc;
        rc = read_some(f, e);
        if (rc < 0)
            return rc;
    }
    *out = json_parse_limited(line, size, ANSWER_MAX_BYTES, ANSWER_MAX_VALUES, e);
    if (!*out)
        return err_prefix(e, -EPROTO, "the daemon's answer: ");
    return 1;
}

/* The params of a message that is an update, detached, or NULL. */
static cJSON *update_of(cJSON *message)
{
    const char *method = NULL;

    if (json_text(message, "method", 64, &method, NULL) <= 0 ||
        (strcmp(method, "series.update") != 0 && strcmp(method, "event.update") != 0))
        return NULL;
    return cJSON_DetachItemFromObjectCaseSensitive(message, "params");
}

static cJSON *make_request(struct feedclient *f, const char *method, cJSON *params)
{
    cJSON *request = cJSON_CreateObject();

    f->last_id++;
    if (cJSON_AddStringToObject(request, "jsonrpc", "2.0") &&
        json_add_integer(request, "id", f->last_id) &&
        cJSON_AddStringToObject(request, "method", method) && params &&
        cJSON_AddItemToObject(request, "params", params))
        return request;
    cJSON_Delete(params);
    cJSON_Delete(request);
    return NULL;
}

static int send_request(struct feedclient *f, const char *method, cJSON *params, struct err *e)
{
    cJSON *request = make_request(f, method, params);
    char *line = request ? json_print(request) : NULL;
    int rc = -ENOMEM;

    cJSON_Delete(request);
    if (line) {
        size_t size = strlen(line);

        /* The closing NUL gives its place to the newline. */
        line[size] = '\n';
        rc = send_all(f, line, size + 1, e);
    } else {
        err_set(e, rc, "out of memory");
    }
    cJSON_free(line);
    return rc;
}

/* The daemon's error as ours: its text, and what a script can tell apart. A parameter that it
 * refuses was an option of ours. */
static int remote_error(const cJSON *error, struct err *e)
{
    const char *text = "an error without a text";
    int64_t code = 0;

    json_integer(error, "code", INT32_MIN, INT32_MAX, &code, NULL);
    json_text(error, "message", ERR_TEXT_SIZE - 1, &text, NULL);
    return err_set(e, code == -32002 ? -EBUSY : code == -32602 ? -EINVAL : -EREMOTEIO, "%s", text);
}

/* Takes the answer apart. An error without an id concerns the connection: it ends the wait too. */
static int take_answer(struct feedclient *f, cJSON *message, cJSON **result, struct err *e)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(message, "error");
    int64_t id = 0;
    int had_id = json_integer(message, "id", 0, INT32_MAX, &id, NULL);

    if (error && (had_id <= 0 || id == f->last_id))
        return remote_error(error, e);
    if (had_id <= 0 || id != f->last_id)
        return 0;
    *result = cJSON_DetachItemFromObjectCaseSensitive(message, "result");
    if (!cJSON_IsObject(*result)) {
        cJSON_Delete(*result);
        *result = NULL;
        return err_set(e, -EPROTO, "the daemon's answer has no result");
    }
    return 1;
}

static int await_answer(struct feedclient *f, cJSON **result, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + f->timeout_ms;
    int rc = 0;

    while (rc == 0) {
        cJSON *message = NULL, *update;

        rc = read_message(f, deadline_ms, &message, e);
        if (rc <= 0)
            return rc < 0 ? rc : timed_out(f, e);
        update = update_of(message);
        rc = update ? 0 : take_answer(f, message, result, e);
        cJSON_Delete(message);
        if (update)
            cJSON_AddItemToArray(f->waiting, update);
    }
    return rc < 0 ? rc : 0;
}

int feedclient_call(struct feedclient *f, const char *method, cJSON *params, cJSON **result,
                    struct err *e)
{
    cJSON *answer = NULL;
    int rc;

    if (f->fd < 0) {
        cJSON_Delete(params);
        return gone(e, 0);
    }
    rc = send_request(f, method, params, e);
    if (rc == 0)
        rc = await_answer(f, &answer, e);
    if (result)
        *result = answer;
    else
        cJSON_Delete(answer);
    return rc;
}

int feedclient_next(struct feedclient *f, int timeout_ms, cJSON **update, struct err *e)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : clock_monotonic_ms() + timeout_ms;

    if (f->fd < 0)
        return gone(e, 0);
    *update = cJSON_DetachItemFromArray(f->waiting, 0);
    while (!*update) {
        cJSON *message = NULL;
        int rc = read_message(f, deadline_ms, &message, e);

        if (rc <= 0)
            return rc;
        *update = update_of(message);
        cJSON_Delete(message);
    }
    return 1;
}
