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

static uint64_t credit_for_one_more(const struct monitor *m)
{
    uint64_t left = m->config.budget_bytes - m->credit_granted;

    if (left < MONITOR_CREDIT_MIN)
        return 0;
    if (left / CREDIT_SHARE > MONITOR_CREDIT_MAX)
        return MONITOR_CREDIT_MAX;
    return left / CREDIT_SHARE > MONITOR_CREDIT_MIN ? left / CREDIT_SHARE : MONITOR_CREDIT_MIN;
}

static void welcome(const struct run *r, struct actions *out)
{
    struct action *a = actions_add(out, ACT_WELCOME, r->peer);

    if (!a)
        return;
    snprintf(a->welcome.run, sizeof a->welcome.run, "%s", r->id);
    a->welcome.attempt = r->attempt;
    a->welcome.granted = r->granted;
    a->welcome.last_seq = r->durable_seq;
    a->welcome.has_last_step = r->has_last_step;
    a->welcome.last_step = r->last_step;
}

/* The same writer came back, on a new connection, to an attempt that is still here. */
static void reconnect(struct monitor *m, struct run *r, peer_id peer, struct actions *out)
{
    monitor_bind_peer(m, r, peer);
    run_start_credit(r, run_held_bytes(r));
    if (r->state != RUN_OPENING)
        welcome(r, out);
}

/* Whether a run that leaves takes its trainer back: one that closed hears of it on the new
 * connection; one that was lost is open again, unless the loss is on its way to the disk. */
static bool take_back(struct run *r)
{
    struct entry *last = NULL;

    if (!list_empty(&r->journal))
        last = LIST_ENTRY(r->journal.prev, struct entry, link);
    if (!last || (last->record->kind == RECORD_LOST && last->lent))
        return false;
    if (last->record->kind == RECORD_LOST) {
        record_free(last->record);
        run_drop_entry(r, last);
        r->state = RUN_OPEN;
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

static void start_opening(struct monitor *m, const struct event *e, struct actions *out)
{
    struct record *record = e->open.record;
    uint64_t credit = credit_for_one_more(m);
    struct run *r = credit ? run_new(record, e->open.window, e->peer) : NULL;
    struct action *a = r ? actions_add(out, ACT_STORE, e->peer) : NULL;

    if (!a) {
        refuse_for_now(out, e->peer, "the daemon has no memory left to grant to another run");
        if (r)
            run_free(r);
        record_free(record);
        return;
    }
    r->credit_bytes = credit;
    r->spectrum = e->open.spectrum;
    r->has_probe = e->open.probe;
    r->projector = e->open.projector;
    if (r->has_probe) /* at least 1: with 0 they would not be wanted */
        record->open.probe_bytes = fmax(m->config.state_bytes - m->state_bytes, 1);
    m->credit_granted += credit;
    run_start_credit(r, 0);
    list_append(&m->runs, &r->link);
    monitor_bind_peer(m, r, e->peer);
    r->n_lent++;
    record->owner = r;
    record->time = e->time;
    a->record = record;
}

void monitor_on_open(struct monitor *m, const struct event *e, struct actions *out)
{
    struct record *record = e->open.record;
    struct run *known = monitor_run_of_id(m, record->run, record->open.writer);
    struct run *mine = monitor_run_of_peer(m, e->peer);
    bool same_writer = known && strcmp(known->writer, record->open.writer) == 0;

    if (m->draining) {
        refuse_for_now(out, e->peer, "the daemon is stopping");
    } else if (mine && !(mine == known && same_writer)) {
        monitor_refuse(out, e->peer, NACK_EPROTO, "this connection has opened a run already");
    } else if (is_reconnection(known, record)) {
        reconnect(m, known, e->peer, out);
    } else if (known && known->state == RUN_OPEN && record->open.attempt == known->attempt) {
        struct nack *nack = actions_add_nack(out, e->peer, NACK_EHELD);

        if (nack)
            err_set(&nack->why, 0, "attempt %" PRIu32 " of run %s is held by writer %s",
                    known->attempt, known->id, known->writer);
    } else {
        start_opening(m, e, out);
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

static void fence_others(struct monitor *m, const struct run *winner, struct actions *out)
{
    LIST_EACH_SAFE(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        if (r != winner && r->state != RUN_OVER && r->state != RUN_OPENING &&
            strcmp(r->id, winner->id) == 0) {
            if (r->peer == winner->peer)
                monitor_bind_peer(m, r,
                                  0); /* its own trainer, which opened once more: not to be told */
            monitor_fence(m, r, out);
        }
    }
}

/* Charges the budget for the probes that the store gave back. Returns 0, or -ENOMEM when others
 * have used it up meanwhile. */
static int count_probes(struct monitor *m, struct run *r)
{
    LIST_EACH(at, &r->layers)
    {
        struct layer *l = LIST_ENTRY(at, struct layer, link);

        if (l->probe.n == 0)
            continue;
        l->counted_bytes = (double)probe_size_bytes(l->probe.n);
        m->state_bytes += l->counted_bytes;
    }
    return m->state_bytes <= m->config.state_bytes ? 0 : -ENOMEM;
}

void monitor_on_open_stored(struct monitor *m, struct run *r, struct record *record,
                            struct actions *out)
{
    int rc = record->rc;

    r->n_lent--;
    if (rc == 0 && r->state == RUN_OPENING)
        rc = run_opened(r, &record->opened);
    if (rc == 0 && r->has_probe)
        rc = count_probes(m, r);
    if (rc == 0 && r->state == RUN_OPEN) {
        fence_others(m, r, out);
        welcome(r, out);
    } else {
        if (rc == -ENOMEM && r->peer)
            refuse_for_now(out, r->peer,
                           record->error[0] ? record->error : "the daemon is out of memory");
        else if (rc < 0 && r->peer)
            monitor_refuse(out, r->peer, open_refusal(rc), record->error);
        r->state = RUN_OVER;
        if (rc == -EIO)
            monitor_fail_store(out, record->error);
        monitor_sweep(m, r, out);
    }
    record_free(record);
}
