#include <assert.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/host/elsewhere.h"
#include "daemon/host/log.h"
#include "daemon/loop/parts.h"

/* How the daemon ends:
 *
 *                                           settled, overdue,
 *                signal                     failed, signal            nothing lent
 *     RUNNING ------------> DRAINING -----------------------> CLOSING ------------> CLOSED
 *        '------------------------ failed ----------------------^
 *
 * DRAINING takes nothing new and finishes what was promised. CLOSING waits for what is lent, and
 * where that takes too long ends the process without it. CLOSED closes every handle, which ends the
 * loop. Tested by tests/e2e/service/test_sigterm_finishes_what_was_promised.py,
 * test_the_watchdog_sees_what_is_stuck.py and tests/unit/daemon/loop/test_loop.c. */

/* Most jobs take seconds, a commit milliseconds; the largest spectra take minutes, and a disk may
 * hang. Both together are less than the 30 s after which systemd kills. */
#define DRAIN_TICKS 10
#define CLOSE_TICKS 10

/* What is not named leaves the state as it is. */
static const enum loop_state moves[LOOP_N_STATES][STOP_N_EVENTS] = {
    [LOOP_RUNNING] = {[STOP_SIGNAL] = LOOP_DRAINING, [STOP_FAILED] = LOOP_CLOSING},
    [LOOP_DRAINING] = {[STOP_SIGNAL] = LOOP_CLOSING,
                       [STOP_SETTLED] = LOOP_CLOSING,
                       [STOP_OVERDUE] = LOOP_CLOSING,
                       [STOP_FAILED] = LOOP_CLOSING},
    [LOOP_CLOSING] = {[STOP_HOME] = LOOP_CLOSED},
};

static void on_part_closed(void *arg)
{
    (void)arg;
}

void loop_close_handles(struct loop *loop)
{
    if (loop->feed)
        feedsock_close(loop->feed, on_part_closed, loop);
    if (loop->ingest)
        ingest_close(loop->ingest, on_part_closed, loop);
    loop->feed = NULL;
    loop->ingest = NULL;
    http_close(loop->http);
    alert_close(loop->alert);
    spools_close(loop->spools);
    share_stop(loop->share);
    if (!loop->has_handles)
        return;
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->terminate, NULL);
    uv_close((uv_handle_t *)&loop->interrupt, NULL);
    uv_close((uv_handle_t *)&loop->hangup, NULL);
    loop->has_handles = false;
}

void loop_move(struct loop *loop, enum stop_event event)
{
    enum loop_state from = loop->state, to = moves[from][event];

    if (to <= from) /* RUNNING is 0, what the table does not name */
        return;
    loop->state = to;
    if (from == LOOP_RUNNING) {
        ingest_stop(loop->ingest);
        spools_close(loop->spools);
        store_lane_stop(loop->store);
    }
    if (to == LOOP_CLOSED)
        loop_close_handles(loop);
}

/* What is lent comes home first: the handles below it stay open until then. */
void loop_move_on(struct loop *loop)
{
    assert(!loop->is_stepping);
    if (loop->state == LOOP_DRAINING && monitor_is_settled(loop->monitor))
        loop_move(loop, STOP_SETTLED);
    if (loop->n_lent == 0)
        loop_move(loop, STOP_HOME);
}

void loop_fail(struct loop *loop, const char *why)
{
    if (loop->exit_code == 0)
        log_error("stopping: %s", why);
    loop->exit_code = EXIT_IO;
    loop_move(loop, STOP_FAILED);
}

void loop_remove_endpoints(const struct loop *loop)
{
    char elsewhere[ELSEWHERE_SIZE];

    elsewhere_name(elsewhere);
    if (loop->elsewhere_lock >= 0)
        endpoints_remove(elsewhere);
    endpoints_remove(loop->runtime_dir);
}

/* What is under way cannot be called back, and a disk that hangs would never let it go: as after
 * kill -9, the next start finds everything that was acknowledged. */
static void end_process(struct loop *loop, int number)
{
    log_warn("%zu jobs and commits are left behind", loop->n_lent);
    loop_remove_endpoints(loop);
    if (loop->exit_code != 0)
        _exit(loop->exit_code);
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number); /* process 1 of a container outlives its own signals */
}

void loop_stop_tick(struct loop *loop)
{
    if (loop->state == LOOP_CLOSING && ++loop->close_ticks >= CLOSE_TICKS)
        end_process(loop, SIGTERM);
    if (loop->state != LOOP_DRAINING || ++loop->drain_ticks < DRAIN_TICKS)
        return;
    log_warn("not everything was finished within %d s", DRAIN_TICKS);
    loop_move(loop, STOP_OVERDUE);
    loop_move_on(loop);
}

void loop_stop_now(struct loop *loop, int number)
{
    log_warn("%s again: stopping at once", strsignal(number));
    if (loop->n_lent > 0)
        end_process(loop, number);
    loop_move(loop, STOP_SIGNAL);
    loop_move_on(loop);
}
