#include "daemon/core/monitor/parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A new connection gets this share of what is left: a sweep of eighty runs finds room in 3 GiB, and
 * a single run is not held back. */
#define CREDIT_SHARE 16

/* No run is opened on this connection now; on a later one it may be. */
static void refuse_for_now(struct actions *out, peer_id peer, const char *text)
{
    struct nack *nack = actions_add_nack(out, peer, NACK_EBUSY);

    if (!nack)
        return;
    nack->fatal = true;
    err_set(&nack->why, 0, "%s", text);
}

static uint64_t credit_for_one_more(const struct monitor *monitor)
{
    uint64_t left = monitor->config.budget_bytes - monitor->credit_granted;

    if (left < MONITOR_CREDIT_MIN)
        return 0;
    if (left / CREDIT_SHARE > MONITOR_CREDIT_MAX)
        return MONITOR_CREDIT_MAX;
    return left / CREDIT_SHARE > MONITOR_CREDIT_MIN ? left / CREDIT_SHARE : MONITOR_CREDIT_MIN;
}

static void welcome(const struct run *run, struct actions *out)
{
    struct action *action = actions_add(out, ACT_WELCOME, run->peer);

    if (!action)
        return;
    snprintf(action->welcome.run, sizeof action->welcome.run, "%s", run->id);
    action->welcome.attempt = run->attempt;
    action->welcome.granted = run->granted;
    action->welcome.last_seq = run->durable_seq;
    action->welcome.has_last_step = run->has_last_step;
    action->welcome.last_step = run->last_step;
}

/* The same writer came back, on a new connection, to an attempt that is still here. */
static void reconnect(struct monitor *monitor, struct run *run, peer_id peer, struct actions *out)
{
    monitor_bind_peer(monitor, run, peer);
    run_start_credit(run, run_held_bytes(run));
    if (run->state != RUN_OPENING)
        welcome(run, out);
}

/* Whether a run that leaves takes its trainer back: one that closed hears of it on the new
 * connection; one that was lost is open again, unless the loss is on its way to the disk. */
static bool take_back(struct run *run)
{
    struct entry *last = NULL;

    if (!list_empty(&run->journal))
        last = LIST_ENTRY(run->journal.prev, struct entry, link);
    if (!last || (last->record->kind == RECORD_LOST && last->lent))
        return false;
    if (last->record->kind == RECORD_LOST) {
        record_free(last->record);
        run_drop_entry(run, last);
        run->state = RUN_OPEN;
    }
    return true;
}

/* Whether the open comes from the writer of a run that is here. While it is still being opened
 * nobody knows its attempt. */
static bool is_reconnection(struct run *known, const struct record *open)
{
    if (!known || strcmp(known->writer, open->open.writer) != 0)
        return false;
    if (known->state == RUN_OPENING)
        return true;
    if (open->open.attempt != 0 && open->open.attempt != known->attempt)
        return false;
    return known->state == RUN_OPEN || take_back(known);
}

static void start_opening(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct record *record = event->open.record;
    uint64_t credit = credit_for_one_more(monitor);
    struct run *run = credit ? run_new(record, event->open.window, event->peer) : NULL;
    struct action *action = run ? actions_add(out, ACT_STORE, event->peer) : NULL;

    if (!action) {
        refuse_for_now(out, event->peer, "the daemon has no memory left to grant to another run");
        if (run)
            run_free(run);
        record_free(record);
        return;
    }
    run->credit_bytes = credit;
    run->spectrum = event->open.spectrum;
    run->has_probe = event->open.probe;
    run->projector = event->open.projector;
    if (run->has_probe) /* at least 1: with 0 they would not be wanted */
        record->open.probe_bytes = fmax(monitor->config.state_bytes - monitor->state_bytes, 1);
    monitor->credit_granted += credit;
    run_start_credit(run, 0);
    list_append(&monitor->runs, &run->link);
    monitor_bind_peer(monitor, run, event->peer);
    run->n_lent++;
    record->owner = run;
    record->time = event->time;
    action->record = record;
}

void monitor_on_open(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct record *record = event->open.record;
    struct run *known = monitor_run_of_id(monitor, record->run, record->open.writer);
    struct run *mine = monitor_run_of_peer(monitor, event->peer);
    bool same_writer = known && strcmp(known->writer, record->open.writer) == 0;

    if (monitor->draining) {
        refuse_for_now(out, event->peer, "the daemon is stopping");
    } else if (mine && !(mine == known && same_writer)) {
        monitor_refuse(out, event->peer, NACK_EPROTO, "this connection has opened a run already");
    } else if (is_reconnection(known, record)) {
        reconnect(monitor, known, event->peer, out);
    } else if (known && known->state == RUN_OPEN && record->open.attempt == known->attempt) {
        struct nack *nack = actions_add_nack(out, event->peer, NACK_EHELD);

        if (nack)
            err_set(&nack->why, 0, "attempt %" PRIu32 " of run %s is held by writer %s",
                    known->attempt, known->id, known->writer);
    } else {
        start_opening(monitor, event, out);
        return;
    }
    record_free(record);
}

static enum nack_code open_refusal(int rc)
{
    switch (rc) {
    case -EEXIST:
        return NACK_EEXIST;
    case -ENOENT:
        return NACK_ENOENT;
    case -EBUSY:
        return NACK_EHELD;
    case -ESTALE:
        return NACK_EFENCED;
    default:
        return NACK_EIO;
    }
}

static void fence_others(struct monitor *monitor, const struct run *winner, struct actions *out)
{
    LIST_EACH_SAFE(at, &monitor->runs)
    {
        struct run *run = LIST_ENTRY(at, struct run, link);

        if (run != winner && run->state != RUN_OVER && run->state != RUN_OPENING &&
            strcmp(run->id, winner->id) == 0) {
            if (run->peer == winner->peer)
                monitor_bind_peer(monitor, run,
                                  0); /* its own trainer, which opened once more: not to be told */
            monitor_fence(monitor, run, out);
        }
    }
}

/* Charges the budget for the probes that the store gave back. Returns 0, or -ENOMEM when others
 * have used it up meanwhile. */
static int count_probes(struct monitor *monitor, struct run *run)
{
    LIST_EACH(at, &run->layers)
    {
        struct layer *layer = LIST_ENTRY(at, struct layer, link);

        if (layer->probe.n == 0)
            continue;
        layer->counted_bytes = (double)probe_size_bytes(layer->probe.n);
        monitor->state_bytes += layer->counted_bytes;
    }
    return monitor->state_bytes <= monitor->config.state_bytes ? 0 : -ENOMEM;
}

void monitor_on_open_stored(struct monitor *monitor, struct run *run, struct record *record,
                            struct actions *out)
{
    int rc = record->rc;

    run->n_lent--;
    if (rc == 0 && run->state == RUN_OPENING)
        rc = run_opened(run, &record->opened);
    if (rc == 0 && run->has_probe)
        rc = count_probes(monitor, run);
    if (rc == 0 && run->state == RUN_OPEN) {
        fence_others(monitor, run, out);
        welcome(run, out);
    } else {
        if (rc == -ENOMEM && run->peer)
            refuse_for_now(out, run->peer,
                           record->error[0] ? record->error : "the daemon is out of memory");
        else if (rc < 0 && run->peer)
            monitor_refuse(out, run->peer, open_refusal(rc), record->error);
        run->state = RUN_OVER;
        if (rc == -EIO)
            monitor_fail_store(out, record->error);
        monitor_sweep(monitor, run, out);
    }
    record_free(record);
}
