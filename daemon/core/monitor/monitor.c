#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct monitor *monitor_new(const struct monitor_config *config)
{
    struct monitor *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->config = *config;
    list_init(&m->runs);
    for (size_t i = 0; i < PEER_BUCKETS; i++)
        list_init(&m->peers[i]);
    return m;
}

/* ---- finding and ending runs --------------------------------------------------------------- */

struct run *monitor_run_of_peer(const struct monitor *m, peer_id peer)
{
    LIST_EACH(at, &m->peers[peer % PEER_BUCKETS])
    {
        struct run *r = LIST_ENTRY(at, struct run, peer_link);

        if (r->peer == peer)
            return r;
    }
    return NULL;
}

/* The run of that id that is not over, or NULL; while several are (one leaves, others wait to be
 * opened), the writer's newest before anybody else's. */
struct run *monitor_run_of_id(const struct monitor *m, const char *id, const char *writer)
{
    struct run *found = NULL;

    LIST_EACH(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        if (r->state != RUN_OVER && strcmp(r->id, id) == 0 &&
            (!found || strcmp(r->writer, writer) == 0))
            found = r;
    }
    return found;
}

void monitor_bind_peer(struct monitor *m, struct run *r, peer_id peer)
{
    list_remove(&r->peer_link);
    r->peer = peer;
    r->silent_ticks = 0;
    if (peer)
        list_append(&m->peers[peer % PEER_BUCKETS], &r->peer_link);
}

static void free_run(struct monitor *m, struct run *r)
{
    LIST_EACH(at, &r->layers)
    {
        m->state_bytes -= LIST_ENTRY(at, struct layer, link)->counted_bytes;
    }
    m->credit_granted -= r->credit_bytes;
    run_free(r);
}

/* Gives back all queued rows; marks that wait are forgotten. */
static void clear_queues(struct monitor *m, struct run *r, struct actions *out)
{
    LIST_EACH(at, &r->layers)
    {
        m->stats.buffered_bytes -=
            layer_clear_queue(LIST_ENTRY(at, struct layer, link), &out->released);
    }
}

static bool layers_have_marks(const struct run *r)
{
    LIST_EACH(at, &r->layers)
    {
        if (LIST_ENTRY(at, struct layer, link)->n_marks > 0)
            return true;
    }
    return false;
}

/* Frees a run that has nothing left to do. Called wherever something of it came home. */
void monitor_sweep(struct monitor *m, struct run *r, struct actions *out)
{
    bool done = r->state == RUN_OVER
                    ? run_is_quiet(r)
                    : r->state == RUN_LEAVING && run_is_settled(r) && !layers_have_marks(r);

    if (!done)
        return;
    clear_queues(m, r, out);
    free_run(m, r);
}

void monitor_refuse(struct actions *out, peer_id peer, enum nack_code code, const char *text)
{
    struct nack *nack = actions_add_nack(out, peer, code);

    if (nack)
        err_set(&nack->why, 0, "%s", text);
}

void monitor_fail_store(struct actions *out, const char *text)
{
    struct action *a = actions_add(out, ACT_FATAL, 0);

    if (a)
        err_set(&a->fatal, 0, "%s", text);
}

void monitor_fence(struct monitor *m, struct run *r, struct actions *out)
{
    struct nack *nack = r->peer ? actions_add_nack(out, r->peer, NACK_EFENCED) : NULL;

    if (nack)
        err_set(&nack->why, 0, "attempt %" PRIu32 " of run %s is over: a newer one was opened",
                r->attempt, r->id);
    monitor_bind_peer(m, r, 0);
    r->state = RUN_OVER;
    clear_queues(m, r, out);
    monitor_sweep(m, r, out);
}

void monitor_free(struct monitor *m, struct actions *out)
{
    if (!m)
        return;
    LIST_EACH_SAFE(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        clear_queues(m, r, out);
        free_run(m, r);
    }
    free(m);
}

/* ---- time ---------------------------------------------------------------------------------- */

/* The trainer went without a word: what it was promised is finished, then the run is marked lost.
 * Without memory for that, the next tick tries again. */
static void lose(struct monitor *m, struct run *r, double time, struct actions *out)
{
    struct record *record = record_new(RECORD_LOST, r->id);

    monitor_bind_peer(m, r, 0);
    r->silent_ticks = MONITOR_LOST_TICKS;
    if (!record || !run_add_entry(r, record, 0)) {
        record_free(record);
        return;
    }
    record->time = time;
    r->state = RUN_LEAVING;
    run_lend(r, out);
}

static void tick_run(struct monitor *m, struct run *r, double time, struct actions *out)
{
    r->store_waits = false;
    if (r->state == RUN_OPEN || r->state == RUN_LEAVING) {
        LIST_EACH(at, &r->layers)
        {
            LIST_ENTRY(at, struct layer, link)->starved = false;
        }
        run_lend(r, out);
        monitor_flush(r, out);
        run_tell_credit(r, out);
    }
    if (r->state == RUN_OPEN && ++r->silent_ticks >= MONITOR_LOST_TICKS)
        lose(m, r, time, out);
}

/* Ticks are counted, not read off a clock: after a daemon was stopped for a minute its peers are
 * not all called silent at once. */
static void on_tick(struct monitor *m, double time, struct actions *out)
{
    LIST_EACH_SAFE(at, &m->runs)
    {
        tick_run(m, LIST_ENTRY(at, struct run, link), time, out);
    }
}

/* It is told, so that it opens again and repeats what was not acknowledged even when it only waits
 * for answers. If that cannot be sent either, the peer is reported gone again. */
static void on_gone(struct monitor *m, peer_id peer, struct actions *out)
{
    struct run *r = monitor_run_of_peer(m, peer);

    if (r)
        monitor_bind_peer(m, r, 0);
    monitor_refuse(out, peer, NACK_ENOTOPEN, "answers to this connection were lost");
}

/* A trainer that pings and has no run was cut off without hearing of it: it has to open again. */
static void on_alive(struct monitor *m, peer_id peer, struct actions *out)
{
    if (!monitor_run_of_peer(m, peer))
        monitor_refuse(out, peer, NACK_ENOTOPEN, "no run is open on this connection");
}

/* ---- the step ------------------------------------------------------------------------------ */

static void note_alive(struct monitor *m, const struct event *e)
{
    struct run *r = e->peer ? monitor_run_of_peer(m, e->peer) : NULL;

    if (r)
        r->silent_ticks = 0;
}

void monitor_step(struct monitor *m, const struct event *e, struct actions *out)
{
    note_alive(m, e);
    switch (e->type) {
    case EV_OPEN:
        monitor_on_open(m, e, out);
        break;
    case EV_BATCH:
        monitor_on_batch(m, e, out);
        break;
    case EV_CHECKPOINT:
        monitor_on_checkpoint(m, e, out);
        break;
    case EV_LOG:
        monitor_on_log(m, e, out);
        break;
    case EV_CLOSE:
        monitor_on_close(m, e, out);
        break;
    case EV_ALIVE:
        on_alive(m, e->peer, out);
        break;
    case EV_GONE:
        on_gone(m, e->peer, out);
        break;
    case EV_JOB_DONE:
        monitor_on_job_done(m, e->job, out);
        break;
    case EV_STORED:
        monitor_on_stored(m, e->record, out);
        break;
    case EV_TICK:
        on_tick(m, e->time, out);
        break;
    case EV_DRAIN:
        m->draining = true;
        break;
    }
}

bool monitor_is_settled(const struct monitor *m)
{
    LIST_EACH(at, &m->runs)
    {
        const struct run *r = LIST_ENTRY(at, struct run, link);

        if (!run_is_settled(r) || layers_have_marks(r))
            return false;
    }
    return true;
}

bool monitor_is_quiet(const struct monitor *m)
{
    LIST_EACH(at, &m->runs)
    {
        if (!run_is_quiet(LIST_ENTRY(at, struct run, link)))
            return false;
    }
    return true;
}

struct monitor_stats monitor_stats(const struct monitor *m)
{
    struct monitor_stats stats = m->stats;

    stats.budget_bytes = m->config.budget_bytes;
    stats.runs_open = 0;
    LIST_EACH(at, &m->runs)
    {
        stats.runs_open += LIST_ENTRY(at, struct run, link)->state == RUN_OPEN;
    }
    return stats;
}
