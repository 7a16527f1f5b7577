#include "daemon/core/monitor/parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not now. What is on disk is a prefix of what was sent, so later ones have to wait for it. */
static void refuse_for_now(struct member *member, uint64_t seq, struct nack *nack,
                           struct actions *out)
{
    if (seq > member->last_seq && (member->refused_seq == 0 || seq < member->refused_seq))
        member->refused_seq = seq;
    err_prefix(&nack->why, 0, "run %s: ", member->run->id);
    nack->seq = seq;
    actions_refuse(out, member->peer, nack);
}

static void refuse_without_memory(struct member *member, uint64_t seq, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EBUSY, "the daemon is out of memory");
    refuse_for_now(member, seq, &nack, out);
}

/* Whether message `seq` may enter the journal now. What waits for a mark counts for those who wait
 * themselves alone: it must not keep the mark away. */
static int check_turn(const struct member *member, uint64_t seq, struct nack *nack)
{
    const struct run *run = member->run;
    bool waits = monitor_waits(member);
    size_t n = run->n_journal + (waits ? run->n_waiting : 0);
    size_t bytes = run->journal_bytes + (waits ? run->waiting_bytes : 0);

    if (n >= RUN_UNSTORED_MAX || bytes >= RUN_UNSTORED_BYTES_MAX)
        return nack_set(nack, NACK_EBUSY,
                        "%zu control messages wait for the disk, of %d or %u MiB at most", n,
                        RUN_UNSTORED_MAX, RUN_UNSTORED_BYTES_MAX >> 20);
    if (member->refused_seq > 0 && seq > member->refused_seq)
        return nack_set(nack, NACK_EBUSY, "a message before it was refused, and has to come first");
    return 0;
}

static bool speaks_for(const struct record *record, const struct member *member, uint64_t seq)
{
    for (size_t i = 0; i < record->n_senders; i++) {
        const struct record_sender *sender = &record->senders[i];

        if (sender->member == member && sender->epoch == member->epoch && sender->seq == seq)
            return true;
    }
    return record->n_senders == 0 && record->seq == seq;
}

/* Whether the message is in the journal or waits, so that its ack will come. One that was refused
 * in its turn is not. */
static bool is_pending(const struct member *member, uint64_t seq)
{
    LIST_EACH(at, &member->run->journal)
    {
        if (speaks_for(LIST_ENTRY(at, struct journal_entry, link)->record, member, seq))
            return true;
    }
    LIST_EACH(at, &member->waiting)
    {
        struct queued *queued = LIST_ENTRY(at, struct queued, link);

        if (queued->is_mark &&
            LIST_ENTRY(queued, struct journal_entry, waiting)->record->seq == seq)
            return true;
    }
    return false;
}

/* The store would take it for one that it has. */
static void refuse_out_of_turn(const struct member *member, uint64_t seq, struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EPROTO,
             "run %s: message %" PRIu64 " comes behind message %" PRIu64 ", which was taken",
             member->run->id, seq, member->last_seq);
    nack.seq = seq;
    actions_refuse(out, member->peer, &nack);
}

/* The member of the peer, if it may send control message `seq` now; NULL when it was answered. */
static struct member *member_for(struct monitor *monitor, peer_id peer, uint64_t seq,
                                 struct actions *out)
{
    struct member *member = monitor_member_of_peer(monitor, peer);
    struct run *run = member ? member->run : NULL;
    struct nack nack;

    if (!run || (run->state != RUN_OPEN && run->state != RUN_LEAVING)) {
        monitor_refuse_not_open(peer, out);
        return NULL;
    }
    if (seq > member->durable_seq && seq <= member->last_seq && is_pending(member, seq))
        return NULL;
    if (seq > member->durable_seq && seq < member->last_seq) {
        refuse_out_of_turn(member, seq, out);
        return NULL;
    }
    if (check_turn(member, seq, &nack) == 0)
        return member;
    refuse_for_now(member, seq, &nack, out);
    return NULL;
}

/* The message is in the journal. */
static void note_taken(struct member *member, uint64_t seq)
{
    if (seq > member->last_seq)
        member->last_seq = seq;
    if (seq >= member->refused_seq)
        member->refused_seq = 0;
}

static void ack(peer_id peer, uint64_t seq, struct actions *out)
{
    struct action *action = actions_add(out, ACT_ACK, peer);

    if (action)
        action->seq = seq;
}

/* Puts a mark into the layer's FIFO for point `i` of the entry. */
static void push_mark(struct journal_entry *entry, struct layer *layer, size_t i,
                      struct spectrum_wish wish)
{
    struct layer_point *point = &entry->record->points[i];
    struct mark *mark = &entry->marks[i];

    mark->entry = entry;
    mark->point = &point->point;
    mark->spectrum = &point->spectrum;
    mark->probe = &point->probe;
    mark->representation = &point->representation;
    mark->problem = &point->probe_problem;
    mark->wish = wish;
    layer_note_totals(layer, entry->member->place, point->batch_seq, point->rows_offered);
    layer_note_thinned(layer, entry->member->place, point->rows_thinned);
    entry->n_pending++;
    layer_push_mark(layer, mark);
}

/* The first checkpoint has one, so that a run's beginning is there to compare with. */
static struct spectrum_wish next_wish(struct run *run, bool asked)
{
    uint64_t n = run->n_checkpoints++;

    return (struct spectrum_wish){
        .wanted = asked || (run->spectrum.every > 0 && n % run->spectrum.every == 0),
        .uncentred = run->spectrum.uncentred,
        .leading = run->spectrum.leading,
    };
}

void monitor_start_checkpoint(struct run *run, struct journal_entry *entry, struct actions *out)
{
    struct spectrum_wish wish = {0};

    if (entry->record->kind == RECORD_CHECKPOINT)
        wish = next_wish(run, entry->asks_spectrum);
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *layer = run_layer(run, entry->record->points[i].layer);

        if (layer)
            push_mark(entry, layer, i, wish);
        else
            /* its window begins with the attempt */
            entry->record->points[i].rows_offered = entry->record->points[i].rows_thinned = 0;
    }
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *layer = run_layer(run, entry->record->points[i].layer);

        if (layer)
            monitor_start_job(run, layer, out);
    }
    run_store_ready(run, out);
}

static bool names_layer(const struct record *record, const char *layer, size_t hint)
{
    if (hint < record->n_points && strcmp(record->points[hint].layer, layer) == 0)
        return true;
    for (size_t i = 0; i < record->n_points; i++) {
        if (strcmp(record->points[i].layer, layer) == 0)
            return true;
    }
    return false;
}

static void add_point(struct record *record, const struct checkpoint_layer *layer)
{
    struct layer_point *point = &record->points[record->n_points++];

    memset(point, 0, sizeof *point);
    snprintf(point->layer, sizeof point->layer, "%s", layer->name);
    point->batch_seq = layer->seq;
    point->rows_offered = layer->rows;
    point->rows_thinned = layer->thinned;
    point->point.step = record->step;
    point->point.time = record->time;
}

int monitor_add_points(struct record *record, const struct checkpoint_layer *layers, size_t n)
{
    size_t n_after = record->n_points;
    struct layer_point *points;

    for (size_t i = 0; i < n; i++)
        n_after += !names_layer(record, layers[i].name, i);
    if (n_after > RUN_LAYERS_MAX)
        n_after = RUN_LAYERS_MAX;
    if (n_after <= record->n_points)
        return 0;
    points = realloc(record->points, n_after * sizeof *points);
    if (!points)
        return -ENOMEM;
    record->points = points;
    for (size_t i = 0; i < n && record->n_points < n_after; i++) {
        if (!names_layer(record, layers[i].name, i))
            add_point(record, &layers[i]);
    }
    return 0;
}

static struct record *checkpoint_record(const struct run *run, const struct event *event,
                                        enum record_kind kind)
{
    struct record *record = record_new(kind, run->id);

    if (!record)
        return NULL;
    record->seq = event->checkpoint.seq;
    record->step = event->checkpoint.step;
    record->implied = event->checkpoint.implied;
    record->time = event->checkpoint.time;
    for (int i = 0; i < METRIC_COUNT; i++)
        record->reported[i] =
            event->checkpoint.reported ? event->checkpoint.reported[i] : (double)NAN;
    return record;
}

const char *monitor_find_false_total(const struct member *member,
                                     const struct checkpoint_layer *layers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct layer *layer = run_layer(member->run, layers[i].name);

        if (layer && !layer_totals_follow(layer, member->place, layers[i].seq, layers[i].rows))
            return layers[i].name;
    }
    return NULL;
}

void monitor_refuse_totals(const struct member *member, uint64_t seq, const char *layer,
                           struct actions *out)
{
    struct nack nack;

    nack_set(&nack, NACK_EPROTO,
             "run %s, checkpoint %" PRIu64 ": the totals of layer %s do not follow "
             "those of the batches before it",
             member->run->id, seq, layer);
    nack.seq = seq;
    snprintf(nack.layer, sizeof nack.layer, "%s", layer);
    actions_refuse(out, member->peer, &nack);
}

/* ---- taking a message --------------------------------------------------------------------- */

void monitor_take_entry(struct journal_entry *entry, struct actions *out)
{
    struct run *run = entry->run;

    run_append_entry(run, entry);
    switch (entry->record->kind) {
    case RECORD_CHECKPOINT:
        monitor_start_checkpoint(run, entry, out);
        return;
    case RECORD_LOG:
        monitor_watch_log(run, entry->record);
        break;
    case RECORD_CLOSE:
        if (run->launch)
            monitor_leave(entry->member, MEMBER_CLOSED);
        else if (run->state == RUN_OPEN)
            run_move(run, RUN_LEAVING);
        break;
    default:
        break;
    }
    run_store_ready(run, out);
}

/* The entry is the member's next. */
static void take(struct monitor *monitor, struct journal_entry *entry, struct actions *out)
{
    note_taken(entry->member, entry->record->seq);
    if (entry->run->launch)
        monitor_take_in_turn(monitor, entry, out);
    else
        monitor_take_entry(entry, out);
}

/* The points of a checkpoint that is on disk, once more. */
static void recall(struct member *member, const struct event *event, struct actions *out)
{
    struct record *record = checkpoint_record(member->run, event, RECORD_RECALL);

    if (!record || !run_add_entry(member->run, member, record, 0)) {
        record_free(record);
        refuse_without_memory(member, event->checkpoint.seq, out);
        return;
    }
    run_store_ready(member->run, out);
}

/* Points at once, or where the mark may have to wait for others what they are made of. */
static struct journal_entry *make_entry(struct member *member, const struct event *event,
                                        struct record *record)
{
    const struct checkpoint_layer *layers = event->checkpoint.layers;
    size_t n = event->checkpoint.n_layers;
    bool waits = member->run->launch;
    struct claims *claims = waits ? claims_new(layers, n) : NULL;
    struct journal_entry *entry = NULL;

    if (waits ? claims != NULL : monitor_add_points(record, layers, n) == 0)
        entry = run_new_entry(member->run, member, record, record->n_points);
    if (entry)
        entry->claims = claims;
    else
        free(claims);
    return entry;
}

/* Its entry, whose record is good; NULL when it was refused. */
static struct journal_entry *checkpoint_entry(struct member *member, const struct event *event,
                                              struct actions *out)
{
    const char *wrong = monitor_waits(member)
                            ? NULL
                            : monitor_find_false_total(member, event->checkpoint.layers,
                                                       event->checkpoint.n_layers);
    struct run *run = member->run;
    struct journal_entry *entry = NULL;
    struct record *record;

    if (wrong) {
        monitor_refuse_totals(member, event->checkpoint.seq, wrong, out);
        return NULL;
    }
    record = checkpoint_record(run, event, RECORD_CHECKPOINT);
    if (record &&
        monitor_ask_past(run, event->checkpoint.step, event->checkpoint.implied, out) == 0)
        entry = make_entry(member, event, record);
    if (entry)
        return entry;
    record_free(record);
    refuse_without_memory(member, event->checkpoint.seq, out);
    return NULL;
}

void monitor_on_checkpoint(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->checkpoint.seq, out);
    struct journal_entry *entry;

    if (!member)
        return;
    if (event->checkpoint.seq <= member->durable_seq) {
        recall(member, event, out);
        return;
    }
    entry = checkpoint_entry(member, event, out);
    if (!entry)
        return;
    entry->asks_spectrum = event->checkpoint.spectrum;
    take(monitor, entry, out);
}

/* What holds for the whole run has no step, and begins nothing. */
static int ask_past_for(struct run *run, const struct record *log, struct actions *out)
{
    return log->kind == RECORD_LOG ? monitor_ask_past(run, log->step, log->implied, out) : 0;
}

void monitor_on_log(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->log->seq, out);
    struct journal_entry *entry = NULL;

    if (!member) {
        record_free(event->log);
        return;
    }
    if (event->log->seq <= member->durable_seq) {
        ack(event->peer, event->log->seq, out);
        record_free(event->log);
        return;
    }
    if (ask_past_for(member->run, event->log, out) == 0)
        entry = run_new_entry(member->run, member, event->log, 0);
    if (!entry) {
        refuse_without_memory(member, event->log->seq, out);
        record_free(event->log);
        return;
    }
    take(monitor, entry, out);
}

/* A second close of the same sequence goes to the store like the first: it sets the same state. */
void monitor_on_close(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->close.seq, out);
    struct record *record = member ? record_new(RECORD_CLOSE, member->run->id) : NULL;
    struct journal_entry *entry = NULL;

    if (!member)
        return;
    if (record) {
        record->seq = event->close.seq;
        record->failed = event->close.failed;
        record->time = event->time;
        entry = run_new_entry(member->run, member, record, 0);
    }
    if (!entry) {
        record_free(record);
        refuse_without_memory(member, event->close.seq, out);
        return;
    }
    take(monitor, entry, out);
}
