#include "daemon/core/monitor/run.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct member *add_member(struct run *run, const char *writer, peer_id peer)
{
    struct member *member = member_new(run, writer, peer);

    if (!member)
        return NULL;
    member->place = run->n_members++;
    list_append(&run->members, &member->link);
    return member;
}

struct run *run_new(const struct record *open, struct window window, peer_id peer)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    list_init(&run->link);
    list_init(&run->members);
    list_init(&run->layers);
    list_init(&run->journal);
    snprintf(run->id, sizeof run->id, "%s", open->run);
    run->window = window;
    run->watched = open->open.watched;
    run->scalar_watch = watch_new_scalars(&run->watched);
    if (!run->scalar_watch || !add_member(run, open->open.writer, peer)) {
        run_free(run);
        return NULL;
    }
    return run;
}

void run_move(struct run *run, enum run_state state)
{
    static const bool allowed[RUN_STATE_COUNT][RUN_STATE_COUNT] = {
        [RUN_OPENING] = {[RUN_OPEN] = true, [RUN_OVER] = true},
        [RUN_OPEN] = {[RUN_LEAVING] = true, [RUN_OVER] = true},
        [RUN_LEAVING] = {[RUN_OPEN] = true, [RUN_OVER] = true},
    };

    assert(allowed[run->state][state]);
    run->state = state;
}

void run_free(struct run *run)
{
    if (!run)
        return;
    assert(run_is_quiet(run));
    LIST_EACH_SAFE(at, &run->journal)
    {
        struct journal_entry *entry = LIST_ENTRY(at, struct journal_entry, link);

        record_free(entry->record);
        run_remove_entry(run, entry);
    }
    LIST_EACH_SAFE(at, &run->layers)
    {
        layer_free(LIST_ENTRY(at, struct layer, link));
    }
    LIST_EACH_SAFE(at, &run->members)
    {
        member_free(LIST_ENTRY(at, struct member, link));
    }
    list_remove(&run->link);
    watch_free(run->scalar_watch);
    free(run);
}

int run_take_stored(struct run *run, struct open_result *result)
{
    struct member *opener = run_opener(run);

    run->run_key = result->run_key;
    run->attempt = result->attempt;
    opener->durable_seq = result->last_seq;
    opener->last_seq = result->last_seq;
    run->has_last_step = result->has_last_step;
    run->last_step = result->last_step;
    for (size_t i = 0; i < result->n_layers; i++) {
        struct stored_layer *stored = &result->layers[i];
        struct layer *layer = run_add_layer(run, stored->name, stored->p, stored->c);

        if (!layer)
            return -ENOMEM;
        layer_note_totals(layer, opener->place, stored->batch_seq, stored->rows_offered);
        layer_note_thinned(layer, opener->place, stored->rows_thinned);
        layer->probe = stored->probe;
        stored->probe = (struct probe){0};
        if (run->window.kind == WINDOW_CHECKPOINT) { /* of longer ones the old rows are missing */
            layer->window_offered = stored->rows_offered;
            layer->window_thinned = stored->rows_thinned;
        }
    }
    run->watching = result->created || run->watched.n + run->watched.n_scalars == 0 ? RUN_WATCHES
                                                                                    : RUN_HAS_PAST;
    run_move(run, RUN_OPEN);
    return 0;
}

struct member *run_opener(const struct run *run)
{
    return LIST_ENTRY(run->members.next, struct member, link);
}

struct layer *run_layer(const struct run *run, const char *name)
{
    LIST_EACH(at, &run->layers)
    {
        struct layer *layer = LIST_ENTRY(at, struct layer, link);

        if (strcmp(layer->name, name) == 0)
            return layer;
    }
    return NULL;
}

struct layer *run_add_layer(struct run *run, const char *name, uint32_t p, uint32_t c)
{
    struct layer *layer = layer_new(run, name, p, c, run->window, run->projector, &run->watched);

    if (layer) {
        layer->has_probe = run->has_probe;
        list_append(&run->layers, &layer->link);
        run->n_layers++;
    }
    return layer;
}

uint64_t run_held_bytes(const struct run *run)
{
    uint64_t sum = 0;

    LIST_EACH(at, &run->layers)
    {
        sum += LIST_ENTRY(at, struct layer, link)->held_bytes;
    }
    return sum;
}

struct journal_entry *run_add_entry(struct run *run, struct member *member, struct record *record,
                                    size_t n_marks)
{
    struct journal_entry *entry = calloc(1, sizeof *entry);

    if (!entry)
        return NULL;
    if (n_marks > 0) {
        entry->marks = calloc(n_marks, sizeof *entry->marks);
        if (!entry->marks) {
            free(entry);
            return NULL;
        }
    }
    entry->run = run;
    entry->member = member;
    entry->record = record;
    record->entry = entry;
    snprintf(record->run, sizeof record->run, "%s", run->id);
    record->run_key = run->run_key;
    record->attempt = run->attempt;
    list_append(&run->journal, &entry->link);
    run->n_journal++;
    return entry;
}

void run_store_ready(struct run *run, struct actions *out)
{
    if (run->n_lent > 0 || run->store_waits)
        return;
    LIST_EACH(at, &run->journal)
    {
        struct journal_entry *entry = LIST_ENTRY(at, struct journal_entry, link);
        struct action *action = entry->n_pending == 0 ? actions_add(out, ACT_STORE, 0) : NULL;

        if (!action)
            break;
        action->record = entry->record;
        entry->lent = true;
        run->n_lent++;
        if (entry->record->kind == RECORD_REPLAY)
            break; /* what it brings has to see what comes behind it */
    }
}

void run_remove_entry(struct run *run, struct journal_entry *entry)
{
    assert(!entry->lent && run->n_journal > 0);
    list_remove(&entry->link);
    run->n_journal--;
    free(entry->marks);
    free(entry);
}

bool run_is_quiet(const struct run *run)
{
    return run->n_jobs == 0 && run->n_lent == 0;
}

static bool has_marks(const struct run *run)
{
    LIST_EACH(at, &run->layers)
    {
        if (LIST_ENTRY(at, struct layer, link)->n_marks > 0)
            return true;
    }
    return false;
}

bool run_is_settled(const struct run *run)
{
    return run_is_quiet(run) && list_empty(&run->journal) && !has_marks(run);
}
