#include <assert.h>
#include <stdlib.h>

#include "daemon/host/log.h"
#include "daemon/loop/parts.h"
#include "proto/base/clock.h"

/* Tested by tests/unit/daemon/loop/test_loop.c (jobs without memory), and by all of tests/e2e. */

/* Acknowledge, then show, then forget. */
static void complete(struct loop *loop, peer_id peer, struct record *record)
{
    bool is_held = loop_holds_acks(loop);

    if (loop->exit_code == 0 && !is_held)
        ingest_send_record_acks(loop->ingest, peer, record);
    feedhub_publish(loop->hub, record);
    loop_report(loop, record);
    log_debug("stored run=%s seq=%llu step=%lld points=%zu scalars=%zu", record->run,
              (unsigned long long)record->seq, (long long)record->step, record->n_points,
              record->n_scalars);
    if (is_held)
        loop_hold_record(loop, peer, record);
    else
        record_free(record);
}

static void start_job(struct loop *loop, struct job *job)
{
    loop->n_lent++;
    if (work_start(loop->work, job) == 0)
        return;
    loop->n_lent--;
    monitor_drop_job(loop->monitor, job, &loop->actions);
    loop_fail(loop, "out of memory");
}

static void log_opened(const struct welcome *welcome)
{
    if (welcome->world == 0)
        log_info("run opened run=%s attempt=%u", welcome->run, welcome->attempt);
    else
        log_info("run joined run=%s attempt=%u rank=%u world=%u", welcome->run, welcome->attempt,
                 welcome->rank, welcome->world);
}

static void do_action(struct loop *loop, struct action *action)
{
    switch (action->type) {
    case ACT_WELCOME:
        log_opened(&action->welcome);
        ingest_send_welcome(loop->ingest, action->peer, &action->welcome);
        break;
    case ACT_PROGRESS:
        ingest_send_progress(loop->ingest, action->peer, action->granted);
        break;
    case ACT_ACK:
        if (loop_holds_acks(loop))
            loop_hold_ack(loop, action->peer, action->seq);
        else
            ingest_send_ack(loop->ingest, action->peer, action->seq);
        break;
    case ACT_COMPLETE:
        complete(loop, action->peer, action->record);
        break;
    case ACT_NACK:
        ingest_send_nack(loop->ingest, action->peer, action->nack);
        free(action->nack);
        break;
    case ACT_JOB:
        start_job(loop, action->job);
        break;
    case ACT_STORE:
        loop->n_lent++;
        if (!loop_ask_history(loop, action->record))
            store_lane_put(loop->store, action->record);
        break;
    case ACT_FATAL:
        loop_fail(loop, action->fatal.text);
        break;
    }
}

static bool is_loop_thread(const struct loop *loop)
{
    uv_thread_t self = uv_thread_self();

    return uv_thread_equal(&self, &loop->thread);
}

/* Nothing that an action calls steps again from below: jobs, commits and messages come back through
 * the loop. */
void loop_step(struct loop *loop, const struct event *event)
{
    struct batch *batch;

    assert(is_loop_thread(loop) && !loop->is_stepping);
    loop->is_stepping = true;
    monitor_step(loop->monitor, event, &loop->actions);
    for (size_t i = 0; i < loop->actions.n; i++)
        do_action(loop, &loop->actions.items[i]);
    loop->actions.n = 0;
    while ((batch = actions_next_released(&loop->actions)))
        ingest_release(batch);
    loop->is_stepping = false;
    if (loop->actions.out_of_memory)
        loop_fail(loop, "out of memory");
    loop_move_on(loop);
}

void loop_on_ingest(void *arg, const struct event *event)
{
    loop_step(arg, event);
}

static void came_home(struct loop *loop)
{
    assert(loop->n_lent > 0);
    loop->n_lent--;
}

void loop_on_job_done(void *arg, struct job *job)
{
    struct loop *loop = arg;

    came_home(loop);
    loop_step(loop, &(struct event){.type = EV_JOB_DONE, .time = clock_wall_s(), .job = job});
}

/* A disk that is full, or a lock of another process, is told when it begins and when it ends. */
static void report_waiting(struct loop *loop)
{
    const char *why = store_lane_waits(loop->store);

    if (why && !loop->store_waits)
        log_warn("the store waits, and no checkpoint is acknowledged: %s", why);
    else if (!why && loop->store_waits)
        log_info("the store writes again");
    loop->store_waits = why;
}

void loop_try_store(struct loop *loop)
{
    report_waiting(loop);
    store_lane_try_again(loop->store);
    store_lane_sweep(loop->store);
}

void loop_on_stored(void *arg, struct record *record)
{
    struct loop *loop = arg;

    if (record->rc < 0 && record->kind != RECORD_OPEN)
        log_warn_limited(&loop->not_stored, "not stored run=%s seq=%llu: %s", record->run,
                         (unsigned long long)record->seq, record->error);
    report_waiting(loop);
    came_home(loop);
    loop_step(loop, &(struct event){.type = EV_STORED, .time = clock_wall_s(), .record = record});
}
