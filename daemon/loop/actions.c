#include <assert.h>
#include <stdlib.h>

#include "daemon/host/log.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"

/* Tested by tests/unit/daemon/loop/test_loop.c (jobs without memory), and by all of tests/e2e. */

/* Acknowledge, then show, then forget. */
static void complete(struct loop *l, peer_id peer, struct record *r)
{
    if (peer && l->exit_code == 0)
        ingest_send_record_ack(l->ingest, peer, r);
    feedhub_publish(l->hub, r);
    loop_report(l, r);
    log_debug("stored run=%s seq=%llu step=%lld points=%zu scalars=%zu", r->run,
              (unsigned long long)r->seq, (long long)r->step, r->n_points, r->n_scalars);
    record_free(r);
}

static void start_job(struct loop *l, struct job *job)
{
    l->n_lent++;
    if (work_start(l->work, job) == 0)
        return;
    l->n_lent--;
    monitor_drop_job(l->monitor, job, &l->actions);
    loop_fail(l, "out of memory");
}

static void do_action(struct loop *l, struct action *a)
{
    switch (a->type) {
    case ACT_WELCOME:
        log_info("run opened run=%s attempt=%u", a->welcome.run, a->welcome.attempt);
        ingest_send_welcome(l->ingest, a->peer, &a->welcome);
        break;
    case ACT_PROGRESS:
        ingest_send_progress(l->ingest, a->peer, a->granted);
        break;
    case ACT_ACK:
        ingest_send_ack(l->ingest, a->peer, a->seq);
        break;
    case ACT_COMPLETE:
        complete(l, a->peer, a->record);
        break;
    case ACT_NACK:
        ingest_send_nack(l->ingest, a->peer, a->nack);
        free(a->nack);
        break;
    case ACT_JOB:
        start_job(l, a->job);
        break;
    case ACT_STORE:
        l->n_lent++;
        store_lane_put(l->store, a->record);
        break;
    case ACT_FATAL:
        loop_fail(l, a->fatal.text);
        break;
    }
}

static bool is_loop_thread(const struct loop *l)
{
    uv_thread_t self = uv_thread_self();

    return uv_thread_equal(&self, &l->thread);
}

/* Nothing that an action calls steps again from below: jobs, commits and messages come back through
 * the loop. */
void loop_step(struct loop *l, const struct event *e)
{
    struct batch *b;

    assert(is_loop_thread(l) && !l->is_stepping);
    l->is_stepping = true;
    monitor_step(l->monitor, e, &l->actions);
    for (size_t i = 0; i < l->actions.n; i++)
        do_action(l, &l->actions.items[i]);
    l->actions.n = 0;
    while ((b = actions_next_released(&l->actions)))
        ingest_release(b);
    l->is_stepping = false;
    if (l->actions.out_of_memory)
        loop_fail(l, "out of memory");
    loop_move_on(l);
}

void loop_on_ingest(void *arg, const struct event *e)
{
    loop_step(arg, e);
}

/* A job or record that was lent; the pool and the disk are alive. */
static void came_home(struct loop *l)
{
    assert(l->n_lent > 0);
    l->n_lent--;
    l->quiet_ticks = 0;
}

void loop_on_job_done(void *arg, struct job *job)
{
    struct loop *l = arg;

    came_home(l);
    loop_step(l, &(struct event){.type = EV_JOB_DONE, .time = clock_wall_s(), .job = job});
}

void loop_on_stored(void *arg, struct record *r)
{
    struct loop *l = arg;

    if (r->rc < 0 && r->kind != RECORD_OPEN)
        log_warn_limited(&l->not_stored, "not stored run=%s seq=%llu: %s", r->run,
                         (unsigned long long)r->seq, r->error);
    came_home(l);
    loop_step(l, &(struct event){.type = EV_STORED, .time = clock_wall_s(), .record = r});
}
