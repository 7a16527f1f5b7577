#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct monitor *monitor_new(const struct monitor_config *config)
{
    struct monitor *monitor = calloc(1, sizeof *monitor);

    if (!monitor)
        return NULL;
    monitor->config = *config;
    list_init(&monitor->runs);
    for (size_t i = 0; i < PEER_BUCKETS; i++)
        list_init(&monitor->peers[i]);
    return monitor;
}

void monitor_free(struct monitor *monitor, struct actions *out)
{
    if (!monitor)
        return;
    assert(monitor_is_quiet(monitor));
    LIST_EACH_SAFE(at, &monitor->runs)
    {
        monitor_free_run(monitor, LIST_ENTRY(at, struct run, link), out);
    }
    free(monitor);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* The trainer went without a word: what it was promised is finished, then the run is marked lost.
 * Without memory for that, the next tick tries again. */
static void declare_lost(struct monitor *monitor, struct member *member, double time,
                         struct actions *out)
{
    struct run *run = member->run;
    struct record *record = record_new(RECORD_LOST, run->id);
    struct journal_entry *entry;

    monitor_bind_peer(monitor, member, 0);
    member->silent_ticks = MONITOR_LOST_TICKS;
    entry = record ? run_new_entry(run, member, record, 0) : NULL;
    if (!entry) {
        record_free(record);
        return;
    }
    record->time = time;
    if (!run->launch) {
        run_move(run, RUN_LEAVING);
        monitor_take_entry(entry, out);
        return;
    }
    member->joined = false;
    monitor_leave(member, MEMBER_LOST);
    monitor_take_in_turn(monitor, entry, out);
}

static void tick_member(struct monitor *monitor, struct member *member, double time,
                        struct actions *out)
{
    const struct run *run = member->run;

    if (run->state == RUN_OPEN || run->state == RUN_LEAVING)
        monitor_tick_credit(monitor, member, out);
    if (run->state == RUN_OPEN && member->state == MEMBER_OPEN &&
        ++member->silent_ticks >= MONITOR_LOST_TICKS)
        declare_lost(monitor, member, time, out);
}

static void tick_run(struct monitor *monitor, struct run *run, double time, struct actions *out)
{
    run->store_waits = false;
    run->n_ticks++;
    if (run->state == RUN_OPEN || run->state == RUN_LEAVING) {
        LIST_EACH(at, &run->layers)
        {
            LIST_ENTRY(at, struct layer, link)->starved = false;
        }
        run_store_ready(run, out);
        monitor_flush(run, out);
    }
    LIST_EACH(at, &run->members)
    {
        tick_member(monitor, LIST_ENTRY(at, struct member, link), time, out);
    }
    monitor_cut_marks(monitor, run, out);
}

/* Ticks are counted, not read off a clock: after a daemon was stopped for a minute its peers are
 * not all called silent at once. */
static void on_tick(struct monitor *monitor, double time, struct actions *out)
{
    LIST_EACH_SAFE(at, &monitor->runs)
    {
        tick_run(monitor, LIST_ENTRY(at, struct run, link), time, out);
    }
}

/* Marks are measured without those that they wait for: what was not is lost with the daemon. */
static void drain(struct monitor *monitor, struct actions *out)
{
    monitor->draining = true;
    LIST_EACH(at, &monitor->runs)
    {
        monitor_cut_marks(monitor, LIST_ENTRY(at, struct run, link), out);
    }
}

/* The peer is told, so that it opens again and repeats what was not acknowledged even when it only
 * waits for answers. If that cannot be sent either, the peer is reported gone again. */
static void on_gone(struct monitor *monitor, peer_id peer, struct actions *out)
{
    struct member *member = monitor_member_of_peer(monitor, peer);
    struct nack nack;

    if (member)
        monitor_bind_peer(monitor, member, 0);
    nack_set(&nack, NACK_ENOTOPEN, "answers to this connection were lost");
    actions_refuse(out, peer, &nack);
}

/* A trainer that pings and has no run was cut off without hearing of it: it has to open again. */
static void on_alive(struct monitor *monitor, peer_id peer, struct actions *out)
{
    if (!monitor_member_of_peer(monitor, peer))
        monitor_refuse_not_open(peer, out);
}

/* ---- what we promise ourselves ------------------------------------------------------------- */

static void assert_layer_counts(const struct layer *layer)
{
    uint64_t n_rows = 0;
    size_t n_bytes = 0, n_marks = 0;

    LIST_EACH(at, &layer->queue)
    {
        const struct queued *queued = LIST_ENTRY(at, struct queued, link);

        if (queued->is_mark) {
            n_marks++;
        } else {
            n_rows += batch_n_rows(LIST_ENTRY(at, struct batch, queued.link));
            n_bytes += LIST_ENTRY(at, struct batch, queued.link)->size_bytes;
        }
    }
    assert(layer->n_marks == n_marks);
    assert(layer->queued_rows == n_rows - layer->row_at);
    assert(layer->queued_bytes == n_bytes && layer->held_bytes >= n_bytes);
}

static void assert_run_counts(const struct run *run)
{
    size_t n_layers = 0, n_jobs = 0, n_journal = 0, journal_bytes = 0,
           n_lent = run->state == RUN_OPENING;

    LIST_EACH(at, &run->layers)
    {
        const struct layer *layer = LIST_ENTRY(at, struct layer, link);

        assert(layer->run == run);
        assert_layer_counts(layer);
        n_jobs += layer->state != LAYER_IDLE;
        n_layers++;
    }
    LIST_EACH(at, &run->journal)
    {
        n_lent += LIST_ENTRY(at, struct journal_entry, link)->lent;
        journal_bytes += LIST_ENTRY(at, struct journal_entry, link)->size_bytes;
        n_journal++;
    }
    assert(run->n_layers == n_layers && run->n_jobs == n_jobs);
    assert(run->n_journal == n_journal && run->n_lent == n_lent);
    assert(run->journal_bytes == journal_bytes);
}

/* Returns the bytes that the run's members hold. */
static uint64_t assert_member_counts(const struct run *run, uint64_t *claimed_bytes)
{
    uint64_t held_bytes = 0, waiting_bytes = 0;
    size_t n = 0;

    LIST_EACH(at, &run->members)
    {
        const struct member *member = LIST_ENTRY(at, struct member, link);

        assert(member->run == run && member->place == n);
        assert(member->received <= member->granted && member->granted_sent <= member->granted);
        assert(member->durable_seq <= member->last_seq);
        held_bytes += member->held_bytes;
        waiting_bytes += member->waiting_bytes;
        *claimed_bytes += member->claims ? member->credit_bytes : 0;
        n++;
    }
    assert(n == run->n_members);
    assert(held_bytes == run_held_bytes(run) + waiting_bytes);
    return held_bytes;
}

/* Every counter is what it counts. It walks all queues, so it is done once a second. */
static void assert_counts(const struct monitor *monitor)
{
    uint64_t held_bytes = 0, claimed_bytes = 0;

    LIST_EACH(at, &monitor->runs)
    {
        const struct run *run = LIST_ENTRY(at, struct run, link);

        assert_run_counts(run);
        held_bytes += assert_member_counts(run, &claimed_bytes);
    }
    assert(monitor->stats.buffered_bytes == held_bytes);
    assert(held_bytes <= monitor->config.budget_bytes);
    assert(monitor->credit_claimed == claimed_bytes);
}

/* ---- the step ------------------------------------------------------------------------------ */

static void note_alive(struct monitor *monitor, const struct event *event)
{
    struct member *member = event->peer ? monitor_member_of_peer(monitor, event->peer) : NULL;

    if (member)
        member->silent_ticks = 0;
}

void monitor_step(struct monitor *monitor, const struct event *event, struct actions *out)
{
    assert(event->type > EV_GONE || event->peer != 0);
    note_alive(monitor, event);
    switch (event->type) {
    case EV_OPEN:
        monitor_on_open(monitor, event, out);
        break;
    case EV_BATCH:
        monitor_on_batch(monitor, event, out);
        break;
    case EV_CHECKPOINT:
        monitor_on_checkpoint(monitor, event, out);
        break;
    case EV_LOG:
        monitor_on_log(monitor, event, out);
        break;
    case EV_CLOSE:
        monitor_on_close(monitor, event, out);
        break;
    case EV_ALIVE:
        on_alive(monitor, event->peer, out);
        break;
    case EV_GONE:
        on_gone(monitor, event->peer, out);
        break;
    case EV_JOB_DONE:
        monitor_on_job_done(monitor, event->job, out);
        break;
    case EV_STORED:
        monitor_on_stored(monitor, event->record, out);
        break;
    case EV_TICK:
        on_tick(monitor, event->time, out);
        assert_counts(monitor);
        break;
    case EV_DRAIN:
        drain(monitor, out);
        break;
    }
}

bool monitor_is_settled(const struct monitor *monitor)
{
    LIST_EACH(at, &monitor->runs)
    {
        if (!run_is_settled(LIST_ENTRY(at, struct run, link)))
            return false;
    }
    return true;
}

bool monitor_is_quiet(const struct monitor *monitor)
{
    LIST_EACH(at, &monitor->runs)
    {
        if (!run_is_quiet(LIST_ENTRY(at, struct run, link)))
            return false;
    }
    return true;
}

struct monitor_stats monitor_stats(const struct monitor *monitor)
{
    struct monitor_stats stats = monitor->stats;

    stats.budget_bytes = monitor->config.budget_bytes;
    stats.runs_open = 0;
    LIST_EACH(at, &monitor->runs)
    {
        stats.runs_open += LIST_ENTRY(at, struct run, link)->state == RUN_OPEN;
    }
    return stats;
}
