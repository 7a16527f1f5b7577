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

struct share {
    pthread_t thread;
    int stop_fd;
    char *url, *path;
    const struct store *store;
    struct remote remote;
    struct push *push;
    atomic_int_fast64_t position; /* of the feed: how far the history has come */
    int pause_ms;

    pthread_mutex_t lock; /* of what follows */
    struct share_status status;
};

/* ---- status ---------------------------------------------------------------------------------- */

void share_status(struct share *share, struct share_status *out)
{
    pthread_mutex_lock(&share->lock);
    *out = share->status;
    pthread_mutex_unlock(&share->lock);
    out->n_waiting = (int64_t)store_feed_seq(share->store) - share->position;
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
    share->position = push_position(share->push);
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
    return rc == -EACCES || rc == -EROFS || rc == -ENOTSUP || rc == -EPROTO || rc == -ENOSPC;
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
    tell(share, (int64_t)store_feed_seq(share->store) > push_position(share->push),
         rc == -EAGAIN ? "" : err->text);
    share->pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
    return is_stopped_within(share, needs_mending(rc) ? PAUSE_MENDING_MS : pause_ms);
}

static int connect_and_begin(struct share *share, struct err *err)
{
    int rc = remote_connect(&share->remote, share->url, err);

    if (rc == 0)
        rc = push_begin(share->push, &share->remote, err);
    if (rc == 0)
        log_info("the shared history is on %s", share->remote.server);
    return rc;
}

/* Copies until all is there, then whenever something was committed. */
static int copy(struct share *share, struct err *err)
{
    for (;;) {
        uint64_t commits = store_commits(share->store);
        int rc = push_step(share->push, &share->remote, err);

        if (rc < 0)
            return rc;
        share->pause_ms = PAUSE_MIN_MS;
        tell(share, rc > 0, "");
        if (rc > 0 && is_stopped_within(share, 0))
            return -ECANCELED;
        while (rc == 0 && commits == store_commits(share->store)) {
            if (is_stopped_within(share, LOOK_MS))
                return -ECANCELED;
        }
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

/* ---- opening and closing --------------------------------------------------------------------- */

int share_check(const char *url, struct err *err)
{
    return remote_check(url, err);
}

static void release(struct share *share)
{
    push_free(share->push);
    if (share->stop_fd >= 0)
        close(share->stop_fd);
    pthread_mutex_destroy(&share->lock);
    free(share->url);
    free(share->path);
    free(share);
}

static int start(struct share *share, struct err *err)
{
    char session[33];
    uint64_t bits[2];
    int rc;

    if (getrandom(bits, sizeof bits, 0) != sizeof bits)
        return err_set(err, -EAGAIN, "no random numbers");
    snprintf(session, sizeof session, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
    share->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!share->url || !share->path || share->stop_fd < 0)
        return err_set(err, -ENOMEM, "out of memory");
    rc = push_new(share->path, session, &share->push, err);
    if (rc < 0)
        return rc;
    share->remote.stop_fd = share->stop_fd;
    if (pthread_create(&share->thread, NULL, run, share) != 0)
        return err_set(err, -EAGAIN, "no thread for the shared history");
    return 0;
}

int share_open(const char *url, const char *path, const struct store *store, struct share **out,
               struct err *err)
{
    struct share *share = calloc(1, sizeof *share);
    int rc;

    *out = NULL;
    if (!share)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&share->lock, NULL);
    share->url = strdup(url);
    share->path = strdup(path);
    share->store = store;
    share->stop_fd = -1;
    share->pause_ms = PAUSE_MIN_MS;
    rc = start(share, err);
    if (rc < 0) {
        release(share);
        return rc;
    }
    *out = share;
    return 0;
}

/* A name server that is silent holds the thread; the process ends without it, and what it has then
 * is not freed. */
void share_close(struct share *share)
{
    struct timespec limit;
    uint64_t one = 1;

    if (!share)
        return;
    if (write(share->stop_fd, &one, sizeof one) < 0)
        log_warn("the thread of the shared history was not told to stop");
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += SHARE_CLOSE_S;
    if (pthread_timedjoin_np(share->thread, NULL, &limit) != 0) {
        log_warn("the shared history's server is still looked for: it is left behind");
        return;
    }
    release(share);
}
