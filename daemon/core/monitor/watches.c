#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <stdio.h>

/* What the watches of a run see. A run's series goes on over its attempts, and a new attempt says
 * by its first message with a step of the trainer's at which one it takes over. So a run with a
 * past asks the store with that message (RECORD_REPLAY); the store shows new watches all that the
 * attempt does not supersede. What is measured and logged meanwhile waits in the journal behind the
 * question, and is shown to the watches when they come home, before any of it is lent to the store.
 */

/* A layer's marks come home in the order of its checkpoints, and are stored in it. */
static void watch_point(struct run *run, struct layer *layer, struct layer_point *point)
{
    point->n_findings = watch_feed(layer->watch, run->attempt, &point->point, point->findings);
}

void monitor_watch_point(struct run *run, struct layer *layer, struct layer_point *point)
{
    if (run->watching == RUN_WATCHES)
        watch_point(run, layer, point);
}

static void watch_log(struct run *run, struct record *log)
{
    log->n_findings = watch_log_feed(run->scalar_watch, run->attempt, log->step, log->time,
                                     log->scalars, log->n_scalars, log->findings);
}

void monitor_watch_log(struct run *run, struct record *log)
{
    if (run->watching == RUN_WATCHES)
        watch_log(run, log);
}

int monitor_ask_past(struct run *run, int64_t step, bool implied, struct actions *out)
{
    struct record *record;

    if (run->watching != RUN_HAS_PAST || (implied && run->attempt > 1))
        return 0;
    record = record_new(RECORD_REPLAY, run->id);
    if (!record)
        return -1;
    record->step = step;
    record->open.watched = run->watched;
    if (!run_add_entry(run, NULL, record, 0)) {
        record_free(record);
        return -1;
    }
    run->watching = RUN_ASKED_PAST;
    run_store_ready(run, out);
    return 0;
}

/* What came while the store was asked. */
static void watch_journal(struct run *run)
{
    LIST_EACH(at, &run->journal)
    {
        struct record *record = LIST_ENTRY(at, struct journal_entry, link)->record;

        if (record->kind == RECORD_LOG)
            watch_log(run, record);
        for (size_t i = 0; record->kind == RECORD_CHECKPOINT && i < record->n_points; i++) {
            if (record->points[i].measured)
                watch_point(run, run_layer(run, record->points[i].layer), &record->points[i]);
        }
    }
}

void monitor_take_past(struct run *run, struct journal_entry *entry)
{
    struct open_result *past = &entry->record->opened;

    assert(run->watching == RUN_ASKED_PAST);
    for (size_t i = 0; i < past->n_layers; i++) {
        struct layer *layer = run_layer(run, past->layers[i].name);

        if (!layer || !past->layers[i].watch)
            continue;
        watch_free(layer->watch);
        layer->watch = past->layers[i].watch;
        past->layers[i].watch = NULL;
    }
    watch_free(run->scalar_watch);
    run->scalar_watch = past->scalar_watch;
    past->scalar_watch = NULL;
    run->watching = RUN_WATCHES;
    record_free(entry->record);
    run_remove_entry(run, entry);
    watch_journal(run);
}
