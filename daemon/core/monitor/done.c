#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void finish_batch(struct monitor *monitor, struct batch *batch, struct actions *out)
{
    struct member *member = batch->member;
    struct nack nack;

    if (batch->refused) {
        nack_set(&nack, NACK_ENUMERIC, "%s", batch->why.text);
        monitor_refuse_batch(monitor, member, batch, &nack, out);
    }
    monitor_release_batch(monitor, batch, out);
    monitor_return_credit(monitor, member, out);
}

/* The batches that a job has read to their end. */
static void finish_batches(struct monitor *monitor, struct list *finished, struct actions *out)
{
    LIST_EACH_SAFE(at, finished)
    {
        list_remove(at);
        finish_batch(monitor, LIST_ENTRY(at, struct batch, queued.link), out);
    }
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
    struct journal_entry *entry = mark->entry;
    size_t i = (size_t)(mark - entry->marks);
    struct layer_point *point = &entry->record->points[i];

    point->measured = mark->measured;
    point->rows_offered = mark->rows_offered;
    point->rows_thinned = mark->rows_thinned;
    if (point->measured) {
        add_reported(entry->record, &point->point);
        point->point.ranks_missing = entry->ranks_missing;
        if (entry->ranks_missing > 0)
            point->point.flags |= FLAG_PARTIAL;
        monitor_watch_point(run, layer, point);
    }
    assert(entry->n_pending > 0);
    entry->n_pending--;
    if (run->state != RUN_OVER)
        run_store_ready(run, out);
}

/* No action is added, since the caller is carrying them out; the run stays until monitor_free. */
void monitor_drop_job(struct monitor *monitor, struct job *job, struct actions *out)
{
    struct layer *layer = job->layer;
    struct list finished;

    assert(layer->run->n_jobs > 0);
    list_init(&finished);
    layer_drop_job(layer, &finished);
    layer->run->n_jobs--;
    LIST_EACH_SAFE(at, &finished)
    {
        list_remove(at);
        monitor_release_batch(monitor, LIST_ENTRY(at, struct batch, queued.link), out);
    }
}

/* The spectrum that follows a point. */
static void lend_again(struct monitor *monitor, struct job *job, struct actions *out)
{
    struct action *action = actions_add(out, ACT_JOB, 0);

    if (action)
        action->job = job;
    else
        monitor_drop_job(monitor, job, out);
}

static void say_out_of_memory(const struct run *run, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EBUSY, "the daemon is out of memory");
    LIST_EACH(at, &run->members)
    {
        actions_refuse(out, LIST_ENTRY(at, struct member, link)->peer, &nack);
    }
}

/* The point goes to the disk without its spectrum, which follows. */
static void tell_first(struct run *run, struct layer *layer, struct mark *mark, struct actions *out)
{
    layer->later->number = mark->entry->number;
    finish_mark(run, layer, mark, out);
    layer->later->told = *mark->point;
}

/* What only the second measurement could tell. */
static void complete_point(const struct later *later, struct point *out)
{
    *out = later->told;
    out->flags = (out->flags & ~(uint32_t)FLAG_NO_SPECTRUM) | later->more.flags;
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (isnan(out->value[i]))
            out->value[i] = later->more.value[i];
    }
}

static struct record *spectrum_record(const struct run *run, struct layer *layer)
{
    struct record *record = record_new(RECORD_SPECTRUM, run->id);
    struct layer_point *point = record ? calloc(1, sizeof *point) : NULL;

    if (!point) {
        record_free(record);
        return NULL;
    }
    record->points = point;
    record->n_points = 1;
    record->step = layer->later->told.step;
    record->time = layer->later->told.time;
    snprintf(point->layer, sizeof point->layer, "%s", layer->name);
    point->measured = true;
    complete_point(layer->later, &point->point);
    point->spectrum = layer->later->spectrum;
    layer->later->spectrum = NULL;
    return record;
}

/* Without memory for it the point says that it has none. */
static void add_spectrum(struct run *run, struct layer *layer, struct actions *out)
{
    bool is_wanted = run->state != RUN_OVER && layer->later->spectrum;
    struct record *record = is_wanted ? spectrum_record(run, layer) : NULL;
    struct journal_entry *entry = record ? run_new_entry(run, NULL, record, 0) : NULL;
    uint64_t number = layer->later->number;

    layer_drop_later(layer);
    if (!entry) {
        record_free(record);
        return;
    }
    run_put_behind(run, entry, number);
    run_store_ready(run, out);
}

void monitor_on_job_done(struct monitor *monitor, struct job *job, struct actions *out)
{
    struct layer *layer = job->layer;
    struct run *run = layer->run;
    struct layer_done done;
    struct list finished;

    assert(run->n_jobs > 0);
    list_init(&finished);
    layer_job_done(layer, &finished, &done);
    if (done.next && done.mark)
        tell_first(run, layer, done.mark, out);
    if (done.next) {
        lend_again(monitor, done.next, out);
        return;
    }
    run->n_jobs--;
    finish_batches(monitor, &finished, out);
    if (done.rc < 0)
        say_out_of_memory(run, out);
    if (done.mark)
        finish_mark(run, layer, done.mark, out);
    if (done.has_decomposed)
        add_spectrum(run, layer, out);
    if (run->state != RUN_OVER)
        monitor_start_job(run, layer, out);
    monitor_free_if_done(monitor, run, out);
}

static void note_durable(struct member *member, uint64_t seq)
{
    if (seq > member->durable_seq)
        member->durable_seq = seq;
}

/* The numbers of an older writer of a rank mean nothing to the one that it has now. */
static void note_sender(const struct run *run, struct record_sender *sender)
{
    if (sender->epoch != sender->member->epoch)
        return;
    note_durable(sender->member, sender->seq);
    if (run->state != RUN_OVER && sender->seq > 0)
        sender->peer = sender->member->peer;
}

/* What the entry says is on disk, for all whom it speaks for. */
static void note_stored(struct journal_entry *entry)
{
    struct record *record = entry->record;

    if (record->n_senders == 0 && entry->member)
        note_durable(entry->member, record->seq);
    for (size_t i = 0; i < record->n_senders; i++)
        note_sender(entry->run, &record->senders[i]);
}

static peer_id peer_of(const struct journal_entry *entry)
{
    return entry->run->state == RUN_OVER || !entry->member ? 0 : entry->member->peer;
}

static void complete(struct monitor *monitor, struct run *run, struct journal_entry *entry,
                     struct actions *out)
{
    struct record *record = entry->record;
    struct action *action = actions_add(out, ACT_COMPLETE, peer_of(entry));

    if (!action)
        return;
    if (record->kind == RECORD_CHECKPOINT) {
        if (!run->has_last_step || !record->implied || record->step > run->last_step)
            run->last_step = record->step;
        run->has_last_step = true;
        for (size_t i = 0; i < record->n_points; i++)
            monitor->stats.points += record->points[i].measured;
    }
    note_stored(entry);
    if (record->kind == RECORD_JOIN)
        monitor_on_joined(entry, out);
    action->record = record;
    run_remove_entry(run, entry);
}

/* The store has counted the message, and written nothing else of it. */
static void refuse_constants(struct run *run, struct journal_entry *entry, struct actions *out)
{
    struct record *record = entry->record;
    struct nack nack;

    nack_set(&nack, NACK_EPROTO, "%s", record->error);
    nack.seq = record->seq;
    note_stored(entry);
    actions_refuse(out, record->n_senders > 0 ? record->senders[0].peer : peer_of(entry), &nack);
    run_remove_entry(run, entry);
    record_free(record);
}

/* A full disk heals, and so does a foreign lock: the entries stay in the journal, in order, and are
 * lent again at the next tick. Any other failure of the disk is not retried (a second fsync may
 * report success for lost pages). */
static void on_entry_stored(struct monitor *monitor, struct journal_entry *entry,
                            struct actions *out)
{
    struct run *run = entry->run;
    int rc = entry->record->rc;

    assert(entry->lent && run->n_lent > 0);
    run->n_lent--;
    entry->lent = false;
    if (rc == 0 && entry->record->kind == RECORD_REPLAY)
        monitor_take_past(run, entry);
    else if (rc == 0)
        complete(monitor, run, entry, out);
    else if (rc == -E2BIG)
        refuse_constants(run, entry, out);
    else if (record_may_come_again(rc))
        run->store_waits = true;
    else if (rc == -ESTALE && run->state != RUN_OVER) {
        monitor_supersede(monitor, run, out);
        return;
    } else if (rc != -ESTALE) {
        run->store_waits = true; /* for ever: the daemon ends */
        actions_fail(out, entry->record->error);
    }
    if (run->state != RUN_OVER)
        run_store_ready(run, out);
    monitor_free_if_done(monitor, run, out);
}

void monitor_on_stored(struct monitor *monitor, struct record *record, struct actions *out)
{
    if (record->kind == RECORD_OPEN)
        monitor_on_open_stored(monitor, record, out);
    else
        on_entry_stored(monitor, record->entry, out);
}
