#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <string.h>

struct run *monitor_run_of_peer(const struct monitor *monitor, peer_id peer)
{
    LIST_EACH(at, &monitor->peers[peer % PEER_BUCKETS])
    {
        struct run *run = LIST_ENTRY(at, struct run, peer_link);

        if (run->peer == peer)
            return run;
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
            (!found || strcmp(run->writer, writer) == 0))
            found = run;
    }
    return found;
}

void monitor_bind_peer(struct monitor *monitor, struct run *run, peer_id peer)
{
    list_remove(&run->peer_link);
    run->peer = peer;
    run->silent_ticks = 0;
    if (peer)
        list_append(&monitor->peers[peer % PEER_BUCKETS], &run->peer_link);
}

void monitor_refuse_not_open(peer_id peer, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_ENOTOPEN, "no run is open on this connection");
    actions_refuse(out, peer, &nack);
}

/* ---- ending ------------------------------------------------------------------------------- */

/* Gives back all queued rows; marks that wait are forgotten. */
static void clear_queues(struct monitor *monitor, struct run *run, struct actions *out)
{
    LIST_EACH(at, &run->layers)
    {
        monitor->stats.buffered_bytes -=
            layer_clear_queue(LIST_ENTRY(at, struct layer, link), &out->released);
    }
}

void monitor_free_run(struct monitor *monitor, struct run *run, struct actions *out)
{
    clear_queues(monitor, run, out);
    LIST_EACH(at, &run->layers)
    {
        monitor->state_bytes -= LIST_ENTRY(at, struct layer, link)->counted_bytes;
    }
    monitor->credit_granted -= run->credit_bytes;
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
    actions_refuse(out, run->peer, &nack);
    monitor_bind_peer(monitor, run, 0);
    run_move(run, RUN_OVER);
    clear_queues(monitor, run, out);
    monitor_free_if_done(monitor, run, out);
}
