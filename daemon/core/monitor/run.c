#include "daemon/core/monitor/run.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct member *run_add_member(struct run *run, uint32_t rank, const char *writer, peer_id peer)
{
    struct member *member;

    LIST_EACH(at, &run->layers)
    {
        if (layer_reserve_sources(LIST_ENTRY(at, struct layer, link), run->n_members + 1) < 0)
            return NULL;
    }
    member = member_new(run, writer, peer);
    if (!member)
        return NULL;
    member->rank = rank;
    member->place = run->n_members++;
    list_append(&run->members, &member->link);
    return member;
}

int run_renew_member(struct run *run, struct member *member, const char *writer)
{
    char *copy = strdup(writer);

    if (!copy)
        return -ENOMEM;
    free(member->writer);
    member->writer = copy;
    member->epoch++;
    member->joined = member->takes_over = member->was_welcomed = false;
    member->durable_seq = member->last_seq = member->refused_seq = 0;
    member->last_step = -1;
    LIST_EACH(at, &run->layers)
    {
        layer_forget_source(LIST_ENTRY(at, struct layer, link), member->place);
    }
    return 0;
}

static int copy_texts(struct run *run, const struct record_open *open)
{
    run->project = open->project ? strdup(open->project) : NULL;
    if (open->project && !run->project)
        return -ENOMEM;
    if (!open->launch)
        return 0;
    run->launch = strdup(open->launch);
    run->world = open->world;
    run->waits_for_world = true;
    return run->launch ? 0 : -ENOMEM;
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
    if (!run->scalar_watch || copy_texts(run, &open->open) < 0 ||
        !run_add_member(run, open->open.rank, open->open.writer, peer)) {
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
    free(run->launch);
    free(run->project);
    free(run);
}

/* Its rank has another writer by now. */
static int give_back(struct member *member, const char *writer)
{
    if (run_renew_member(member->run, member, writer) < 0)
        return -ENOMEM;
    member->is_fenced = true;
    member->state = MEMBER_AWAY;
    return 0;
}

/* The member that has come already, where it has the rank: the older one was welcomed before. */
static struct member *settle_writer(struct run *run, const struct stored_member *stored)
{
    struct member *member = run_member(run, stored->rank);

    if (!member) {
        member = run_add_member(run, stored->rank, stored->writer, 0);
        if (member)
            member->state = MEMBER_AWAY;
    } else if (strcmp(member->writer, stored->writer) == 0) {
        member->takes_over = false;
    } else if (!member->was_welcomed) {
        member->takes_over = true;
    } else if (give_back(member, stored->writer) < 0) {
        return NULL;
    }
    return member;
}

/* What the store knows of a member that has come already, or that has to come again. */
static int take_member(struct run *run, const struct stored_member *stored)
{
    struct member *member = settle_writer(run, stored);

    if (!member)
        return -ENOMEM;
    if (member->takes_over)
        return 0; /* and begins again */
    if (member->state == MEMBER_AWAY) {
        member->expected = !stored->closed;
        if (stored->closed)
            member_move(member, MEMBER_CLOSED);
    }
    member->joined |= stored->closed; /* and stays so: what comes is its last word again */
    member->durable_seq = member->last_seq = stored->last_seq;
    member->last_step = stored->last_step;
    return 0;
}

/* The members of the store, and where the windows of their layers begin. */
static int take_members(struct run *run, const struct open_result *result)
{
    for (size_t i = 0; i < result->n_members; i++) {
        const struct stored_member *stored = &result->members[i];

        if (take_member(run, stored) < 0)
            return -ENOMEM;
    }
    run->has_cut = result->has_cut;
    run->cut_step = result->cut_step;
    return 0;
}

static void take_totals(struct run *run, const struct open_result *result)
{
    for (size_t i = 0; i < result->n_totals; i++) {
        const struct stored_total *total = &result->totals[i];
        const struct stored_member *stored = &result->members[total->member];
        const struct member *member = run_member(run, stored->rank);
        struct layer *layer = run_layer(run, result->layers[total->layer].name);

        if (strcmp(member->writer, stored->writer) != 0)
            continue;
        layer_note_totals(layer, member->place, total->batch_seq, total->rows_offered);
        layer_note_thinned(layer, member->place, total->rows_thinned);
    }
    LIST_EACH(at, &run->layers)
    {
        struct layer *layer = LIST_ENTRY(at, struct layer, link);

        if (run->window.kind == WINDOW_CHECKPOINT) { /* of longer ones the old rows are missing */
            layer->window_offered = layer->rows_offered;
            layer->window_thinned = layer->rows_thinned;
        }
    }
}

int run_take_stored(struct run *run, struct open_result *result)
{
    struct member *opener = run_opener(run);

    run->run_key = result->run_key;
    run->attempt = result->attempt;
    run->is_older = result->is_older;
    opener->joined = opener->epoch == 0; /* else another writer has its rank by now */
    if (!run->launch)
        opener->durable_seq = opener->last_seq = result->last_seq;
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
    }
    if (take_members(run, result) < 0)
        return -ENOMEM;
    take_totals(run, result);
    run->watching = result->created || run->watched.n + run->watched.n_scalars == 0 ? RUN_WATCHES
                                                                                    : RUN_HAS_PAST;
    run_move(run, RUN_OPEN);
    return 0;
}

struct member *run_opener(const struct run *run)
{
    return LIST_ENTRY(run->members.next, struct member, link);
}

struct member *run_member(const struct run *run, uint32_t rank)
{
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);

        if (member->rank == rank)
            return member;
    }
    return NULL;
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

    if (layer && layer_reserve_sources(layer, run->n_members) < 0) {
        layer_free(layer);
        layer = NULL;
    }
    if (layer) {
        layer->has_probe = run->has_probe;
        layer->follows_p = run->follows_p;
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

/* Without members the record's own number says all. */
static int add_sender(struct record *record, struct member *member)
{
    if (!member || !member->run->launch)
        return 0;
    record->senders = calloc(1, sizeof *record->senders);
    if (!record->senders)
        return -ENOMEM;
    record->n_senders = 1;
    record->senders[0] = (struct record_sender){
        .rank = member->rank, .seq = record->seq, .member = member, .epoch = member->epoch};
    return 0;
}

struct journal_entry *run_new_entry(struct run *run, struct member *member, struct record *record,
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
    if (add_sender(record, member) < 0) {
        free(entry->marks);
        free(entry);
        return NULL;
    }
    list_init(&entry->link);
    entry->waiting.is_mark = true;
    list_init(&entry->waiting.link);
    entry->came_at_tick = run->n_ticks;
    entry->run = run;
    entry->member = member;
    entry->record = record;
    record->entry = entry;
    snprintf(record->run, sizeof record->run, "%s", run->id);
    record->run_key = run->run_key;
    record->attempt = run->attempt;
    return entry;
}

size_t run_entry_bytes(const struct journal_entry *entry)
{
    return sizeof *entry + record_size(entry->record) +
           entry->record->n_points * sizeof *entry->marks +
           (entry->claims ? entry->claims->size_bytes : 0);
}

void run_free_entry(struct journal_entry *entry)
{
    free(entry->claims);
    free(entry->marks);
    free(entry);
}

void run_append_entry(struct run *run, struct journal_entry *entry)
{
    list_append(&run->journal, &entry->link);
    run->n_journal++;
    entry->number = ++run->n_entries;
    entry->size_bytes = run_entry_bytes(entry);
    run->journal_bytes += entry->size_bytes;
}

/* The entry behind that one, or where it has left the journal the first that is not lent. */
static struct list *place_behind(struct run *run, uint64_t number)
{
    struct list *place = NULL;

    LIST_EACH(at, &run->journal)
    {
        const struct journal_entry *entry = LIST_ENTRY(at, struct journal_entry, link);

        if (entry->number == number)
            return at->next;
        if (!entry->lent && !place)
            place = at;
    }
    return place ? place : &run->journal;
}

void run_put_behind(struct run *run, struct journal_entry *entry, uint64_t number)
{
    struct list *place = place_behind(run, number);

    run_append_entry(run, entry);
    list_remove(&entry->link);
    list_append(place, &entry->link);
}

struct journal_entry *run_add_entry(struct run *run, struct member *member, struct record *record,
                                    size_t n_marks)
{
    struct journal_entry *entry = run_new_entry(run, member, record, n_marks);

    if (entry)
        run_append_entry(run, entry);
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
    run->journal_bytes -= entry->size_bytes;
    run_free_entry(entry);
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
    return run_is_quiet(run) && list_empty(&run->journal) && run->n_waiting == 0 && !has_marks(run);
}
