#include "client/ctl/feed/feedclient.h"

#include <assert.h>
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

#include "client/ctl/common/interrupt.h"
#include "proto/base/address.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* The longest answers are a page of a series (10,000 points, ~3 MB) and a page of runs, each of
 * which may carry 1 MiB of config; 100 of those fit. */
#define ANSWER_MAX_BYTES  ((size_t)128 * 1024 * 1024)
#define ANSWER_MAX_VALUES ((size_t)8 * 1024 * 1024)
#define READ_BYTES        ((size_t)65536)
#define TURN_MS           100

struct feedclient {
    int fd;
    int timeout_ms;
    void (*on_turn)(void *context); /* while an answer is awaited; may be NULL */
    void *context;
    int last_id;
    char *buffer; /* read and not yet taken: [taken, used) */
    size_t taken, used, size;
    size_t scanned; /* up to here there is no newline */
    cJSON *waiting; /* array of updates that came while an answer was awaited */
};

/* Waits for `events` until `deadline_ms` (-1: for ever). Returns 1, 0 when the time is over, or
 * -EINTR. */
static int wait_for(const struct feedclient *feed, short events, int64_t deadline_ms)
{
    struct pollfd poll_fd = {.fd = feed->fd, .events = events};

    for (;;) {
        int64_t left_ms = deadline_ms < 0 ? 0 : deadline_ms - clock_monotonic_ms();
        bool is_turn = feed->on_turn && left_ms > TURN_MS;
        struct timespec left;
        int rc;

        left_ms = left_ms < 0 ? 0 : is_turn ? TURN_MS : left_ms;
        left = (struct timespec){.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        rc = ppoll(&poll_fd, 1, deadline_ms < 0 ? NULL : &left, interrupt_mask());
        if (interrupt_pending())
            return -EINTR;
        if (rc > 0 || (rc == 0 && !is_turn))
            return rc;
        if (is_turn)
            feed->on_turn(feed->context);
    }
}

static int timed_out(const struct feedclient *feed, struct err *err)
{
    return err_set(err, -ETIMEDOUT, "no answer within %g s", feed->timeout_ms / 1000.0);
}

/* Waits for a connect that the kernel makes in the background. */
static int finish_connect(struct feedclient *feed, struct err *err)
{
    socklen_t size = sizeof(int);
    int error = 0, rc;

    rc = wait_for(feed, POLLOUT, clock_monotonic_ms() + feed->timeout_ms);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return timed_out(feed, err);
    getsockopt(feed->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error ? err_set(err, -ENOTCONN, "%s", strerror(error)) : 0;
}

static int connect_to(struct feedclient *feed, int family, const struct sockaddr *address,
                      socklen_t size, struct err *err)
{
    feed->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (feed->fd < 0)
        return err_set(err, -ENOTCONN, "socket: %s", strerror(errno));
    if (connect(feed->fd, address, size) == 0)
        return 0;
    /* EAGAIN is how a UNIX socket says that the daemon's queue of new connections is full. */
    if (errno == EAGAIN)
        return err_set(err, -EBUSY, "too many connections are waiting");
    if (errno != EINPROGRESS)
        return err_set(err, -ENOTCONN, "%s", strerror(errno));
    return finish_connect(feed, err);
}

static int connect_unix(struct feedclient *feed, const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, -EINVAL, "a socket's path has at most %zu bytes",
                       sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    return connect_to(feed, AF_UNIX, (struct sockaddr *)&address, sizeof address, err);
}

static int connect_tcp(struct feedclient *feed, const char *text, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct address address;
    char port[8];
    int rc = address_parse(text, &address);

    if (rc < 0)
        return err_set(err, rc, "not tcp:ADDRESS:PORT");
    snprintf(port, sizeof port, "%u", address.port);
    rc = getaddrinfo(address.host, port, &hints, &found);
    if (rc != 0)
        return err_set(err, -ENOTCONN, "%s", gai_strerror(rc));
    rc = connect_to(feed, found->ai_family, found->ai_addr, found->ai_addrlen, err);
    freeaddrinfo(found);
    return rc;
}

static int dial(struct feedclient *feed, const char *address, struct err *err)
{
    if (strncmp(address, "unix:", 5) == 0)
        return connect_unix(feed, address + 5, err);
    if (strncmp(address, "tcp:", 4) == 0)
        return connect_tcp(feed, address + 4, err);
    return err_set(err, -EINVAL, "neither unix:PATH nor tcp:ADDRESS:PORT");
}

static void hang_up(struct feedclient *feed)
{
    if (feed->fd >= 0)
        close(feed->fd);
    cJSON_Delete(feed->waiting);
    feed->fd = -1;
    feed->waiting = NULL;
    feed->taken = feed->used = feed->scanned = 0;
}

int feedclient_reopen(struct feedclient *feed, const char *address, struct err *err)
{
    int rc;

    assert(feed && address);
    hang_up(feed);
    feed->waiting = cJSON_CreateArray();
    if (!feed->waiting)
        return err_set(err, -ENOMEM, "out of memory");
    rc = dial(feed, address, err);
    if (rc < 0)
        hang_up(feed);
    return rc;
}

int feedclient_open(struct feedclient **out, const char *address, int timeout_ms, struct err *err)
{
    struct feedclient *feed = calloc(1, sizeof *feed);
    int rc;

    assert(out && address && timeout_ms > 0);
    if (!feed)
        return err_set(err, -ENOMEM, "out of memory");
    feed->fd = -1;
    feed->timeout_ms = timeout_ms;
    rc = feedclient_reopen(feed, address, err);
    if (rc < 0) {
        feedclient_free(feed);
        return rc;
    }
    *out = feed;
    return 0;
}

int feedclient_fd(const struct feedclient *feed)
{
    assert(feed);
    return feed->fd;
}

void feedclient_be_patient(struct feedclient *feed, int timeout_ms, void (*on_turn)(void *context),
                           void *context)
{
    assert(timeout_ms > 0);
    feed->timeout_ms = timeout_ms;
    feed->on_turn = on_turn;
    feed->context = context;
}

void feedclient_free(struct feedclient *feed)
{
    if (!feed)
        return;
    hang_up(feed);
    free(feed->buffer);
    free(feed);
}

static int gone(struct err *err, int error)
{
    return err_set(err, -ENOTCONN, "the daemon has gone%s%s", error ? ": " : "",
                   error ? strerror(error) : "");
}

static int send_all(struct feedclient *feed, const char *text, size_t size, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + feed->timeout_ms;

    while (size > 0) {
        ssize_t n = send(feed->fd, text, size, MSG_NOSIGNAL);
        int rc;

        if (n >= 0) {
            text += n;
            size -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return gone(err, errno);
        rc = wait_for(feed, POLLOUT, deadline_ms);
        if (rc <= 0)
            return rc < 0 ? rc : timed_out(feed, err);
    }
    return 0;
}

/* Makes room for a read: moves what is left to the front, then grows up to the limit. */
static int make_room(struct feedclient *feed, struct err *err)
{
    size_t size = feed->size ? 2 * feed->size : 2 * READ_BYTES;
    char *buffer;

    if (feed->taken > 0) {
        memmove(feed->buffer, feed->buffer + feed->taken, feed->used - feed->taken);
        feed->used -= feed->taken;
        feed->scanned -= feed->taken;
        feed->taken = 0;
    }
    if (feed->size - feed->used >= READ_BYTES)
        return 0;
    if (feed->used >= ANSWER_MAX_BYTES)
        return err_set(err, -EPROTO, "an answer of more than %zu bytes", ANSWER_MAX_BYTES);
    buffer = realloc(feed->buffer, size);
    if (!buffer)
        return err_set(err, -ENOMEM, "out of memory");
    feed->buffer = buffer;
    feed->size = size;
    return 0;
}

/* Reads what is there. Returns 0 when something, or nothing, came. */
static int read_some(struct feedclient *feed, struct err *err)
{
    ssize_t n;
    int rc;

    rc = make_room(feed, err);
    if (rc < 0)
        return rc;
    n = recv(feed->fd, feed->buffer + feed->used, feed->size - feed->used, 0);
    if (n == 0)
        return gone(err, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : gone(err, errno);
    feed->used += (size_t)n;
    return 0;
}

/* The next whole line in the buffer, without its newline, or NULL. */
static char *take_line(struct feedclient *feed, size_t *size)
{
    char *line = feed->buffer + feed->taken, *end = NULL;

    if (feed->scanned < feed->used)
        end = memchr(feed->buffer + feed->scanned, '\n', feed->used - feed->scanned);
    feed->scanned = feed->used;
    if (!end)
        return NULL;
    *size = (size_t)(end - line);
    feed->taken += *size + 1;
    feed->scanned = feed->taken;
    return line;
}

/* The next message. Returns 1 with it in `*out`, 0 when the time is over, or an error. */
static int read_message(struct feedclient *feed, int64_t deadline_ms, cJSON **out, struct err *err)
{
    size_t size = 0;
    char *line;
    int rc;

    while (!(line = take_line(feed, &size))) {
        rc = wait_for(feed, POLLIN, deadline_ms);
        if (rc <= 0)
            return rc;
        rc = read_some(feed, err);
        if (rc < 0)
            return rc;
    }
    *out = json_parse_limited(line, size, ANSWER_MAX_BYTES, ANSWER_MAX_VALUES, err);
    if (!*out)
        return err_prefix(err, -EPROTO, "the daemon's answer: ");
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

static cJSON *make_request(struct feedclient *feed, const char *method, cJSON *params)
{
    cJSON *request = cJSON_CreateObject();

    feed->last_id++;
    if (cJSON_AddStringToObject(request, "jsonrpc", "2.0") &&
        json_add_integer(request, "id", feed->last_id) &&
        cJSON_AddStringToObject(request, "method", method) && params &&
        cJSON_AddItemToObject(request, "params", params))
        return request;
    cJSON_Delete(params);
    cJSON_Delete(request);
    return NULL;
}

static int send_request(struct feedclient *feed, const char *method, cJSON *params, struct err *err)
{
    cJSON *request = make_request(feed, method, params);
    char *line = request ? json_print(request) : NULL;
    int rc = -ENOMEM;

    cJSON_Delete(request);
    if (line) {
        size_t size = strlen(line);

        /* The closing NUL gives its place to the newline. */
        line[size] = '\n';
        rc = send_all(feed, line, size + 1, err);
    } else {
        err_set(err, rc, "out of memory");
    }
    cJSON_free(line);
    return rc;
}

/* Whether the daemon does not know what every daemon of this version takes. */
static bool is_older(const char *text)
{
    return strstr(text, " has no parameter \"") ||
           strcmp(text, "\"config\" must be true or false") == 0;
}

/* The daemon's error as ours: its text, and a code that a script can distinguish. A parameter that
 * it refuses was an option of ours. */
static int remote_error(const char *method, const cJSON *error, struct err *err)
{
    const char *text = "an error without a text";
    int64_t code = 0;

    json_integer(error, "code", INT32_MIN, INT32_MAX, &code, NULL);
    json_text(error, "message", ERR_TEXT_SIZE - 1, &text, NULL);
    if (code == -32601)
        return err_set(err, -EREMOTEIO,
                       "the daemon does not know %s: it is older than this richctl (%s). End it, "
                       "and start the newer one",
                       method, RICHD_VERSION);
    if (code == -32602 && is_older(text))
        return err_set(err, -EREMOTEIO,
                       "the daemon does not take these options: it is older than this richctl "
                       "(%s). End it, and start the newer one (%s)",
                       RICHD_VERSION, text);
    return err_set(err,
                   code == -32002   ? -EBUSY
                   : code == -32602 ? -EINVAL
                                    : -EREMOTEIO,
                   "%s", text);
}

/* Takes the result out of an answer. An error without an id concerns the connection: it also ends
 * the wait. */
static int take_answer(struct feedclient *feed, const char *method, cJSON *message, cJSON **result,
                       struct err *err)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(message, "error");
    int64_t id = 0;
    int had_id = json_integer(message, "id", 0, INT32_MAX, &id, NULL);

    if (error && (had_id <= 0 || id == feed->last_id))
        return remote_error(method, error, err);
    if (had_id <= 0 || id != feed->last_id)
        return 0;
    *result = cJSON_DetachItemFromObjectCaseSensitive(message, "result");
    if (!cJSON_IsObject(*result)) {
        cJSON_Delete(*result);
        *result = NULL;
        return err_set(err, -EPROTO, "the daemon's answer has no result");
    }
    return 1;
}

static int await_answer(struct feedclient *feed, const char *method, cJSON **result,
                        struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + feed->timeout_ms;
    int rc = 0;

    while (rc == 0) {
        cJSON *message = NULL, *update;

        rc = read_message(feed, deadline_ms, &message, err);
        if (rc <= 0)
            return rc < 0 ? rc : timed_out(feed, err);
        update = update_of(message);
        rc = update ? 0 : take_answer(feed, method, message, result, err);
        cJSON_Delete(message);
        if (update)
            cJSON_AddItemToArray(feed->waiting, update);
    }
    return rc < 0 ? rc : 0;
}

int feedclient_call(struct feedclient *feed, const char *method, cJSON *params, cJSON **result,
                    struct err *err)
{
    cJSON *answer = NULL;
    int rc;

    assert(feed && method);
    if (feed->fd < 0) {
        cJSON_Delete(params);
        return gone(err, 0);
    }
    rc = send_request(feed, method, params, err);
    if (rc == 0)
        rc = await_answer(feed, method, &answer, err);
    if (result)
        *result = answer;
    else
        cJSON_Delete(answer);
    return rc;
}

int feedclient_next(struct feedclient *feed, int timeout_ms, cJSON **update, struct err *err)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : clock_monotonic_ms() + timeout_ms;

    assert(feed && update && timeout_ms >= -1);
    if (feed->fd < 0)
        return gone(err, 0);
    *update = cJSON_DetachItemFromArray(feed->waiting, 0);
    while (!*update) {
        cJSON *message = NULL;
        int rc = read_message(feed, deadline_ms, &message, err);

        if (rc <= 0)
            return rc;
        *update = update_of(message);
        cJSON_Delete(message);
    }
    return 1;
}
