#include "daemon/core/monitor/parts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the members of a run meet. All fold into the same windows, so a window ends where the mark
 * of a step enters the layers: when all who are expected have marked that step. A mark that waits
 * for others stays at the head of its member's queue, and what its member sends meanwhile stays
 * behind it: a batch there belongs to the next window.
 *
 *     take_in_turn   an entry goes to the end of its member's queue
 *     pump           takes from the queue, up to a mark that waits
 *     cut_marks      makes one checkpoint of the marks of a step, and pumps their members again
 *
 * Who is expected: a member that is open, and a rank that has not come. One that let the others
 * wait for too long is expected again from its next mark on; so is a rank when it comes. What comes
 * too late is acknowledged with the points of its step, and its rows are in the next window. */

/* ---- the queue of a member ----------------------------------------------------------------- */

static struct queued *front(const struct member *member)
{
    struct list *first = list_first(&member->waiting);

    return first ? LIST_ENTRY(first, struct queued, link) : NULL;
}

static struct journal_entry *as_entry(struct queued *queued)
{
    return LIST_ENTRY(queued, struct journal_entry, waiting);
}

/* The mark at the head of the member's queue: it waits for others. NULL: there is none. */
static struct journal_entry *mark_of(const struct member *member)
{
    struct queued *queued = front(member);

    return queued && queued->is_mark && as_entry(queued)->record->kind == RECORD_CHECKPOINT
               ? as_entry(queued)
               : NULL;
}

static void take_entry_out(struct member *member, struct journal_entry *entry)
{
    assert(member->run->n_waiting > 0);
    list_remove(&entry->waiting.link);
    member->run->n_waiting--;
    member->run->waiting_bytes -= entry->size_bytes;
}

static void drop_entry(struct member *member, struct journal_entry *entry)
{
    take_entry_out(member, entry);
    record_free(entry->record);
    run_free_entry(entry);
}

static struct batch *take_batch_out(struct monitor *monitor, struct member *member,
                                    struct queued *queued)
{
    struct batch *batch = LIST_ENTRY(queued, struct batch, queued);

    list_remove(&queued->link);
    member->waiting_bytes -= batch->size_bytes;
    member->held_bytes -= batch->size_bytes;
    monitor->stats.buffered_bytes -= batch->size_bytes;
    return batch;
}

void monitor_drop_waiting(struct monitor *monitor, struct member *member, struct actions *out)
{
    LIST_EACH_SAFE(at, &member->waiting)
    {
        struct queued *queued = LIST_ENTRY(at, struct queued, link);

        if (queued->is_mark)
            drop_entry(member, as_entry(queued));
        else
            actions_release_batch(out, take_batch_out(monitor, member, queued));
    }
}

bool monitor_waits(const struct member *member)
{
    return !list_empty(&member->waiting);
}

void monitor_let_wait(struct monitor *monitor, struct member *member, struct batch *batch)
{
    batch->queued.is_mark = false;
    batch->member = member;
    list_append(&member->waiting, &batch->queued.link);
    member->waiting_bytes += batch->size_bytes;
    member->held_bytes += batch->size_bytes;
    monitor->stats.buffered_bytes += batch->size_bytes;
}

/* ---- a mark -------------------------------------------------------------------------------- */

/* The step was measured, and the member did not go back to an earlier one. A second mark of a step
 * counts as late, or it would put a point of few rows in the place of a whole one. */
static bool is_late(const struct run *run, const struct member *member, int64_t step)
{
    return run->has_cut && step <= run->cut_step && step >= member->last_step;
}

/* What the member had offered up to its mark. */
static void note_totals(const struct member *member, const struct claims *claims)
{
    for (size_t i = 0; i < claims->n; i++) {
        const struct checkpoint_layer *claim = &claims->layers[i];
        struct layer *layer = run_layer(member->run, claim->name);

        if (!layer)
            continue;
        layer_note_totals(layer, member->place, claim->seq, claim->rows);
        layer_note_thinned(layer, member->place, claim->thinned);
    }
}

static void take_late_mark(struct member *member, struct journal_entry *entry, struct actions *out)
{
    struct run *run = member->run;

    note_totals(member, entry->claims);
    take_entry_out(member, entry);
    member->last_step = entry->record->step;
    entry->record->kind = RECORD_RECALL;
    record_drop_points(entry->record);
    run_append_entry(run, entry);
    run_store_ready(run, out);
}

/* Whether the mark is dealt with: else it waits for others. */
static bool take_mark(struct member *member, struct journal_entry *entry, struct actions *out)
{
    const char *wrong = monitor_find_false_total(member, entry->claims->layers, entry->claims->n);

    if (wrong) {
        monitor_refuse_totals(member, entry->record->seq, wrong, out);
        drop_entry(member, entry);
        return true;
    }
    member->expected = true;
    if (!is_late(member->run, member, entry->record->step))
        return false;
    take_late_mark(member, entry, out);
    return true;
}

static void pump(struct monitor *monitor, struct member *member, struct actions *out)
{
    LIST_EACH_SAFE(at, &member->waiting)
    {
        struct queued *queued = LIST_ENTRY(at, struct queued, link);
        struct journal_entry *entry = queued->is_mark ? as_entry(queued) : NULL;

        if (!entry) {
            monitor_take_batch(monitor, member, take_batch_out(monitor, member, queued), out);
        } else if (entry->record->kind != RECORD_CHECKPOINT) {
            take_entry_out(member, entry);
            monitor_take_entry(entry, out);
        } else if (!take_mark(member, entry, out)) {
            return;
        }
    }
}

void monitor_take_in_turn(struct monitor *monitor, struct journal_entry *entry, struct actions *out)
{
    struct member *member = entry->member;
    bool waits = monitor_waits(member);

    list_append(&member->waiting, &entry->waiting.link);
    member->run->n_waiting++;
    entry->size_bytes = run_entry_bytes(entry);
    member->run->waiting_bytes += entry->size_bytes;
    if (waits)
        return; /* behind a mark, and changes nothing for it */
    pump(monitor, member, out);
    monitor_cut_marks(monitor, member->run, out);
}

/* ---- all marks of a step ------------------------------------------------------------------- */

static bool is_awaited(const struct member *member)
{
    return member->expected && (member->state == MEMBER_OPEN || member->state == MEMBER_AWAY);
}

/* What the members' queues say. */
struct meeting {
    struct journal_entry *first; /* of the lowest step, the mark of the lowest rank; or NULL */
    size_t n_marks;              /* of its step */
    bool all_came;               /* nobody is awaited who has no mark */
    bool overdue;                /* a mark waited for too long */
};

static bool comes_before(const struct journal_entry *a, const struct journal_entry *b)
{
    if (a->record->step != b->record->step)
        return a->record->step < b->record->step;
    return a->member->rank < b->member->rank;
}

static void note_mark(const struct monitor *monitor, struct journal_entry *mark,
                      struct meeting *meeting)
{
    if (!meeting->first || mark->record->step < meeting->first->record->step)
        meeting->n_marks = 0;
    if (!meeting->first || comes_before(mark, meeting->first))
        meeting->first = mark;
    meeting->n_marks += mark->record->step == meeting->first->record->step;
    if (mark->run->n_ticks - mark->came_at_tick > monitor->config.ranks_wait_ticks)
        meeting->overdue = true;
}

static struct meeting meet(const struct monitor *monitor, const struct run *run)
{
    struct meeting meeting = {.all_came = !run->waits_for_world || run->n_members >= run->world,
                              .overdue = monitor->draining};

    LIST_EACH(at, &run->members)
    {
        const struct member *member = LIST_ENTRY(at, struct member, link);
        struct journal_entry *mark = mark_of(member);

        if (mark)
            note_mark(monitor, mark, &meeting);
        else if (is_awaited(member))
            meeting.all_came = false;
    }
    return meeting;
}

/* From here on nobody waits for those who let others wait. */
static void expect_less(struct run *run)
{
    run->waits_for_world = false;
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);

        if (!mark_of(member))
            member->expected = false;
    }
}

/* Gives the first mark its points, of the layers that any of them names, and room for what the
 * others say. Returns 0, or -1 without memory: it can be tried again. */
static int make_room(struct run *run, const struct meeting *meeting)
{
    struct record *record = meeting->first->record;
    size_t n_points;
    struct mark *marks;
    void *senders, *totals;

    if (monitor_add_points(record, meeting->first->claims->layers, meeting->first->claims->n) < 0)
        return -1;
    LIST_EACH(at, &run->members)
    {
        const struct journal_entry *mark = mark_of(LIST_ENTRY(at, struct member, link));

        if (mark && mark != meeting->first && mark->record->step == record->step &&
            monitor_add_points(record, mark->claims->layers, mark->claims->n) < 0)
            return -1;
    }
    n_points = record->n_points;
    marks = calloc(n_points + 1, sizeof *marks);
    senders = calloc(meeting->n_marks, sizeof *record->senders);
    totals = calloc(n_points * run->n_members + 1, sizeof *record->totals);
    if (!marks || !senders || !totals) {
        free(marks);
        free(senders);
        free(totals);
        return -1;
    }
    free(meeting->first->marks);
    free(record->senders);
    free(record->totals);
    meeting->first->marks = marks;
    record->senders = senders;
    record->totals = totals;
    record->n_senders = record->n_totals = 0;
    return 0;
}

/* Of the measures of the whole network, which the ranks share, the lowest rank that has one. */
static void add_reported(struct record *record, const struct record *other)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (isnan(record->reported[i]))
            record->reported[i] = other->reported[i];
    }
}

/* The member's mark becomes a part of the first one. */
static void merge(struct member *member, struct journal_entry *mark, struct journal_entry *first)
{
    struct record *record = first->record;

    note_totals(member, mark->claims);
    member->last_step = record->step;
    record->senders[record->n_senders++] = (struct record_sender){
        .rank = member->rank, .seq = mark->record->seq, .member = member, .epoch = member->epoch};
    if (mark == first) {
        take_entry_out(member, mark);
        return;
    }
    first->asks_spectrum |= mark->asks_spectrum;
    add_reported(record, mark->record);
    drop_entry(member, mark);
}

/* How far each member has come, marked or not: there begins the next window. */
static void note_windows(const struct run *run, struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer *layer = run_layer(run, record->points[i].layer);

        LIST_EACH(at, &run->members)
        {
            const struct member *member = LIST_ENTRY(at, struct member, link);
            const struct source *source = layer ? &layer->sources[member->place] : NULL;

            if (!source || source->last_seq == 0)
                continue;
            record->totals[record->n_totals++] = (struct record_total){
                .point = i,
                .rank = member->rank,
                .batch_seq = source->last_seq,
                .rows_offered = source->rows_offered,
                .rows_thinned = source->rows_thinned,
            };
        }
    }
}

static void pump_those_at(struct monitor *monitor, struct run *run, int64_t step,
                          struct actions *out)
{
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);

        if (member->last_step == step)
            pump(monitor, member, out);
    }
}

static int cut(struct monitor *monitor, struct run *run, const struct meeting *meeting,
               struct actions *out)
{
    struct journal_entry *first = meeting->first;
    int64_t step = first->record->step;

    if (make_room(run, meeting) < 0)
        return -1;
    LIST_EACH(at, &run->members)
    {
        struct member *member = LIST_ENTRY(at, struct member, link);
        struct journal_entry *mark = mark_of(member);

        if (mark && mark->record->step == step)
            merge(member, mark, first);
    }
    note_windows(run, first->record);
    first->ranks_missing = run->world - meeting->n_marks;
    run->has_cut = true;
    run->cut_step = step;
    run_append_entry(run, first);
    monitor_start_checkpoint(run, first, out);
    pump_those_at(monitor, run, step, out);
    return 0;
}

void monitor_cut_marks(struct monitor *monitor, struct run *run, struct actions *out)
{
    if (run->state != RUN_OPEN && run->state != RUN_LEAVING)
        return;
    for (;;) {
        struct meeting meeting = meet(monitor, run);

        if (!meeting.first || (!meeting.all_came && !meeting.overdue))
            return;
        if (!meeting.all_came)
            expect_less(run);
        if (cut(monitor, run, &meeting, out) < 0)
            return; /* the next tick tries again */
    }
}
