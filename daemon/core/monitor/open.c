#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* No run is opened on this connection now; on a later one it may be. */
static void refuse_for_now(struct actions *out, peer_id peer, const char *text)
{
    struct nack nack;

    nack_set(&nack, NACK_EBUSY, "%s", text);
    nack.fatal = true;
    actions_refuse(out, peer, &nack);
}

void monitor_welcome(const struct member *member, struct actions *out)
{
    const struct run *run = member->run;
    struct action *action = actions_add(out, ACT_WELCOME, member->peer);

    if (!action)
        return;
    snprintf(action->welcome.run, sizeof action->welcome.run, "%s", run->id);
    action->welcome.attempt = run->attempt;
    action->welcome.granted = member->granted;
    action->welcome.last_seq = member->durable_seq;
    action->welcome.has_last_step = run->has_last_step;
    action->welcome.last_step = run->last_step;
    action->welcome.rank = member->rank;
    action->welcome.world = run->world;
}

/* The same writer came back, on a new connection, to an attempt that is still here. */
void monitor_reconnect(struct monitor *monitor, struct member *member, peer_id peer,
                       struct actions *out)
{
    monitor_bind_peer(monitor, member, peer);
    monitor_claim_credit(monitor, member);
    member_start_credit(member);
    if (member->run->state != RUN_OPENING && !member->takes_over)
        monitor_welcome(member, out);
}

/* NULL: it is on disk. Spectra of earlier points may stand behind it. */
static struct journal_entry *find_loss(struct run *run)
{
    LIST_EACH(at, &run->journal)
    {
        struct journal_entry *entry = LIST_ENTRY(at, struct journal_entry, link);

        if (entry->record->kind == RECORD_LOST)
            return entry;
    }
    return NULL;
}

/* Whether a run that leaves takes its trainer back: one that closed hears of it on the new
 * connection; one that was lost is open again, unless the loss is on disk or on its way there. */
static bool take_back(struct run *run)
{
    bool was_lost = run_opener(run)->silent_ticks >= MONITOR_LOST_TICKS;
    struct journal_entry *loss;

    if (!was_lost)
        return !list_empty(&run->journal);
    loss = find_loss(run);
    if (!loss || loss->lent)
        return false;
    record_free(loss->record);
    run_remove_entry(run, loss);
    run_move(run, RUN_OPEN);
    return true;
}

/* Whether the open comes from the writer of a run that is here. While it is still being opened
 * nobody knows its attempt. */
static bool is_reconnection(struct run *known, const struct record *open)
{
    if (!known || known->launch || strcmp(run_opener(known)->writer, open->open.writer) != 0)
        return false;
    if (known->state == RUN_OPENING)
        return true;
    if (open->open.attempt != 0 && open->open.attempt != known->attempt)
        return false;
    return known->state == RUN_OPEN || take_back(known);
}

/* Whether the measure may be left out of a point that has no spectrum. */
static bool may_need_spectrum(enum metric metric)
{
    enum metric_needs needs = metric_table[metric].needs;

    return metric > METRIC_PR && needs != NEEDS_PROBE && needs != NEEDS_TRAINER;
}

/* Where one that is watched for transitions may be, the point waits for its spectrum. */
static uint32_t follows_p(const struct monitor *monitor, const struct watch_list *watched)
{
    for (size_t i = 0; i < watched->n; i++) {
        if (may_need_spectrum(watched->metrics[i]))
            return UINT32_MAX;
    }
    return monitor->config.spectrum_follows_p ? monitor->config.spectrum_follows_p : UINT32_MAX;
}

static void start_opening(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct record *record = event->open.record;
    struct run *run = run_new(record, event->open.window, event->peer);
    struct action *action = run ? actions_add(out, ACT_STORE, event->peer) : NULL;

    if (!action) {
        refuse_for_now(out, event->peer, "the daemon is out of memory");
        if (run)
            run_free(run);
        record_free(record);
        return;
    }
    run_opener(run)->was_welcomed = record->open.attempt != 0;
    run->spectrum = event->open.spectrum;
    run->has_probe = event->open.probe;
    run->follows_p = follows_p(monitor, &run->watched);
    run->projector = event->open.projector;
    if (run->has_probe) /* at least 1: with 0 they would not be wanted */
        record->open.probe_bytes = fmax(monitor->config.state_bytes - monitor->state_bytes, 1);
    monitor_claim_credit(monitor, run_opener(run));
    member_start_credit(run_opener(run));
    list_append(&monitor->runs, &run->link);
    monitor_bind_peer(monitor, run_opener(run), event->peer);
    run->n_lent++;
    record->opening = run;
    record->time = record->open.began > 0 ? fmin(record->open.began, event->time) : event->time;
    action->record = record;
}

/* Whether a run may be opened on this connection by this writer, now. */
static int check_open(const struct monitor *monitor, const struct run *known, peer_id peer,
                      const struct record *open, struct nack *nack)
{
    const struct member *mine = monitor_member_of_peer(monitor, peer);
    const char *writer = known ? run_opener(known)->writer : NULL;
    bool same_writer = known && !known->launch && strcmp(writer, open->open.writer) == 0;

    if (monitor->draining) {
        nack_set(nack, NACK_EBUSY, "the daemon is stopping");
        nack->fatal = true;
        return -1;
    }
    if (known && !record_projects_have(open->open.projects, known->project ? known->project : ""))
        return nack_set(nack, NACK_EACCES, "run %s is in a project that the key may not write into",
                        known->id);
    if (monitor->config.refuses) {
        nack_set(nack, NACK_EBUSY, "%s", monitor->config.refuses);
        nack->fatal = true;
        return -1;
    }
    if (known && open->open.launch)
        return 0; /* it joins, or is refused by join.c */
    if (mine && !(mine->run == known && same_writer))
        return nack_set(nack, NACK_EPROTO, "this connection has opened a run already");
    if (known && !same_writer && known->state == RUN_OPEN && open->open.attempt == known->attempt)
        return nack_set(nack, NACK_EHELD, "attempt %" PRIu32 " of run %s is held by writer %s",
                        known->attempt, known->id, writer);
    return 0;
}

void monitor_on_open(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct record *record = event->open.record;
    const char *launch = record->open.launch, *writer = record->open.writer;
    struct run *known = launch ? monitor_run_of_launch(monitor, record->run, launch, writer)
                               : monitor_run_of_id(monitor, record->run, writer);
    struct nack nack;

    if (check_open(monitor, known, event->peer, record, &nack) < 0) {
        actions_refuse(out, event->peer, &nack);
    } else if (known && launch) {
        monitor_join(monitor, known, event, out);
    } else if (is_reconnection(known, record)) {
        monitor_reconnect(monitor, run_opener(known), event->peer, out);
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
    case -EALREADY:
        return NACK_EBUSY;
    case -ESTALE:
        return NACK_EFENCED;
    case -EPROTO:
        return NACK_EPROTO;
    case -EIDRM:
        return NACK_EGONE;
    case -EACCES:
        return NACK_EACCES;
    default:
        return NACK_EIO;
    }
}

static void supersede_others(struct monitor *monitor, const struct run *winner, struct actions *out)
{
    LIST_EACH_SAFE(at, &monitor->runs)
    {
        struct run *run = LIST_ENTRY(at, struct run, link);

        if (run == winner || run->is_older || run->state == RUN_OVER || run->state == RUN_OPENING ||
            strcmp(run->id, winner->id) != 0)
            continue;
        if (run_opener(run)->peer == run_opener(winner)->peer) /* its own trainer opened once
                                                                  more: it need not hear */
            monitor_bind_peer(monitor, run_opener(run), 0);
        monitor_supersede(monitor, run, out);
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

/* The store wrote no attempt, or there is no memory for what it answered. What it refused is what
 * the first one said: further members say it themselves, on a new connection. */
static void end_opening(struct monitor *monitor, struct run *run, const struct record *record,
                        int rc, struct actions *out)
{
    struct nack nack;

    LIST_EACH(at, &run->members)
    {
        peer_id peer = LIST_ENTRY(at, struct member, link)->peer;

        bool is_of_first = peer != run_opener(run)->peer && open_refusal(rc) != NACK_EIO;

        if (rc == -ENOMEM || is_of_first) {
            refuse_for_now(out, peer,
                           record->error[0] ? record->error : "the daemon is out of memory");
            continue;
        }
        nack_set(&nack, open_refusal(rc), "%s", record->error);
        nack.fatal |= rc == -EPROTO;
        actions_refuse(out, peer, &nack);
    }
    run_move(run, RUN_OVER);
    if (rc == -EIO)
        actions_fail(out, record->error);
    monitor_free_if_done(monitor, run, out);
}

void monitor_on_open_stored(struct monitor *monitor, struct record *record, struct actions *out)
{
    struct run *run = record->opening;
    int rc = record->rc;

    assert(run->state == RUN_OPENING && run->n_lent == 1);
    run->n_lent--;
    if (rc == 0)
        rc = run_take_stored(run, &record->opened);
    if (rc == 0 && run->has_probe)
        rc = count_probes(monitor, run);
    if (rc == 0) {
        if (!run->is_older)
            supersede_others(monitor, run, out);
        monitor_welcome_members(monitor, run, record->time, out);
    } else {
        end_opening(monitor, run, record, rc, out);
    }
    record_free(record);
}
