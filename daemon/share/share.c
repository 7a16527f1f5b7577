#include "daemon/share/share.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "daemon/share/ask.h"
#include "daemon/share/pull.h"
#include "daemon/share/push.h"
#include "daemon/share/remote.h"
#include "daemon/store/store.h"
#include "proto/base/clock.h"

/* libpq blocks in one thread of its own. Its connecting looks names up by a call that blocks, so on
 * the loop it would stop all trainers for as long as a name server is silent; and in a thread of
 * its own the rest is a sequence of steps, and no second state machine. The thread only reads the
 * store. It ends when `stop_fd` becomes readable.
 *
 *     connect -> begin -> step, step, ... -> idle -> step ...
 *        ^                  |
 *        '---- pause <-- failure
 */

/* So often the thread looks whether the store has committed. */
#define LOOK_MS 250
/* The first pause after a failure, which doubles; what a person has to mend is tried less often. */
#define PAUSE_MIN_MS     200
#define PAUSE_MAX_MS     5000
#define PAUSE_MENDING_MS 10000

/* Who has the merge. */
enum offer {
    OFFER_NONE,
    OFFER_MADE,  /* the loop has not seen it yet */
    OFFER_TAKEN, /* the store's lane has it */
    OFFER_DONE,
};

struct share {
    struct share_config config; /* its texts are copies */
    char *url, *path;
    pthread_t thread;
    bool has_thread;
    bool is_left; /* the thread did not end */
    int stop_fd;
    struct remote remote;
    struct ask *ask;              /* NULL: of a reader */
    struct push *push;            /* NULL: of a reader */
    struct pull *pull;            /* NULL: of one that writes */
    atomic_int_fast64_t position; /* of the feed: how far the history has come */
    int pause_ms;

    atomic_uint_fast64_t commits; /* of the store: all of them are there */
    uv_async_t async;             /* a merge is offered, or the position has moved */
    bool has_async;
    int done_fd;

    pthread_mutex_t lock; /* of what follows */
    struct share_status status;
    enum offer offer;
    struct merge *merge;
};

/* ---- status ---------------------------------------------------------------------------------- */

static int64_t n_waiting(const struct share *share)
{
    return share->push ? (int64_t)store_feed_seq(share->config.store) - share->position : 0;
}

void share_status(struct share *share, struct share_status *out)
{
    pthread_mutex_lock(&share->lock);
    *out = share->status;
    pthread_mutex_unlock(&share->lock);
    out->n_waiting = n_waiting(share);
    if (out->n_waiting < 0) /* the store was put back */
        out->n_waiting = 0;
}

/* `waits`: something is not there that was committed. */
static void tell(struct share *share, bool waits, const char *problem)
{
    struct share_status *status = &share->status;

    pthread_mutex_lock(&share->lock);
    if (!waits)
        status->behind_since = 0;
    else if (status->behind_since == 0)
        status->behind_since = clock_wall_s();
    snprintf(status->server, sizeof status->server, "%s", share->remote.server);
    snprintf(status->problem, sizeof status->problem, "%s", problem);
    pthread_mutex_unlock(&share->lock);
}

/* The first is logged; the last one is told until this process ends. */
static void remark(struct share *share, const char *text)
{
    bool is_new;

    pthread_mutex_lock(&share->lock);
    is_new = !*share->status.remark;
    snprintf(share->status.remark, sizeof share->status.remark, "%s", text);
    pthread_mutex_unlock(&share->lock);
    if (is_new)
        log_warn("the shared history: %s", text);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Sleeps; true: it shall stop. */
static bool is_stopped_within(const struct share *share, int timeout_ms)
{
    struct pollfd fd = {share->stop_fd, POLLIN, 0};

    return poll(&fd, 1, timeout_ms) > 0;
}

/* Each problem is logged once, and its end. */
static void log_problem(struct share *share, const struct err *err)
{
    if (strcmp(share->status.problem, err->text) != 0)
        log_warn("the shared history is behind: %s", err->text);
}

static bool needs_mending(int rc)
{
    return rc == -EACCES || rc == -EROFS || rc == -ENOTSUP || rc == -EPROTO || rc == -ENOSPC ||
           rc == -ENODATA;
}

/* Tells of the failure, and waits before the next try; true: it shall stop. */
static bool fail(struct share *share, int rc, const struct err *err)
{
    int pause_ms = share->pause_ms;

    remote_disconnect(&share->remote);
    if (rc == -ECANCELED)
        return true;
    if (rc != -EAGAIN)
        log_problem(share, err);
    tell(share, share->pull || n_waiting(share) > 0, rc == -EAGAIN ? "" : err->text);
    share->pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
    return is_stopped_within(share, needs_mending(rc) ? PAUSE_MENDING_MS : pause_ms);
}

static int connect_and_begin(struct share *share, struct err *err)
{
    int rc = remote_connect(&share->remote, share->url, err);

    if (rc == 0)
        rc = share->push ? push_begin(share->push, &share->remote, err)
                         : pull_begin(share->pull, &share->remote, err);
    if (rc == 0)
        log_info("the shared history is on %s", share->remote.server);
    if (share->ask)
        ask_note_away(share->ask, rc < 0);
    if (rc == 0 && share->push && *push_remark(share->push))
        remark(share, push_remark(share->push));
    return rc;
}

/* `commits` were there before. */
static int step(struct share *share, uint64_t commits, struct err *err)
{
    int rc;

    if (share->pull)
        return pull_step(share->pull, &share->remote, err);
    rc = ask_answer(share->ask, &share->remote, err);
    if (rc == 0)
        rc = push_step(share->push, &share->remote, err);
    share->position = push_position(share->push);
    if (rc == 0)
        share->commits = commits;
    if (rc >= 0)
        share_tell_reached(share);
    return rc;
}

/* A reader asks the server each time; who writes looks whether the store has committed, or the loop
 * asks something. */
static int wait_for_more(const struct share *share, uint64_t commits)
{
    struct pollfd fds[] = {{share->stop_fd, POLLIN, 0},
                           {share->ask ? ask_fd(share->ask) : -1, POLLIN, 0}};

    do {
        poll(fds, 2, LOOK_MS);
        if (fds[0].revents)
            return -ECANCELED;
    } while (!share->pull && !fds[1].revents && commits == store_commits(share->config.store));
    return 0;
}

/* Copies until all is there, then whenever there is more. */
static int copy(struct share *share, struct err *err)
{
    for (;;) {
        uint64_t commits = store_commits(share->config.store);
        int rc = step(share, commits, err);

        if (rc < 0)
            return rc;
        share->pause_ms = PAUSE_MIN_MS;
        tell(share, rc > 0, "");
        rc = rc == 0 ? wait_for_more(share, commits) : is_stopped_within(share, 0) ? -ECANCELED : 0;
        if (rc < 0)
            return rc;
    }
}

static void *run(void *arg)
{
    struct share *share = arg;
    struct err err = {0};
    int rc;

    do {
        rc = connect_and_begin(share, &err);
        if (rc == 0)
            rc = copy(share, &err);
    } while (!fail(share, rc, &err));
    return NULL;
}

/* ---- merging --------------------------------------------------------------------------------- */

static void set_offer(struct share *share, enum offer offer)
{
    pthread_mutex_lock(&share->lock);
    share->offer = offer;
    pthread_mutex_unlock(&share->lock);
}

/* On the loop: the store has written it, or could not. */
static void on_merged(struct store_task *task)
{
    struct merge *merge = LIST_ENTRY(task, struct merge, task);
    struct share *share = merge->owner;
    uint64_t one = 1, feed_seq = merge->feed_seq;

    set_offer(share, OFFER_DONE); /* the thread goes on with the merge from here on */
    if (write(share->done_fd, &one, sizeof one) < 0)
        log_warn("the thread of the shared history was not told of a merge");
    share->config.on_merged(share->config.arg, feed_seq);
}

/* On the loop: lends what is offered. */
static void on_offer(uv_async_t *async)
{
    struct share *share = async->data;
    struct merge *merge = NULL;

    pthread_mutex_lock(&share->lock);
    if (share->offer == OFFER_MADE) {
        merge = share->merge;
        share->offer = OFFER_TAKEN;
    }
    pthread_mutex_unlock(&share->lock);
    if (merge && !share->config.lend(share->config.arg, &merge->task))
        set_offer(share, OFFER_MADE); /* the thread takes it back when it is told to stop */
}

/* Whether it could be taken back; the lane gives back what it has. */
static bool withdraw(struct share *share)
{
    bool is_ours;

    pthread_mutex_lock(&share->lock);
    is_ours = share->offer == OFFER_MADE;
    if (is_ours)
        share->offer = OFFER_NONE;
    pthread_mutex_unlock(&share->lock);
    return is_ours;
}

static void tell_left_out(struct share *share, const struct merge *merge)
{
    char text[sizeof share->status.remark];

    snprintf(text, sizeof text,
             "%" PRId64 " of its rows cannot be read and are left out; the first"
             " is %s",
             merge->n_left_out, merge->left_out);
    if (merge->n_left_out > 0)
        remark(share, text);
}

/* On the thread: has it merged, and waits until it is on disk. */
static int merge_into(void *arg, struct merge *merge, struct err *err)
{
    struct share *share = arg;
    struct pollfd fds[] = {{share->done_fd, POLLIN, 0}, {share->stop_fd, POLLIN, 0}};
    uint64_t n;

    merge->owner = share;
    merge->task.done = on_merged;
    pthread_mutex_lock(&share->lock);
    share->merge = merge;
    share->offer = OFFER_MADE;
    pthread_mutex_unlock(&share->lock);
    uv_async_send(&share->async);
    while (poll(fds, fds[1].fd < 0 ? 1 : 2, -1) < 0 || !fds[0].revents) {
        if (fds[1].revents && withdraw(share))
            return err_set(err, -ECANCELED, "richd is stopping");
        fds[1].fd = fds[1].revents ? -1 : fds[1].fd;
    }
    if (read(share->done_fd, &n, sizeof n) < 0)
        return err_set(err, -EPROTO, "a merge was not told");
    tell_left_out(share, merge);
    return merge->task.rc < 0 ? err_set(err, merge->task.rc, "%s", merge->task.why.text) : 0;
}

/* On the loop: who waits for the server hears how far it is. */
static void on_reached(uv_async_t *async)
{
    struct share *share = async->data;

    share->config.on_reached(share->config.arg, (uint64_t)share->position, share->commits);
}

void share_tell_reached(struct share *share)
{
    if (share->has_async)
        uv_async_send(&share->async);
}

/* ---- opening and closing --------------------------------------------------------------------- */

bool share_ask(struct share *share, struct share_question *question)
{
    return share->ask && ask_put(share->ask, question);
}

int share_check(const char *url, struct err *err)
{
    return remote_check(url, err);
}

int share_session(char out[33], struct err *err)
{
    uint64_t bits[2];

    if (getrandom(bits, sizeof bits, 0) != sizeof bits)
        return err_set(err, -EAGAIN, "no random numbers");
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
    return 0;
}

static int open_async(struct share *share, uv_async_cb on_turn, struct err *err)
{
    if (uv_async_init(share->config.loop, &share->async, on_turn) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    share->async.data = share;
    share->has_async = true;
    return 0;
}

static int open_writer(struct share *share, struct err *err)
{
    char session[33];
    int rc = share_session(session, err);

    if (rc == 0 && share->config.on_reached)
        rc = open_async(share, on_reached, err);

    if (rc == 0)
        rc = ask_open(share->config.loop, &share->ask, err);
    if (rc == 0)
        rc = push_new(share->path, session, &share->push, err);
    if (rc == 0)
        push_divide(share->push, share->config.n_partitions);
    return rc;
}

static int open_reader(struct share *share, struct err *err)
{
    int rc = open_async(share, on_offer, err);

    share->done_fd = eventfd(0, EFD_CLOEXEC);
    if (rc == 0 && share->done_fd < 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    return rc < 0 ? rc : pull_new(share->path, merge_into, share, &share->pull, err);
}

static int start(struct share *share, struct err *err)
{
    int rc;

    share->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!share->url || !share->path || share->stop_fd < 0)
        return err_set(err, -ENOMEM, "out of memory");
    rc = share->config.is_reader ? open_reader(share, err) : open_writer(share, err);
    if (rc < 0)
        return rc;
    share->remote.stop_fd = share->stop_fd;
    share->remote.writes = !share->config.is_reader;
    if (pthread_create(&share->thread, NULL, run, share) != 0)
        return err_set(err, -EAGAIN, "no thread for the shared history");
    share->has_thread = true;
    return 0;
}

int share_open(const struct share_config *config, struct share **out, struct err *err)
{
    struct share *share = calloc(1, sizeof *share);

    *out = share;
    if (!share)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&share->lock, NULL);
    share->config = *config;
    share->url = strdup(config->url);
    share->path = strdup(config->path);
    share->stop_fd = share->done_fd = -1;
    share->pause_ms = PAUSE_MIN_MS;
    return start(share, err);
}

/* A name server that is silent holds the thread: the process ends without it, and what it has then
 * is not freed. */
static void join(struct share *share)
{
    struct timespec limit;
    uint64_t one = 1;

    if (write(share->stop_fd, &one, sizeof one) < 0)
        log_warn("the thread of the shared history was not told to stop");
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += SHARE_STOP_S;
    share->is_left = pthread_timedjoin_np(share->thread, NULL, &limit) != 0;
    if (share->is_left)
        log_warn("the shared history's server is still looked for: that is left behind");
}

void share_stop(struct share *share)
{
    if (!share)
        return;
    if (share->has_thread)
        join(share);
    ask_stop(share->ask);
    if (share->has_async)
        uv_close((uv_handle_t *)&share->async, NULL);
    share->has_thread = share->has_async = false;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void share_close(struct share *share)
{
    if (!share || share->is_left)
        return;
    ask_free(share->ask);
    push_free(share->push);
    pull_free(share->pull);
    close_fd(share->stop_fd);
    close_fd(share->done_fd);
    pthread_mutex_destroy(&share->lock);
    free(share->url);
    free(share->path);
    free(share);
}
