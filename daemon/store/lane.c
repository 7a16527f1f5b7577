#include "daemon/store/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct store_lane {
    uv_loop_t *loop;
    struct store *store;
    store_lane_cb *on_stored;
    void *arg;
    uv_work_t request;
    bool busy;
    int rc; /* of the last commit, with its text */
    struct err why;
    struct list waiting;    /* put since the running commit began */
    struct list committing; /* the pool's while busy */
};

static void start_commit(struct store_lane *l);

static void on_commit(uv_work_t *request)
{
    struct store_lane *l = request->data;

    l->rc = store_apply(l->store, &l->committing, &l->why); /* and each record has its outcome */
}

/* No record is committed after records that failed: a later one of the same run would make the
 * store believe that it holds the earlier ones. So all records that wait fail too, and are tried
 * again in order. */
static void fail_waiting(struct store_lane *l)
{
    LIST_EACH(at, &l->waiting)
    {
        struct record *r = LIST_ENTRY(at, struct record, link);

        r->rc = l->rc;
        snprintf(r->error, sizeof r->error, "%.*s", (int)sizeof r->error - 1, l->why.text);
    }
    list_move(&l->waiting, &l->committing);
}

static void on_commit_done(uv_work_t *request, int status)
{
    struct store_lane *l = request->data;
    struct list done;

    (void)status;
    if (l->rc < 0)
        fail_waiting(l);
    list_init(&done);
    list_move(&l->committing, &done);
    l->busy = false;
    start_commit(l);
    LIST_EACH_SAFE(at, &done)
    {
        list_remove(at);
        l->on_stored(l->arg, LIST_ENTRY(at, struct record, link));
    }
}

static void start_commit(struct store_lane *l)
{
    if (l->busy || list_empty(&l->waiting))
        return;
    list_move(&l->waiting, &l->committing);
    l->busy = true;
    uv_queue_work(l->loop, &l->request, on_commit, on_commit_done);
}

int store_lane_open(uv_loop_t *loop, const char *path, store_lane_cb *on_stored, void *arg,
                    struct store_lane **out, struct err *e)
{
    struct store_lane *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return err_set(e, -ENOMEM, "out of memory");
    rc = store_open(path, &l->store, e);
    if (rc < 0) {
        free(l);
        return rc;
    }
    l->loop = loop;
    l->on_stored = on_stored;
    l->arg = arg;
    l->request.data = l;
    list_init(&l->waiting);
    list_init(&l->committing);
    *out = l;
    return 0;
}

void store_lane_close(struct store_lane *l)
{
    if (!l)
        return;
    assert(!l->busy && list_empty(&l->waiting));
    store_close(l->store);
    free(l);
}

void store_lane_put(struct store_lane *l, struct record *r)
{
    assert(l && r && list_empty(&r->link));
    list_append(&l->waiting, &r->link);
    start_commit(l);
}

const struct store *store_lane_store(const struct store_lane *l)
{
    return l->store;
}
