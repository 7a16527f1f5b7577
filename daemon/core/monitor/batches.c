#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void monitor_refuse_batch(struct monitor *monitor, struct member *member, const struct batch *batch,
                          struct nack *nack, struct actions *out)
{
    monitor->stats.batches_refused++;
    err_prefix(&nack->why, 0, "run %s, layer %s, batch %" PRIu64 ": ", member->run->id,
               batch->layer, batch->seq);
    snprintf(nack->layer, sizeof nack->layer, "%s", batch->layer);
    nack->batch = batch->seq;
    actions_refuse(out, member->peer, nack);
}

void monitor_release_batch(struct monitor *monitor, struct batch *batch, struct actions *out)
{
    monitor->stats.buffered_bytes -= batch->size_bytes;
    batch->member->held_bytes -= batch->size_bytes;
    actions_release_batch(out, batch);
}

/* The action comes first: a job that cannot be handed out must not start. */
void monitor_start_job(struct run *run, struct layer *layer, struct actions *out)
{
    struct action *action = actions_add(out, ACT_JOB, 0);

    if (!action)
        return;
    action->job = layer_start(layer);
    if (action->job)
        run->n_jobs++;
    else
        out->n--;
}

void monitor_flush(struct run *run, struct actions *out)
{
    LIST_EACH(at, &run->layers)
    {
        struct layer *layer = LIST_ENTRY(at, struct layer, link);

        layer->flush = !list_empty(&layer->queue);
        monitor_start_job(run, layer, out);
    }
}

/* ---- the layer of a batch ----------------------------------------------------------------- */

/* Whether there is room for one layer more (the run knows it, or not) of so many bytes. */
static int check_room(const struct monitor *monitor, const struct run *run, bool is_known,
                      double size_bytes, struct nack *nack)
{
    double limit = monitor->config.state_bytes;

    if (!is_known && run->n_layers >= RUN_LAYERS_MAX)
        return nack_set(nack, NACK_EPROTO, "the run has %d layers, no more are taken",
                        RUN_LAYERS_MAX);
    if (monitor->state_bytes + size_bytes > limit)
        return nack_set(nack, NACK_EBUSY,
                        "the layer needs %.1f MiB, %.1f of the %.1f MiB for all layers are in use",
                        size_bytes / 0x1p20, monitor->state_bytes / 0x1p20, limit / 0x1p20);
    return 0;
}

/* Gives the layer its memory, for batches like this one; NULL stands for a layer that the run does
 * not know yet. */
static struct layer *make_layer(struct monitor *monitor, struct run *run, struct layer *layer,
                                const struct batch *batch, struct nack *nack)
{
    size_t n_workers = monitor->config.n_workers;
    bool makes_probe = run->has_probe && (!layer || layer->probe.n == 0);
    double size_bytes = layer_size_bytes(batch, n_workers, makes_probe);
    double left = monitor->config.state_bytes - monitor->state_bytes - size_bytes;
    size_t n_classes = layer_n_classes(batch, left);

    size_bytes += layer_classes_bytes(batch, n_classes);
    if (check_room(monitor, run, layer != NULL, size_bytes, nack) < 0)
        return NULL;
    if (!layer)
        layer = run_add_layer(run, batch->layer, batch->p, batch->c);
    if (!layer || layer_allocate(layer, batch, n_workers, n_classes) < 0) {
        nack_set(nack, NACK_EBUSY, "the daemon is out of memory");
        return NULL;
    }
    monitor->state_bytes += size_bytes;
    layer->counted_bytes += size_bytes;
    return layer;
}

/* The layer that the batch belongs to, made by its first batch; NULL when it is refused. */
static struct layer *layer_of(struct monitor *monitor, struct run *run, const struct batch *batch,
                              struct nack *nack)
{
    struct layer *layer = run_layer(run, batch->layer);
    struct err why;

    if (layer && layer_check(layer, batch, &why) < 0) {
        nack_set(nack, NACK_ESHAPE, "%s", why.text);
        return NULL;
    }
    return layer && layer->has_memory ? layer : make_layer(monitor, run, layer, batch, nack);
}

/* ---- taking a batch ----------------------------------------------------------------------- */

/* Offers the batch to its layer, which is returned in `layer`. */
static enum layer_answer offer(struct monitor *monitor, struct member *member, struct batch *batch,
                               struct layer **layer, struct nack *nack)
{
    enum layer_answer answer;
    struct err why;

    *layer = layer_of(monitor, member->run, batch, nack);
    if (!*layer)
        return LAYER_REFUSES;
    answer = layer_offer(*layer, member->place, batch, &why);
    if (answer == LAYER_REFUSES)
        nack_set(nack, NACK_EPROTO, "%s", why.text);
    return answer;
}

static void note_queued(struct monitor *monitor, struct member *member, struct batch *batch)
{
    batch->member = member;
    member->held_bytes += batch->size_bytes;
    monitor->stats.batches++;
    monitor->stats.rows += batch_n_rows(batch);
    monitor->stats.bytes += batch->size_bytes;
    monitor->stats.buffered_bytes += batch->size_bytes;
}

static void start_jobs(const struct monitor *monitor, struct member *member, struct layer *layer,
                       struct actions *out)
{
    if (monitor_holds_much(monitor, member))
        monitor_flush(member->run, out);
    else
        monitor_start_job(member->run, layer, out);
}

void monitor_take_batch(struct monitor *monitor, struct member *member, struct batch *batch,
                        struct actions *out)
{
    struct layer *layer = NULL;
    struct nack nack;

    switch (offer(monitor, member, batch, &layer, &nack)) {
    case LAYER_QUEUES:
        note_queued(monitor, member, batch);
        start_jobs(monitor, member, layer, out);
        return;
    case LAYER_PASSES_OVER:
        break;
    case LAYER_REFUSES:
        monitor_refuse_batch(monitor, member, batch, &nack, out);
        break;
    }
    monitor_return_credit(monitor, member, out);
    actions_release_batch(out, batch);
}

/* Refuses a batch whose credit is counted. */
static void turn_away(struct monitor *monitor, struct member *member, struct batch *batch,
                      struct nack *nack, struct actions *out)
{
    monitor_refuse_batch(monitor, member, batch, nack, out);
    monitor_return_credit(monitor, member, out);
    actions_release_batch(out, batch);
}

/* It would enter the window of a checkpoint that came before it. */
static void refuse_for_now(struct monitor *monitor, struct member *member, struct batch *batch,
                           struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EBUSY, "a message before it was refused");
    turn_away(monitor, member, batch, &nack, out);
}

static void refuse_for_want_of_room(struct monitor *monitor, struct member *member,
                                    struct batch *batch, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_ECREDIT,
             "it has %.1f MiB, and %.1f of the %.1f MiB for rows of all runs are in use",
             (double)batch->size_bytes / 0x1p20, (double)monitor->stats.buffered_bytes / 0x1p20,
             (double)monitor->config.budget_bytes / 0x1p20);
    turn_away(monitor, member, batch, &nack, out);
}

/* The credit lets it through. */
static void receive(struct monitor *monitor, struct member *member, struct batch *batch,
                    struct actions *out)
{
    monitor_claim_credit(monitor, member);
    member->received += batch->size_bytes;
    if (member->refused_seq > 0)
        refuse_for_now(monitor, member, batch, out);
    else if (batch->size_bytes > monitor_room(monitor))
        refuse_for_want_of_room(monitor, member, batch, out);
    else if (monitor_waits(member))
        monitor_let_wait(monitor, member, batch);
    else
        monitor_take_batch(monitor, member, batch, out);
}

void monitor_on_batch(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = monitor_member_of_peer(monitor, event->peer);
    struct batch *batch = event->batch;
    struct nack nack;

    if (!member || member->run->state != RUN_OPEN || member->state != MEMBER_OPEN) {
        monitor->stats.batches_refused++;
        monitor_refuse_not_open(event->peer, out);
    } else if (batch->size_bytes > member->granted - member->received) {
        nack_set(&nack, NACK_ECREDIT, "it goes beyond the credit granted");
        monitor_refuse_batch(monitor, member, batch, &nack, out);
    } else {
        receive(monitor, member, batch, out);
        return;
    }
    actions_release_batch(out, batch);
}
