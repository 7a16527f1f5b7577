#include <errno.h>

#include "daemon/core/monitor/run.h"
#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "daemon/loop/parts.h"

/* What systemd's watchdog hears: that the loop ticks, and that what it has lent to jobs and to the
 * store moves. A machine that is slow or busy is heard all the same (pulse.h). Tested by
 * tests/e2e/service/test_the_watchdog_sees_what_is_stuck.py. */

/* Without a watchdog, for the log alone. */
#define STILL_TICKS 10
/* What was lent just before a tick has not moved by then. */
#define STILL_TICKS_MIN 2
/* A disk that others fill, as trainings do with their own checkpoints, keeps a commit for half a
 * minute. The daemon that is ended for that waits for the same disk, without the rows it had. */
#define DISK_PATIENCE 6

/* Half of the watchdog's time: when it ends the daemon, that was silent for all of it, and what was
 * lent had stood still for the half before. */
void loop_init_watchdog(struct loop *loop)
{
    uint64_t limit_us = notify_watchdog_us();

    loop->still_ticks = STILL_TICKS;
    if (limit_us > 0)
        loop->still_ticks = (unsigned)(limit_us / (UINT64_C(2000) * TICK_MS));
    if (loop->still_ticks < STILL_TICKS_MIN)
        loop->still_ticks = STILL_TICKS_MIN;
}

static void say_stuck(struct loop *loop, const struct job *job, bool store)
{
    bool is_stuck = job || store;

    if (is_stuck == loop->is_stuck)
        return;
    loop->is_stuck = is_stuck;
    if (store)
        log_error("the store has not moved for %u s: the watchdog hears nothing more",
                  DISK_PATIENCE * loop->still_ticks);
    else if (job)
        log_error("a job does not move: the watchdog hears nothing more run=%s layer=%s",
                  job->layer->run->id, job->layer->name);
    else
        log_warn("what was stuck moves again");
}

/* A manager that waits for this and cannot take it now is told at a later tick. */
void loop_report_ready(struct loop *loop)
{
    if (!loop->is_ready_told)
        loop->is_ready_told = notify_send("READY=1") != -EAGAIN;
}

void loop_report_alive(struct loop *loop)
{
    const struct job *job = work_find_stuck(loop->work, loop->still_ticks);
    bool store = store_lane_is_stuck(loop->store, DISK_PATIENCE * loop->still_ticks);

    say_stuck(loop, job, store);
    if (!loop->is_stuck)
        notify_send("WATCHDOG=1");
    loop_report_ready(loop);
}
