#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A batch number or row count that jumps by more is a mistake, not a loss. */
#define MAX_JUMP (UINT64_C(1) << 40)

/* ---- batches ------------------------------------------------------------------------------- */

void monitor_refuse_batch(struct monitor *monitor, struct run *run, struct batch *batch,
                          enum nack_code code, const char *text, struct actions *out)
{
    struct nack *nack = run->peer ? actions_add_nack(out, run->peer, code) : NULL;

    monitor->stats.batches_refused++;
    if (!nack)
        return;
    err_set(&nack->why, 0, "run %s, layer %s, batch %" PRIu64 ": %s", run->id, batch->layer,
            batch->seq, text);
    snprintf(nack->layer, sizeof nack->layer, "%s", batch->layer);
    nack->batch = batch->seq;
}

void monitor_release_batch(struct batch *batch, struct actions *out)
{
    list_append(&out->released, &batch->queued.link);
}

/* The action comes first: a job that cannot be handed out must not start. */
void monitor_pump(struct run *run, struct layer *layer, struct actions *out)
{
    struct action *action = actions_add(out, ACT_JOB, run->peer);

    if (!action)
        return;
    action->job = layer_start(layer);
    if (action->job)
        run->n_jobs++;
    else
        out->n--;
}

/* Folds what is queued without waiting for full blocks. */
void monitor_flush(struct run *run, struct actions *out)
{
    LIST_EACH(at, &run->layers)
    {
        struct layer *layer = LIST_ENTRY(at, struct layer, link);

        layer->flush = !list_empty(&layer->queue);
        monitor_pump(run, layer, out);
    }
}

/* The layer the batch belongs to, made by its first batch; NULL when it is refused. */
static struct layer *layer_for(struct monitor *monitor, struct run *run, struct batch *batch,
                               struct actions *out)
{
    struct layer *layer = run_layer(run, batch->layer);
    bool makes_probe = run->has_probe && (!layer || layer->probe.n == 0);
    double size = layer_size_bytes(batch, monitor->config.n_workers, makes_probe);
    struct err why;

    if (layer && layer->p == 0) { /* the store knows its name and totals alone */
        layer->p = batch->p;
        layer->c = batch->c;
    }
    if (layer && (layer->p != batch->p || layer->c != batch->c)) {
        err_set(&why, 0,
                "has %" PRIu32 " features and %" PRIu32 " outputs, the layer has %" PRIu32
                " and %" PRIu32,
                batch->p, batch->c, layer->p, layer->c);
        monitor_refuse_batch(monitor, run, batch, NACK_ESHAPE, why.text, out);
        return NULL;
    }
    if (!layer && run->n_layers >= RUN_LAYERS_MAX) {
        monitor_refuse_batch(monitor, run, batch, NACK_EPROTO,
                             "the run has 1024 layers, no more are taken", out);
        return NULL;
    }
    if (layer && layer->has_memory && !layer_targets_match(layer, batch)) {
        err_set(&why, 0, "has %" PRIu32 " targets, the layer has %" PRIu32 " %s", batch->k,
                layer->k, layer->targets_are_labels ? "classes" : "values");
        monitor_refuse_batch(monitor, run, batch, NACK_ESHAPE, why.text, out);
        return NULL;
    }
    if (layer && layer->has_memory && !layer_outputs_match(layer, batch)) {
        monitor_refuse_batch(monitor, run, batch, NACK_ESHAPE,
                             layer->head
                                 ? "has outputs, the layer's are made by its head"
                                 : "leaves its outputs to a head, the layer's come with rows",
                             out);
        return NULL;
    }
    if (layer && layer->has_memory)
        return layer;
    if (monitor->state_bytes + size > monitor->config.state_bytes) {
        err_set(&why, 0, "the layer needs %.1f MiB, %.1f of the %.1f MiB for all layers are in use",
                size / 0x1p20, monitor->state_bytes / 0x1p20, monitor->config.state_bytes / 0x1p20);
        monitor_refuse_batch(monitor, run, batch, NACK_EBUSY, why.text, out);
        return NULL;
    }
    if (!layer)
        layer = run_add_layer(run, batch->layer, batch->p, batch->c);
    if (!layer || layer_allocate(layer, batch, monitor->config.n_workers) < 0) {
        monitor_refuse_batch(monitor, run, batch, NACK_EBUSY, "the daemon is out of memory", out);
        return NULL;
    }
    monitor->state_bytes += size;
    layer->counted_bytes += size;
    return layer;
}

/* Whether the batch is new and plausible in its layer's order. One that was seen before, or comes
 * after its checkpoint, is passed over without a word: sent twice is stored once. */
static bool is_next(struct monitor *monitor, struct run *run, const struct layer *layer,
                    struct batch *batch, struct actions *out)
{
    if (batch->seq <= layer->last_seq)
        return false;
    if (batch->rows_before < layer->rows_offered || batch->seq - layer->last_seq > MAX_JUMP ||
        batch->rows_before - layer->rows_offered > MAX_JUMP) {
        monitor_refuse_batch(monitor, run, batch, NACK_EPROTO,
                             "its numbers do not follow those of the batch before it", out);
        return false;
    }
    return true;
}

/* Returns false when the batch is not wanted. */
static bool take_batch(struct monitor *monitor, struct run *run, struct batch *batch,
                       struct actions *out)
{
    struct layer *layer;

    if (run->refused_seq >
        0) { /* it would enter the window of a checkpoint that came before it */
        monitor_refuse_batch(monitor, run, batch, NACK_EBUSY, "a message before it was refused",
                             out);
        return false;
    }
    layer = layer_for(monitor, run, batch, out);
    if (!layer || !is_next(monitor, run, layer, batch, out))
        return false;
    layer->last_seq = batch->seq;
    layer->rows_offered = batch->rows_before + batch_n_rows(batch);
    if (batch_n_rows(batch) == 0 && !batch->is_head)
        return false;
    monitor->stats.batches++;
    monitor->stats.rows += batch_n_rows(batch);
    monitor->stats.bytes += batch->size_bytes;
    monitor->stats.buffered_bytes += batch->size_bytes;
    layer_push_batch(layer, batch);
    /* Many layers may fill no block and still hold all the credit. */
    if (run_held_bytes(run) >= run->credit_bytes / 2)
        monitor_flush(run, out);
    else
        monitor_pump(run, layer, out);
    return true;
}

void monitor_on_batch(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct run *run = monitor_run_of_peer(monitor, event->peer);
    struct batch *batch = event->batch;

    if (!run || run->state != RUN_OPEN) {
        monitor_refuse(out, event->peer, NACK_ENOTOPEN, "no run is open on this connection");
        monitor->stats.batches_refused++;
    } else if (run->received + batch->size_bytes > run->granted) {
        monitor_refuse_batch(monitor, run, batch, NACK_ECREDIT, "it goes beyond the credit granted",
                             out);
    } else {
        run->received += batch->size_bytes;
        if (take_batch(monitor, run, batch, out))
            return;
        run_return_credit(run, batch->size_bytes, out);
    }
    monitor_release_batch(batch, out);
}

/* ---- control messages ---------------------------------------------------------------------- */

/* Not now. What is on disk is a prefix of what was said, so later ones have to wait for it. */
static void refuse_control(struct run *run, uint64_t seq, const char *text, struct actions *out)
{
    struct nack *nack = actions_add_nack(out, run->peer, NACK_EBUSY);

    if (seq > run->last_seq && (run->refused_seq == 0 || seq < run->refused_seq))
        run->refused_seq = seq;
    if (!nack)
        return;
    nack->seq = seq;
    err_set(&nack->why, 0, "run %s: %s", run->id, text);
}

/* The open run of the peer, if it may send control message `seq` now; NULL when it was answered. */
static struct run *control_run(struct monitor *monitor, const struct event *event, uint64_t seq,
                               struct actions *out)
{
    struct run *run = monitor_run_of_peer(monitor, event->peer);

    if (!run || (run->state != RUN_OPEN && run->state != RUN_LEAVING)) {
        monitor_refuse(out, event->peer, NACK_ENOTOPEN, "no run is open on this connection");
        return NULL;
    }
    if (seq > run->durable_seq && seq <= run->last_seq)
        return NULL; /* in the journal: its ack will come */
    if (run->n_journal >= RUN_UNSTORED_MAX)
        refuse_control(run, seq, "4096 control messages wait for the disk", out);
    else if (run->refused_seq > 0 && seq > run->refused_seq)
        refuse_control(run, seq, "a message before it was refused, and has to come first", out);
    else
        return run;
    return NULL;
}

/* The message is in the journal. */
static void note_taken(struct run *run, uint64_t seq)
{
    if (seq > run->last_seq)
        run->last_seq = seq;
    if (seq >= run->refused_seq)
        run->refused_seq = 0;
}

static void ack(peer_id peer, uint64_t seq, struct actions *out)
{
    struct action *action = actions_add(out, ACT_ACK, peer);

    if (action)
        action->seq = seq;
}

/* Puts a mark into the layer's FIFO for point `i` of the entry. */
static void push_mark(struct entry *entry, struct layer *layer, size_t i, struct spectrum_wish wish)
{
    struct layer_point *point = &entry->record->points[i];
    struct mark *mark = &entry->marks[i];

    mark->owner = entry;
    mark->point = &point->point;
    mark->spectrum = &point->spectrum;
    mark->probe = &point->probe;
    mark->doubt = &point->probe_doubt;
    mark->wish = wish;
    mark->seq = point->batch_seq;
    mark->rows_offered = point->rows_offered;
    if (point->batch_seq > layer->last_seq)
        layer->last_seq = point->batch_seq;
    if (point->rows_offered > layer->rows_offered)
        layer->rows_offered = point->rows_offered;
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

static void start_checkpoint(struct run *run, struct entry *entry, bool spectrum,
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
            entry->record->points[i].rows_offered = 0; /* its window begins with the attempt */
    }
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *layer = run_layer(run, entry->record->points[i].layer);

        if (layer)
            monitor_pump(run, layer, out);
    }
    run_lend(run, out);
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
        point->point.step = record->step;
        point->point.time = record->time;
    }
    return record;
}

/* Whether the totals of a layer are those of the batches before it, or of more. */
static bool totals_follow(const struct layer *layer, const struct checkpoint_layer *totals)
{
    return totals->seq >= layer->last_seq && totals->seq - layer->last_seq <= MAX_JUMP &&
           totals->rows >= layer->rows_offered && totals->rows - layer->rows_offered <= MAX_JUMP;
}

/* The first layer of the checkpoint whose totals cannot be true, or NULL. */
static const char *find_false_total(const struct run *run, const struct event *event)
{
    for (size_t i = 0; i < event->checkpoint.n_layers; i++) {
        const struct checkpoint_layer *totals = &event->checkpoint.layers[i];
        const struct layer *layer = run_layer(run, totals->name);

        if (layer && !totals_follow(layer, totals))
            return totals->name;
    }
    return NULL;
}

static void refuse_totals(const struct run *run, uint64_t seq, const char *layer,
                          struct actions *out)
{
    struct nack *nack = actions_add_nack(out, run->peer, NACK_EPROTO);

    if (!nack)
        return;
    nack->seq = seq;
    snprintf(nack->layer, sizeof nack->layer, "%s", layer);
    err_set(&nack->why, 0,
            "run %s, checkpoint %" PRIu64 ": the totals of layer %s do not follow "
            "those of the batches before it",
            run->id, seq, layer);
}

void monitor_on_checkpoint(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct run *run = control_run(monitor, event, event->checkpoint.seq, out);
    bool again = run && event->checkpoint.seq <= run->durable_seq;
    const char *wrong = run && !again ? find_false_total(run, event) : NULL;
    struct record *record;
    struct entry *entry;

    if (!run)
        return;
    if (wrong) {
        refuse_totals(run, event->checkpoint.seq, wrong, out);
        return;
    }
    record = checkpoint_record(run, event, again ? RECORD_RECALL : RECORD_CHECKPOINT);
    entry = record ? run_add_entry(run, record, record->n_points) : NULL;
    if (!entry) {
        record_free(record);
        refuse_control(run, event->checkpoint.seq, "the daemon is out of memory", out);
        return;
    }
    note_taken(run, event->checkpoint.seq);
    start_checkpoint(run, entry, event->checkpoint.spectrum, out);
}

void monitor_on_log(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct run *run = control_run(monitor, event, event->log->seq, out);

    if (!run) {
        record_free(event->log);
        return;
    }
    if (event->log->seq <= run->durable_seq) {
        ack(event->peer, event->log->seq, out);
        record_free(event->log);
        return;
    }
    if (!run_add_entry(run, event->log, 0)) {
        refuse_control(run, event->log->seq, "the daemon is out of memory", out);
        record_free(event->log);
        return;
    }
    note_taken(run, event->log->seq);
    run_lend(run, out);
}

/* A second close of the same sequence goes to the store like the first: it sets the same state. */
void monitor_on_close(struct monitor *monitor, const struct event *event, struct actions *out)
{
    struct run *run = control_run(monitor, event, event->close.seq, out);
    struct record *record = run ? record_new(RECORD_CLOSE, run->id) : NULL;

    if (!run)
        return;
    if (!record || !run_add_entry(run, record, 0)) {
        record_free(record);
        refuse_control(run, event->close.seq, "the daemon is out of memory", out);
        return;
    }
    record->seq = event->close.seq;
    record->failed = event->close.failed;
    record->time = event->time;
    note_taken(run, event->close.seq);
    run->state = RUN_LEAVING;
    run_lend(run, out);
}
