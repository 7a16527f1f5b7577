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
    struct work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->loop = loop;
    work->on_done = on_done;
    work->arg = arg;
    list_init(&work->spare);
    return work;
}

void work_free(struct work *work)
{
    if (!work)
        return;
    assert(work->n_out == 0);
    LIST_EACH_SAFE(at, &work->spare)
    {
        free(LIST_ENTRY(at, struct share, link));
    }
    free(work);
}

static void on_share(uv_work_t *request)
{
    struct share *share = LIST_ENTRY(request, struct share, request);

    job_work(share->job, share->number);
}

static void on_share_done(uv_work_t *request, int status)
{
    struct share *share = LIST_ENTRY(request, struct share, request);
    struct work *work = share->work;
    struct job *job = share->job;

    assert(status == 0); /* shares are never cancelled */
    (void)status;
    list_append(&work->spare, &share->link);
    work->n_out--;
    if (--job->shares_left == 0)
        work->on_done(work->arg, job);
}

static struct share *take_share(struct work *work)
{
    struct list *first = list_first(&work->spare);

    if (!first)
        return calloc(1, sizeof(struct share));
    list_remove(first);
    return LIST_ENTRY(first, struct share, link);
}

/* All requests are allocated before the first one starts. */
int work_start(struct work *work, struct job *job)
{
    struct list shares;

    assert(job->n_shares > 0);
    list_init(&shares);
    for (size_t i = 0; i < job->n_shares; i++) {
        struct share *share = take_share(work);

        if (!share) {
            LIST_EACH_SAFE(at, &shares)
            {
                list_remove(at);
                list_append(&work->spare, at);
            }
            return -ENOMEM;
        }
        share->work = work;
        share->job = job;
        share->number = i;
        list_append(&shares, &share->link);
    }
    job->shares_left = job->n_shares;
    LIST_EACH_SAFE(at, &shares)
    {
        list_remove(at);
        work->n_out++;
        uv_queue_work(work->loop, &LIST_ENTRY(at, struct share, link)->request, on_share,
                      on_share_done);
    }
    return 0;
}
