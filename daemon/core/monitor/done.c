#include "daemon/core/monitor/parts.h"

#include <errno.h>

static void finish_batch(struct monitor *monitor, struct run *run, struct batch *batch,
                         struct actions *out)
{
    monitor->stats.buffered_bytes -= batch->size_bytes;
    if (batch->rows.refused)
        monitor_refuse_batch(monitor, run, batch, NACK_ENUMERIC, batch->rows.why.text, out);
    run_return_credit(run, batch->size_bytes, out);
    monitor_release_batch(batch, out);
}

/* A layer's marks come home in the order of its checkpoints, and are stored in it. */
static void look_for_transitions(struct layer *layer, struct layer_point *point)
{
    point->n_findings = watch_feed(layer->watch, &point->point, point->findings);
}

/* What the trainer says of the network holds for each of its layers. */
static void add_reported(const struct record *record, struct point *point)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].needs == NEEDS_TRAINER)
            point->value[i] = record->reported[i];
    }
}

static void finish_mark(struct run *run, struct layer *layer, struct mark *mark,
                        struct actions *out)
{
    struct entry *entry = mark->owner;
    size_t i = (size_t)(mark - entry->marks);
    struct layer_point *point = &entry->record->points[i];

    point->measured = mark->measured;
    point->rows_offered = mark->rows_offered;
    if (point->measured) {
        add_reported(entry->record, &point->point);
        look_for_transitions(layer, point);
    }
    entry->n_pending--;
    if (run->state != RUN_OVER)
        run_lend(run, out);
}

/* No action is added, since the caller is carrying them out; the run stays until monitor_free. */
void monitor_abandon_job(struct monitor *monitor, struct job *job, struct actions *out)
{
    struct layer *layer = job->layer;
    struct run *run = layer->run;
    struct list finished;

    list_init(&finished);
    layer_abandon_job(layer, &finished);
    run->n_jobs--;
    LIST_EACH_SAFE(at, &finished)
    {
        struct batch *batch = LIST_ENTRY(at, struct batch, queued.link);

        list_remove(at);
        monitor->stats.buffered_bytes -= batch->size_bytes;
        monitor_release_batch(batch, out);
    }
}

void monitor_on_job_done(struct monitor *monitor, struct job *job, struct actions *out)
{
    struct layer *layer = job->layer;
    struct run *run = layer->run;
    struct layer_done done;
    struct list finished;
    struct action *action;

    list_init(&finished);
    layer_job_done(layer, &finished, &done);
    if (done.next) {
        action = actions_add(out, ACT_JOB, run->peer);
        if (action)
            action->job = done.next;
        else
            monitor_abandon_job(monitor, done.next, out);
        return;
    }
    run->n_jobs--;
    LIST_EACH_SAFE(at, &finished)
    {
        struct batch *batch = LIST_ENTRY(at, struct batch, queued.link);

        list_remove(at);
        finish_batch(monitor, run, batch, out);
    }
    if (done.rc < 0 && run->peer)
        monitor_refuse(out, run->peer, NACK_EBUSY, "the daemon is out of memory");
    if (done.mark)
        finish_mark(run, layer, done.mark, out);
    if (run->state != RUN_OVER)
        monitor_pump(run, layer, out);
    monitor_sweep(monitor, run, out);
}

static void complete(struct monitor *monitor, struct run *run, struct entry *entry,
                     struct actions *out)
{
    struct record *record = entry->record;
    struct action *action = actions_add(out, ACT_COMPLETE, run->state == RUN_OVER ? 0 : run->peer);

    if (!action)
        return;
    if (record->kind == RECORD_CHECKPOINT) {
        run->has_last_step = true;
        run->last_step = record->step;
        for (size_t i = 0; i < record->n_points; i++)
            monitor->stats.points += record->points[i].measured;
    }
    if (record->seq > run->durable_seq)
        run->durable_seq = record->seq;
    action->record = record;
    run_drop_entry(run, entry);
}

/* A full disk heals: the entries stay in the journal, in order, and are lent again at the next
 * tick. Any other failure of the disk is not retried (a second fsync may report success for lost
 * pages). */
static void on_entry_stored(struct monitor *monitor, struct entry *entry, struct actions *out)
{
    struct run *run = entry->run;
    int rc = entry->record->rc;

    run->n_lent--;
    entry->lent = false;
    if (rc == 0)
        complete(monitor, run, entry, out);
    else if (rc == -ENOSPC || rc == -ENOMEM)
        run->store_waits = true;
    else if (rc == -ESTALE && run->state != RUN_OVER) {
        monitor_fence(monitor, run, out);
        return;
    } else if (rc != -ESTALE)
        monitor_fail_store(out, entry->record->error);
    if (run->state != RUN_OVER)
        run_lend(run, out);
    monitor_sweep(monitor, run, out);
}

void monitor_on_stored(struct monitor *monitor, struct record *record, struct actions *out)
{
    if (record->kind == RECORD_OPEN)
        monitor_on_open_stored(monitor, record->owner, record, out);
    else
        on_entry_stored(monitor, record->owner, out);
}
