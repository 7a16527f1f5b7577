#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <string.h>

struct member *monitor_member_of_peer(const struct monitor *monitor, peer_id peer)
{
    LIST_EACH(at, &monitor->peers[peer % PEER_BUCKETS])
    {
        struct member *member = LIST_ENTRY(at, struct member, peer_link);

        if (member->peer == peer)
            return member;
    }
    return NULL;
}

struct run *monitor_run_of_id(const struct monitor *monitor, const char *id, const char *writer)
{
    struct run *found = NULL;

    LIST_EACH(at, &monitor->runs)
    {
        struct run *run = LIST_ENTRY(at, struct run, link);

        if (run->state != RUN_OVER && strcmp(run->id, id) == 0 &&
            (!found || strcmp(run_opener(run)->writer, writer) == 0))
            found = run;
    }
    return found;
}

void monitor_bind_peer(struct monitor *monitor, struct member *member, peer_id peer)
{
    list_remove(&member->peer_link);
    member->peer = peer;
    member->silent_ticks = 0;
    if (peer)
        list_append(&monitor->peers[peer % PEER_BUCKETS], &member->peer_link);
}

void monitor_refuse_not_open(peer_id peer, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_ENOTOPEN, "no run is open on this connection");
    actions_refuse(out, peer, &nack);
}

/* ---- ending ------------------------------------------------------------------------------- */

/* Gives back all queued rows; what waits is forgotten. */
static void clear_queues(struct monitor *monitor, struct run *run, struct actions *out)
{
    struct list cleared;

    LIST_EACH(at, &run->members)
    {
        monitor_drop_waiting(monitor, LIST_ENTRY(at, struct member, link), out);
    }
    list_init(&cleared);
    LIST_EACH(at, &run->layers)
    {
        layer_clear_queue(LIST_ENTRY(at, struct layer, link), &cleared);
    }
    LIST_EACH_SAFE(at, &cleared)
    {
        list_remove(at);
        monitor_release_batch(monitor, LIST_ENTRY(at, struct batch, queued.link), out);
    }
}

void monitor_free_run(struct monitor *monitor, struct run *run, struct actions *out)
{
    clear_queues(monitor, run, out);
    LIST_EACH(at, &run->layers)
    {
        monitor->state_bytes -= LIST_ENTRY(at, struct layer, link)->counted_bytes;
    }
    LIST_EACH(at, &run->members)
    {
        monitor_yield_credit(monitor, LIST_ENTRY(at, struct member, link));
    }
    run_free(run);
}

void monitor_free_if_done(struct monitor *monitor, struct run *run, struct actions *out)
{
    if ((run->state == RUN_OVER && run_is_quiet(run)) ||
        (run->state == RUN_LEAVING && run_is_settled(run)))
        monitor_free_run(monitor, run, out);
}

void monitor_supersede(struct monitor *monitor, struct run *run, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EFENCED, "attempt %" PRIu32 " of run %s is over: a newer one was opened",
             run->attempt, run->id);
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);

        actions_refuse(out, member->peer, &nack);
        monitor_bind_peer(monitor, member, 0);
    }
    run_move(run, RUN_OVER);
    clear_queues(monitor, run, out);
    monitor_free_if_done(monitor, run, out);
}
