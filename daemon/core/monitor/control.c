#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Whether message `seq` may enter the journal now. */
static int check_turn(const struct member *member, uint64_t seq, struct nack *nack)
{
    if (member->run->n_journal >= RUN_UNSTORED_MAX)
        return nack_set(nack, NACK_EBUSY, "%d control messages wait for the disk",
                        RUN_UNSTORED_MAX);
    if (member->refused_seq > 0 && seq > member->refused_seq)
        return nack_set(nack, NACK_EBUSY, "a message before it was refused, and has to come first");
    return 0;
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
    if (seq > member->durable_seq && seq <= member->last_seq)
        return NULL; /* in the journal: its ack will come */
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

static void start_checkpoint(struct run *run, struct journal_entry *entry, bool spectrum,
                             struct actions *out)
{
    struct spectrum_wish wish = {0};

    if (entry->record->kind == RECORD_CHECKPOINT)
        wish = next_wish(run, spectrum);
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

static struct record *checkpoint_record(const struct run *run, const struct event *event,
                                        enum record_kind kind)
{
    struct record *record = record_new(kind, run->id);
    size_t n = kind == RECORD_CHECKPOINT ? event->checkpoint.n_layers : 0;

    if (!record)
        return NULL;
    record->seq = event->checkpoint.seq;
    record->step = event->checkpoint.step;
    record->implied = event->checkpoint.implied;
    record->time = event->checkpoint.time;
    for (int i = 0; i < METRIC_COUNT; i++)
        record->reported[i] =
            event->checkpoint.reported ? event->checkpoint.reported[i] : (double)NAN;
    if (n == 0)
        return record;
    record->points = calloc(n, sizeof *record->points);
    if (!record->points) {
        record_free(record);
        return NULL;
    }
    record->n_points = n;
    for (size_t i = 0; i < n; i++) {
        struct layer_point *point = &record->points[i];

        snprintf(point->layer, sizeof point->layer, "%s", event->checkpoint.layers[i].name);
        point->batch_seq = event->checkpoint.layers[i].seq;
        point->rows_offered = event->checkpoint.layers[i].rows;
        point->rows_thinned = event->checkpoint.layers[i].thinned;
        point->point.step = record->step;
        point->point.time = record->time;
    }
    return record;
}

/* The first layer of the checkpoint whose totals cannot be true, or NULL. */
static const char *find_false_total(const struct member *member, const struct event *event)
{
    for (size_t i = 0; i < event->checkpoint.n_layers; i++) {
        const struct checkpoint_layer *totals = &event->checkpoint.layers[i];
        const struct layer *layer = run_layer(member->run, totals->name);

        if (layer && !layer_totals_follow(layer, member->place, totals->seq, totals->rows))
            return totals->name;
    }
    return NULL;
}

static void refuse_totals(const struct member *member, uint64_t seq, const char *layer,
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

void monitor_on_checkpoint(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->checkpoint.seq, out);
    bool again = member && event->checkpoint.seq <= member->durable_seq;
    const char *wrong = member && !again ? find_false_total(member, event) : NULL;
    struct record *record;
    struct journal_entry *entry;

    if (!member)
        return;
    if (wrong) {
        refuse_totals(member, event->checkpoint.seq, wrong, out);
        return;
    }
    if (monitor_ask_past(member->run, event->checkpoint.step, event->checkpoint.implied, out) < 0) {
        refuse_without_memory(member, event->checkpoint.seq, out);
        return;
    }
    record = checkpoint_record(member->run, event, again ? RECORD_RECALL : RECORD_CHECKPOINT);
    entry = record ? run_add_entry(member->run, member, record, record->n_points) : NULL;
    if (!entry) {
        record_free(record);
        refuse_without_memory(member, event->checkpoint.seq, out);
        return;
    }
    note_taken(member, event->checkpoint.seq);
    start_checkpoint(member->run, entry, event->checkpoint.spectrum, out);
}

/* What holds for the whole run has no step, and begins nothing. */
static int ask_past_for(struct run *run, const struct record *log, struct actions *out)
{
    return log->kind == RECORD_LOG ? monitor_ask_past(run, log->step, log->implied, out) : 0;
}

void monitor_on_log(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->log->seq, out);
    struct run *run = member ? member->run : NULL;

    if (!run) {
        record_free(event->log);
        return;
    }
    if (event->log->seq <= member->durable_seq) {
        ack(event->peer, event->log->seq, out);
        record_free(event->log);
        return;
    }
    if (ask_past_for(run, event->log, out) < 0 || !run_add_entry(run, member, event->log, 0)) {
        refuse_without_memory(member, event->log->seq, out);
        record_free(event->log);
        return;
    }
    if (event->log->kind == RECORD_LOG)
        monitor_watch_log(run, event->log);
    note_taken(member, event->log->seq);
    run_store_ready(run, out);
}

/* A second close of the same sequence goes to the store like the first: it sets the same state. */
void monitor_on_close(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct member *member = member_for(monitor, event->peer, event->close.seq, out);
    struct run *run = member ? member->run : NULL;
    struct record *record = run ? record_new(RECORD_CLOSE, run->id) : NULL;

    if (!run)
        return;
    if (!record || !run_add_entry(run, member, record, 0)) {
        record_free(record);
        refuse_without_memory(member, event->close.seq, out);
        return;
    }
    record->seq = event->close.seq;
    record->failed = event->close.failed;
    record->time = event->time;
    note_taken(member, event->close.seq);
    if (run->state == RUN_OPEN)
        run_move(run, RUN_LEAVING);
    run_store_ready(run, out);
}
