#include "daemon/loop/work.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/host/pulse.h"

struct line {
    struct list waiting; /* of share */
    struct list out;     /* with the pool */
    size_t n_out;
    size_t n_threads;
};

struct share {
    uv_work_t request;
    struct list link; /* in a line, or among the spare ones */
    struct work *work;
    struct line *line;
    struct job *job;
    size_t number;
    struct pulse pulse;
};

struct work {
    uv_loop_t *loop;
    work_done_cb *on_done;
    void *arg;
    struct list spare; /* requests are kept: the hot path allocates nothing */
    struct line quick, slow;
};

/* So that quick jobs have half of the cores at least, where there are two. */
static size_t n_slow(size_t n_cpus)
{
    return n_cpus > 1 ? n_cpus / 2 : 1;
}

size_t work_n_threads(size_t n_cpus)
{
    return n_cpus + n_slow(n_cpus);
}

static void init_line(struct line *line, size_t n_threads)
{
    list_init(&line->waiting);
    list_init(&line->out);
    line->n_threads = n_threads;
}

struct work *work_new(uv_loop_t *loop, size_t n_cpus, work_done_cb *on_done, void *arg)
{
    struct work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->loop = loop;
    work->on_done = on_done;
    work->arg = arg;
    list_init(&work->spare);
    init_line(&work->quick, n_cpus);
    init_line(&work->slow, n_slow(n_cpus));
    return work;
}

static bool is_idle(const struct line *line)
{
    return line->n_out == 0 && list_empty(&line->waiting);
}

void work_free(struct work *work)
{
    if (!work)
        return;
    assert(is_idle(&work->quick) && is_idle(&work->slow));
    LIST_EACH_SAFE(at, &work->spare)
    {
        free(LIST_ENTRY(at, struct share, link));
    }
    free(work);
}

static void on_share(uv_work_t *request)
{
    struct share *share = LIST_ENTRY(request, struct share, request);

    pulse_begin(&share->pulse);
    job_work(share->job, share->number);
}

static void start_shares(struct work *, struct line *);

static void on_share_done(uv_work_t *request, int status)
{
    struct share *share = LIST_ENTRY(request, struct share, request);
    struct work *work = share->work;
    struct job *job = share->job;

    assert(status == 0); /* shares are never cancelled */
    (void)status;
    list_remove(&share->link);
    list_append(&work->spare, &share->link);
    share->line->n_out--;
    start_shares(work, share->line);
    if (--job->shares_left == 0)
        work->on_done(work->arg, job);
}

static void start_shares(struct work *work, struct line *line)
{
    while (line->n_out < line->n_threads && !list_empty(&line->waiting)) {
        struct share *share = LIST_ENTRY(list_first(&line->waiting), struct share, link);

        list_remove(&share->link);
        list_append(&line->out, &share->link);
        line->n_out++;
        pulse_start(&share->pulse, job_cpu_s_max(share->job));
        uv_queue_work(work->loop, &share->request, on_share, on_share_done);
    }
}

static struct share *take_share(struct work *work)
{
    struct list *first = list_first(&work->spare);

    if (!first)
        return calloc(1, sizeof(struct share));
    list_remove(first);
    return LIST_ENTRY(first, struct share, link);
}

/* As many as find a thread at once, one at least: the others would begin when the first one has
 * done their work, and keep other jobs waiting. */
static size_t n_shares(const struct line *line, const struct job *job)
{
    size_t free = list_empty(&line->waiting) ? line->n_threads - line->n_out : 0;

    if (free < 1)
        free = 1;
    return job->n_shares < free ? job->n_shares : free;
}

/* All requests are allocated before the first one starts. */
int work_start(struct work *work, struct job *job)
{
    struct line *line = job_is_long(job) ? &work->slow : &work->quick;
    size_t n = n_shares(line, job);
    struct list shares;

    assert(n > 0);
    list_init(&shares);
    for (size_t i = 0; i < n; i++) {
        struct share *share = take_share(work);

        if (!share) {
            list_move(&shares, &work->spare);
            return -ENOMEM;
        }
        share->work = work;
        share->line = line;
        share->job = job;
        share->number = i;
        list_append(&shares, &share->link);
    }
    job->shares_left = n;
    list_move(&shares, &line->waiting);
    start_shares(work, line);
    return 0;
}

static const struct job *find_stuck(struct line *line, unsigned still_max)
{
    const struct job *found = NULL;

    LIST_EACH(at, &line->out)
    {
        struct share *share = LIST_ENTRY(at, struct share, link);

        if (pulse_is_stuck(&share->pulse, still_max))
            found = share->job;
    }
    return found;
}

/* Both lines are looked at, each tick. */
const struct job *work_find_stuck(struct work *work, unsigned still_max)
{
    const struct job *quick = find_stuck(&work->quick, still_max);
    const struct job *slow = find_stuck(&work->slow, still_max);

    return quick ? quick : slow;
}
