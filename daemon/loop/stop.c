#include <assert.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/host/endpoints.h"
#include "daemon/host/log.h"
#include "daemon/loop/parts.h"

/* How the daemon ends:
 *
 *                                           settled, overdue,
 *                signal                     failed, signal            nothing lent
 *     RUNNING ------------> DRAINING -----------------------> CLOSING ------------> CLOSED
 *        '------------------------ failed ----------------------^
 *
 * DRAINING takes nothing new and finishes what was promised. CLOSING waits for what is lent.
 * CLOSED closes every handle, which ends the loop. Tested by
 * tests/e2e/service/test_sigterm_finishes_what_was_promised.py and
 * tests/unit/daemon/loop/test_loop.c. */

/* Jobs take seconds at most, a commit milliseconds; systemd waits 30 s before it kills. */
#define DRAIN_TICKS 10

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

void loop_close_handles(struct loop *l)
{
    if (l->feed)
        feedsock_close(l->feed, on_part_closed, l);
    if (l->ingest)
        ingest_close(l->ingest, on_part_closed, l);
    l->feed = NULL;
    l->ingest = NULL;
    http_close(l->http);
    alert_close(l->alert);
    if (!l->has_handles)
        return;
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_close((uv_handle_t *)&l->terminate, NULL);
    uv_close((uv_handle_t *)&l->interrupt, NULL);
    uv_close((uv_handle_t *)&l->hangup, NULL);
    l->has_handles = false;
}

void loop_move(struct loop *l, enum stop_event event)
{
    enum loop_state from = l->state, to = moves[from][event];

    if (to <= from) /* RUNNING is 0, what the table does not name */
        return;
    l->state = to;
    if (from == LOOP_RUNNING)
        ingest_stop(l->ingest);
    if (to == LOOP_CLOSED)
        loop_close_handles(l);
}

/* What is lent comes home first: the handles below it stay open until then. */
void loop_move_on(struct loop *l)
{
    assert(!l->is_stepping);
    if (l->state == LOOP_DRAINING && monitor_is_settled(l->monitor))
        loop_move(l, STOP_SETTLED);
    if (l->n_lent == 0)
        loop_move(l, STOP_HOME);
}

void loop_fail(struct loop *l, const char *why)
{
    if (l->exit_code == 0)
        log_error("stopping: %s", why);
    l->exit_code = EXIT_IO;
    loop_move(l, STOP_FAILED);
}

void loop_stop_tick(struct loop *l)
{
    if (l->state != LOOP_DRAINING || ++l->drain_ticks < DRAIN_TICKS)
        return;
    log_warn("not everything was finished within %d s", DRAIN_TICKS);
    loop_move(l, STOP_OVERDUE);
    loop_move_on(l);
}

/* What is under way cannot be called back, and a disk that hangs would never let it go: as after
 * kill -9, the next start finds everything that was acknowledged. */
static void end_process(struct loop *l, int number)
{
    log_warn("%zu jobs and commits are left behind", l->n_lent);
    endpoints_remove(l->runtime_dir);
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number); /* process 1 of a container outlives its own signals */
}

void loop_stop_now(struct loop *l, int number)
{
    log_warn("%s again: stopping at once", strsignal(number));
    if (l->n_lent > 0)
        end_process(l, number);
    loop_move(l, STOP_SIGNAL);
    loop_move_on(l);
}
