#include "daemon/core/monitor/parts.h"

#include <errno.h>

static void finish_batch(struct monitor *m, struct run *r, struct batch *b, struct actions *out)
{
    m->stats.buffered_bytes -= b->size_bytes;
    if (b->rows.refused)
        monitor_refuse_batch(m, r, b, NACK_ENUMERIC, b->rows.why.text, out);
    run_return_credit(r, b->size_bytes, out);
    monitor_release_batch(b, out);
}

/* A layer's marks come home in the order of its checkpoints, and are stored in it. */
static void look_for_transitions(struct layer *l, struct layer_point *p)
{
    p->n_findings = watch_feed(l->watch, &p->point, p->findings);
}

/* What the trainer says of the network holds for each of its layers. */
static void add_reported(const struct record *record, struct point *p)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (metric_table[i].needs == NEEDS_TRAINER)
            p->value[i] = record->reported[i];
    }
}

static void finish_mark(struct run *r, struct layer *l, struct mark *mark, struct actions *out)
{
    struct entry *entry = mark->owner;
    size_t i = (size_t)(mark - entry->marks);
    struct layer_point *p = &entry->record->points[i];

    p->measured = mark->measured;
    p->rows_offered = mark->rows_offered;
    if (p->measured) {
        add_reported(entry->record, &p->point);
        look_for_transitions(l, p);
    }
    entry->n_pending--;
    if (r->state != RUN_OVER)
        run_lend(r, out);
}

/* No action is added, since the caller is carrying them out; the run stays until monitor_free. */
void monitor_abandon_job(struct monitor *m, struct job *job, struct actions *out)
{
    struct layer *l = job->layer;
    struct run *r = l->run;
    struct list finished;

    list_init(&finished);
    layer_abandon_job(l, &finished);
    r->n_jobs--;
    LIST_EACH_SAFE(at, &finished)
    {
        struct batch *b = LIST_ENTRY(at, struct batch, queued.link);

        list_remove(at);
        m->stats.buffered_bytes -= b->size_bytes;
        monitor_release_batch(b, out);
    }
}

void monitor_on_job_done(struct monitor *m, struct job *job, struct actions *out)
{
    struct layer *l = job->layer;
    struct run *r = l->run;
    struct layer_done done;
    struct list finished;
    struct action *a;

    list_init(&finished);
    layer_job_done(l, &finished, &done);
    if (done.next) {
        a = actions_add(out, ACT_JOB, r->peer);
        if (a)
            a->job = done.next;
        else
            monitor_abandon_job(m, done.next, out);
        return;
    }
    r->n_jobs--;
    LIST_EACH_SAFE(at, &finished)
    {
        struct batch *b = LIST_ENTRY(at, struct batch, queued.link);

        list_remove(at);
        finish_batch(m, r, b, out);
    }
    if (done.rc < 0 && r->peer)
        monitor_refuse(out, r->peer, NACK_EBUSY, "the daemon is out of memory");
    if (done.mark)
        finish_mark(r, l, done.mark, out);
    if (r->state != RUN_OVER)
        monitor_pump(r, l, out);
    monitor_sweep(m, r, out);
}

static void complete(struct monitor *m, struct run *r, struct entry *entry, struct actions *out)
{
    struct record *record = entry->record;
    struct action *a = actions_add(out, ACT_COMPLETE, r->state == RUN_OVER ? 0 : r->peer);

    if (!a)
        return;
    if (record->kind == RECORD_CHECKPOINT) {
        r->has_last_step = true;
        r->last_step = record->step;
        for (size_t i = 0; i < record->n_points; i++)
            m->stats.points += record->points[i].measured;
    }
    if (record->seq > r->durable_seq)
        r->durable_seq = record->seq;
    a->record = record;
    run_drop_entry(r, entry);
}

/* A full disk heals: the entries stay in the journal, in order, and are lent again at the next
 * tick. Any other failure of the disk is not retried (a second fsync may report success for lost
 * pages). */
static void on_entry_stored(struct monitor *m, struct entry *entry, struct actions *out)
{
    struct run *r = entry->run;
    int rc = entry->record->rc;

    r->n_lent--;
    entry->lent = false;
    if (rc == 0)
        complete(m, r, entry, out);
    else if (rc == -ENOSPC || rc == -ENOMEM)
        r->store_waits = true;
    else if (rc == -ESTALE && r->state != RUN_OVER) {
        monitor_fence(m, r, out);
        return;
    } else if (rc != -ESTALE)
        monitor_fail_store(out, entry->record->error);
    if (r->state != RUN_OVER)
        run_lend(r, out);
    monitor_sweep(m, r, out);
}

void monitor_on_stored(struct monitor *m, struct record *record, struct actions *out)
{
    if (record->kind == RECORD_OPEN)
        monitor_on_open_stored(m, record->owner, record, out);
    else
        on_entry_stored(m, record->owner, out);
}
