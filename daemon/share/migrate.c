#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "daemon/share/compare.h"
#include "daemon/share/pull.h"
#include "daemon/share/push.h"
#include "daemon/share/remote.h"
#include "daemon/share/share.h"
#include "daemon/store/store.h"

/* A daemon's copying, to its end and in the foreground: the same batches, by the same code, in an
 * order that can be broken off and gone on with. Tested by test_a_history_moves.py. */

/* A server that went away in between is tried again so often, and so long after; then it is told.
 */
#define TRIES_MAX 10
#define PAUSE_S   1

struct migrate {
    const struct share_migration *what;
    struct remote remote;
    struct store *store;
    struct push *push; /* of the way out */
    struct pull *pull; /* of the way in */
    double n_there;    /* places in the feed, of the way in */
};

/* The calling thread is the only one that has the store. */
static int merge_here(void *arg, struct merge *merge, struct err *err)
{
    struct migrate *migrate = arg;

    return merge->task.work(migrate->store, &merge->task, err);
}

/* By the places in the feed, there and here. */
static double part_done(const struct migrate *migrate)
{
    double stored = (double)store_feed_seq(migrate->store);
    double part = migrate->pull ? stored / migrate->n_there
                                : (double)push_position(migrate->push) / (1 + stored);

    return part < 1 ? part : 1;
}

/* What all daemons together have counted. */
static int count_there(struct migrate *migrate, struct err *err)
{
    PGresult *rows;
    int rc = remote_query(&migrate->remote,
                          "SELECT coalesce(sum(feed_seq), 0)::bigint FROM richd.source", NULL,
                          &rows, err);

    if (rc == 0)
        migrate->n_there = 1 + (double)remote_integer(rows, 0, 0);
    PQclear(rows);
    return rc;
}

static int begin(struct migrate *migrate, struct err *err)
{
    int rc = remote_connect(&migrate->remote, migrate->what->url, err);

    if (rc < 0)
        return rc;
    if (migrate->push)
        return push_begin(migrate->push, &migrate->remote, err);
    rc = pull_begin(migrate->pull, &migrate->remote, err);
    return rc == 0 ? count_there(migrate, err) : rc;
}

/* Counts up `*n_steps` with each batch. */
static int copy_on(struct migrate *migrate, int64_t *n_steps, struct err *err)
{
    int rc = begin(migrate, err);
    bool has_more = true;

    while (rc == 0 && has_more) {
        rc = migrate->push ? push_step(migrate->push, &migrate->remote, err)
                           : pull_step(migrate->pull, &migrate->remote, err);
        has_more = rc > 0;
        rc = rc > 0 ? 0 : rc;
        ++*n_steps;
        migrate->what->on_progress(migrate->what->arg, part_done(migrate), "copied");
    }
    return rc;
}

static void pause_a_while(void)
{
    struct timespec pause = {.tv_sec = PAUSE_S};

    nanosleep(&pause, NULL);
}

/* One that was never there is told at once. */
static int copy(struct migrate *migrate, struct err *err)
{
    int64_t n_steps = 0, n_before = -1;
    int rc = 0;

    for (int tries = 0; tries<TRIES_MAX; tries = n_steps> n_before ? 0 : tries + 1) {
        n_before = n_steps;
        rc = copy_on(migrate, &n_steps, err);
        if (rc == 0 || n_steps == 0 || (rc != -EAGAIN && rc != -ECONNREFUSED))
            return rc;
        remote_disconnect(&migrate->remote);
        if (rc != -EAGAIN)
            pause_a_while();
    }
    return rc;
}

static int open_way(struct migrate *migrate, struct err *err)
{
    const struct share_migration *what = migrate->what;
    char session[33];
    int rc = 0;

    if (what->way == SHARE_OUT && access(what->path, F_OK) < 0)
        return err_set(err, -ENOENT, "%s: no history is there", what->path);
    rc = store_open(what->path, &migrate->store, err);
    if (rc < 0)
        return rc;
    if (what->way == SHARE_IN)
        return pull_new(what->path, merge_here, migrate, &migrate->pull, err);
    rc = share_session(session, err);
    return rc == 0 ? push_new(what->path, session, &migrate->push, err) : rc;
}

static int copy_all(const struct share_migration *what, struct err *err)
{
    struct migrate migrate = {.what = what};
    int rc;

    migrate.remote = (struct remote){.stop_fd = -1, .writes = what->way == SHARE_OUT};
    rc = open_way(&migrate, err);
    if (rc == 0)
        rc = copy(&migrate, err);
    remote_disconnect(&migrate.remote);
    push_free(migrate.push);
    pull_free(migrate.pull);
    store_close(migrate.store);
    return rc;
}

static int compare_both(const struct share_migration *what, struct err *err)
{
    struct remote remote = {.stop_fd = -1};
    int64_t n_different = 0;
    int rc = remote_connect(&remote, what->url, err);

    if (rc == 0)
        rc = compare_histories(what->path, &remote, what, &n_different, err);
    remote_disconnect(&remote);
    return rc == 0 && n_different > 0 ? err_set(err, -EBADE, "the two histories differ") : rc;
}

int share_migrate(const struct share_migration *what, struct err *err)
{
    int rc = what->only_compares ? 0 : copy_all(what, err);

    return rc == 0 ? compare_both(what, err) : rc;
}
