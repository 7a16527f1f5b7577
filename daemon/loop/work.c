#include "daemon/loop/work.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct share {
    uv_work_t request;
    struct list link; /* among the spare ones */
    struct work *work;
    struct job *job;
    size_t number;
};

struct work {
    uv_loop_t *loop;
    work_done_cb *on_done;
    void *arg;
    struct list spare; /* requests are kept: the hot path allocates nothing */
    size_t n_out;
};

struct work *work_new(uv_loop_t *loop, work_done_cb *on_done, void *arg)
{
    struct work *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->loop = loop;
    w->on_done = on_done;
    w->arg = arg;
    list_init(&w->spare);
    return w;
}

void work_free(struct work *w)
{
    if (!w)
        return;
    assert(w->n_out == 0);
    LIST_EACH_SAFE(at, &w->spare)
    {
        free(LIST_ENTRY(at, struct share, link));
    }
    free(w);
}

static void on_share(uv_work_t *request)
{
    struct share *s = LIST_ENTRY(request, struct share, request);

    job_work(s->job, s->number);
}

static void on_share_done(uv_work_t *request, int status)
{
    struct share *s = LIST_ENTRY(request, struct share, request);
    struct work *w = s->work;
    struct job *job = s->job;

    assert(status == 0); /* shares are never cancelled */
    (void)status;
    list_append(&w->spare, &s->link);
    w->n_out--;
    if (--job->shares_left == 0)
        w->on_done(w->arg, job);
}

static struct share *take_share(struct work *w)
{
    struct list *first = list_first(&w->spare);

    if (!first)
        return calloc(1, sizeof(struct share));
    list_remove(first);
    return LIST_ENTRY(first, struct share, link);
}

/* All requests are allocated before the first one starts. */
int work_start(struct work *w, struct job *job)
{
    struct list shares;

    assert(job->n_shares > 0);
    list_init(&shares);
    for (size_t i = 0; i < job->n_shares; i++) {
        struct share *s = take_share(w);

        if (!s) {
            LIST_EACH_SAFE(at, &shares)
            {
                list_remove(at);
                list_append(&w->spare, at);
            }
            return -ENOMEM;
        }
        s->work = w;
        s->job = job;
        s->number = i;
        list_append(&shares, &s->link);
    }
    job->shares_left = job->n_shares;
    LIST_EACH_SAFE(at, &shares)
    {
        list_remove(at);
        w->n_out++;
        uv_queue_work(w->loop, &LIST_ENTRY(at, struct share, link)->request, on_share,
                      on_share_done);
    }
    return 0;
}
