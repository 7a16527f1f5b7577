#include "daemon/core/monitor/parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A batch number or row count that jumps by more is a mistake, not a loss. */
#define MAX_JUMP (UINT64_C(1) << 40)

/* ---- batches ------------------------------------------------------------------------------- */

void monitor_refuse_batch(struct monitor *m, struct run *r, struct batch *b, enum nack_code code,
                          const char *text, struct actions *out)
{
    struct nack *nack = r->peer ? actions_add_nack(out, r->peer, code) : NULL;

    m->stats.batches_refused++;
    if (!nack)
        return;
    err_set(&nack->why, 0, "run %s, layer %s, batch %" PRIu64 ": %s", r->id, b->layer, b->seq,
            text);
    snprintf(nack->layer, sizeof nack->layer, "%s", b->layer);
    nack->batch = b->seq;
}

void monitor_release_batch(struct batch *b, struct actions *out)
{
    list_append(&out->released, &b->queued.link);
}

/* The action comes first: a job that cannot be handed out must not start. */
void monitor_pump(struct run *r, struct layer *l, struct actions *out)
{
    struct action *a = actions_add(out, ACT_JOB, r->peer);

    if (!a)
        return;
    a->job = layer_start(l);
    if (a->job)
        r->n_jobs++;
    else
        out->n--;
}

/* Folds what is queued without waiting for full blocks. */
void monitor_flush(struct run *r, struct actions *out)
{
    LIST_EACH(at, &r->layers)
    {
        struct layer *l = LIST_ENTRY(at, struct layer, link);

        l->flush = !list_empty(&l->queue);
        monitor_pump(r, l, out);
    }
}

/* The layer the batch belongs to, made by its first batch; NULL when it is refused. */
static struct layer *layer_for(struct monitor *m, struct run *r, struct batch *b,
                               struct actions *out)
{
    struct layer *l = run_layer(r, b->layer);
    bool makes_probe = r->has_probe && (!l || l->probe.n == 0);
    double size = layer_size_bytes(b, m->config.n_workers, makes_probe);
    struct err why;

    if (l && l->p == 0) { /* the store knows its name and totals alone */
        l->p = b->p;
        l->c = b->c;
    }
    if (l && (l->p != b->p || l->c != b->c)) {
        err_set(&why, 0,
                "has %" PRIu32 " features and %" PRIu32 " outputs, the layer has %" PRIu32
                " and %" PRIu32,
                b->p, b->c, l->p, l->c);
        monitor_refuse_batch(m, r, b, NACK_ESHAPE, why.text, out);
        return NULL;
    }
    if (!l && r->n_layers >= RUN_LAYERS_MAX) {
        monitor_refuse_batch(m, r, b, NACK_EPROTO, "the run has 1024 layers, no more are taken",
                             out);
        return NULL;
    }
    if (l && l->has_memory && !layer_targets_match(l, b)) {
        err_set(&why, 0, "has %" PRIu32 " targets, the layer has %" PRIu32 " %s", b->k, l->k,
                l->targets_are_labels ? "classes" : "values");
        monitor_refuse_batch(m, r, b, NACK_ESHAPE, why.text, out);
        return NULL;
    }
    if (l && l->has_memory && !layer_outputs_match(l, b)) {
        monitor_refuse_batch(m, r, b, NACK_ESHAPE,
                             l->head ? "has outputs, the layer's are made by its head"
                                     : "leaves its outputs to a head, the layer's come with rows",
                             out);
        return NULL;
    }
    if (l && l->has_memory)
        return l;
    if (m->state_bytes + size > m->config.state_bytes) {
        err_set(&why, 0, "the layer needs %.1f MiB, %.1f of the %.1f MiB for all layers are in use",
                size / 0x1p20, m->state_bytes / 0x1p20, m->config.state_bytes / 0x1p20);
        monitor_refuse_batch(m, r, b, NACK_EBUSY, why.text, out);
        return NULL;
    }
    if (!l)
        l = run_add_layer(r, b->layer, b->p, b->c);
    if (!l || layer_allocate(l, b, m->config.n_workers) < 0) {
        monitor_refuse_batch(m, r, b, NACK_EBUSY, "the daemon is out of memory", out);
        return NULL;
    }
    m->state_bytes += size;
    l->counted_bytes += size;
    return l;
}

/* Whether the batch is new and plausible in its layer's order. One that was seen before, or comes
 * after its checkpoint, is passed over without a word: sent twice is stored once. */
static bool is_next(struct monitor *m, struct run *r, const struct layer *l, struct batch *b,
                    struct actions *out)
{
    if (b->seq <= l->last_seq)
        return false;
    if (b->rows_before < l->rows_offered || b->seq - l->last_seq > MAX_JUMP ||
        b->rows_before - l->rows_offered > MAX_JUMP) {
        monitor_refuse_batch(m, r, b, NACK_EPROTO,
                             "its numbers do not follow those of the batch before it", out);
        return false;
    }
    return true;
}

/* Returns false when the batch is not wanted. */
static bool take_batch(struct monitor *m, struct run *r, struct batch *b, struct actions *out)
{
    struct layer *l;

    if (r->refused_seq > 0) { /* it would enter the window of a checkpoint that came before it */
        monitor_refuse_batch(m, r, b, NACK_EBUSY, "a message before it was refused", out);
        return false;
    }
    l = layer_for(m, r, b, out);
    if (!l || !is_next(m, r, l, b, out))
        return false;
    l->last_seq = b->seq;
    l->rows_offered = b->rows_before + batch_n_rows(b);
    if (batch_n_rows(b) == 0 && !b->is_head)
        return false;
    m->stats.batches++;
    m->stats.rows += batch_n_rows(b);
    m->stats.bytes += b->size_bytes;
    m->stats.buffered_bytes += b->size_bytes;
    layer_push_batch(l, b);
    /* Many layers may fill no block and still hold all the credit. */
    if (run_held_bytes(r) >= r->credit_bytes / 2)
        monitor_flush(r, out);
    else
        monitor_pump(r, l, out);
    return true;
}

void monitor_on_batch(struct monitor *m, const struct event *e, struct actions *out)
{
    struct run *r = monitor_run_of_peer(m, e->peer);
    struct batch *b = e->batch;

    if (!r || r->state != RUN_OPEN) {
        monitor_refuse(out, e->peer, NACK_ENOTOPEN, "no run is open on this connection");
        m->stats.batches_refused++;
    } else if (r->received + b->size_bytes > r->granted) {
        monitor_refuse_batch(m, r, b, NACK_ECREDIT, "it goes beyond the credit granted", out);
    } else {
        r->received += b->size_bytes;
        if (take_batch(m, r, b, out))
            return;
        run_return_credit(r, b->size_bytes, out);
    }
    monitor_release_batch(b, out);
}

/* ---- control messages ---------------------------------------------------------------------- */

/* Not now. What is on disk is a prefix of what was said, so later ones have to wait for it. */
static void refuse_control(struct run *r, uint64_t seq, const char *text, struct actions *out)
{
    struct nack *nack = actions_add_nack(out, r->peer, NACK_EBUSY);

    if (seq > r->last_seq && (r->refused_seq == 0 || seq < r->refused_seq))
        r->refused_seq = seq;
    if (!nack)
        return;
    nack->seq = seq;
    err_set(&nack->why, 0, "run %s: %s", r->id, text);
}

/* The open run of the peer, if it may send control message `seq` now; NULL when it was answered. */
static struct run *control_run(struct monitor *m, const struct event *e, uint64_t seq,
                               struct actions *out)
{
    struct run *r = monitor_run_of_peer(m, e->peer);

    if (!r || (r->state != RUN_OPEN && r->state != RUN_LEAVING)) {
        monitor_refuse(out, e->peer, NACK_ENOTOPEN, "no run is open on this connection");
        return NULL;
    }
    if (seq > r->durable_seq && seq <= r->last_seq)
        return NULL; /* in the journal: its ack will come */
    if (r->n_journal >= RUN_UNSTORED_MAX)
        refuse_control(r, seq, "4096 control messages wait for the disk", out);
    else if (r->refused_seq > 0 && seq > r->refused_seq)
        refuse_control(r, seq, "a message before it was refused, and has to come first", out);
    else
        return r;
    return NULL;
}

/* The message is in the journal. */
static void note_taken(struct run *r, uint64_t seq)
{
    if (seq > r->last_seq)
        r->last_seq = seq;
    if (seq >= r->refused_seq)
        r->refused_seq = 0;
}

static void ack(peer_id peer, uint64_t seq, struct actions *out)
{
    struct action *a = actions_add(out, ACT_ACK, peer);

    if (a)
        a->seq = seq;
}

/* Puts a mark into the layer's FIFO for point `i` of the entry. */
static void push_mark(struct entry *entry, struct layer *l, size_t i, struct spectrum_wish wish)
{
    struct layer_point *p = &entry->record->points[i];
    struct mark *mark = &entry->marks[i];

    mark->owner = entry;
    mark->point = &p->point;
    mark->spectrum = &p->spectrum;
    mark->probe = &p->probe;
    mark->doubt = &p->probe_doubt;
    mark->wish = wish;
    mark->seq = p->batch_seq;
    mark->rows_offered = p->rows_offered;
    if (p->batch_seq > l->last_seq)
        l->last_seq = p->batch_seq;
    if (p->rows_offered > l->rows_offered)
        l->rows_offered = p->rows_offered;
    entry->n_pending++;
    layer_push_mark(l, mark);
}

/* The first checkpoint has one, so that a run's beginning is there to compare with. */
static struct spectrum_wish next_wish(struct run *r, bool asked)
{
    uint64_t n = r->n_checkpoints++;

    return (struct spectrum_wish){
        .wanted = asked || (r->spectrum.every > 0 && n % r->spectrum.every == 0),
        .uncentred = r->spectrum.uncentred,
        .leading = r->spectrum.leading,
    };
}

static void start_checkpoint(struct run *r, struct entry *entry, bool spectrum, struct actions *out)
{
    struct spectrum_wish wish = {0};

    if (entry->record->kind == RECORD_CHECKPOINT)
        wish = next_wish(r, spectrum);
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *l = run_layer(r, entry->record->points[i].layer);

        if (l)
            push_mark(entry, l, i, wish);
        else
            entry->record->points[i].rows_offered = 0; /* its window begins with the attempt */
    }
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *l = run_layer(r, entry->record->points[i].layer);

        if (l)
            monitor_pump(r, l, out);
    }
    run_lend(r, out);
}

static struct record *checkpoint_record(const struct run *r, const struct event *e,
                                        enum record_kind kind)
{
    struct record *record = record_new(kind, r->id);
    size_t n = kind == RECORD_CHECKPOINT ? e->checkpoint.n_layers : 0;

    if (!record)
        return NULL;
    record->seq = e->checkpoint.seq;
    record->step = e->checkpoint.step;
    record->time = e->checkpoint.time;
    for (int i = 0; i < METRIC_COUNT; i++)
        record->reported[i] = e->checkpoint.reported ? e->checkpoint.reported[i] : (double)NAN;
    if (n == 0)
        return record;
    record->points = calloc(n, sizeof *record->points);
    if (!record->points) {
        record_free(record);
        return NULL;
    }
    record->n_points = n;
    for (size_t i = 0; i < n; i++) {
        struct layer_point *p = &record->points[i];

        snprintf(p->layer, sizeof p->layer, "%s", e->checkpoint.layers[i].name);
        p->batch_seq = e->checkpoint.layers[i].seq;
        p->rows_offered = e->checkpoint.layers[i].rows;
        p->point.step = record->step;
        p->point.time = record->time;
    }
    return record;
}

/* Whether the totals of a layer are those of the batches before it, or of more. */
static bool totals_follow(const struct layer *l, const struct checkpoint_layer *totals)
{
    return totals->seq >= l->last_seq && totals->seq - l->last_seq <= MAX_JUMP &&
           totals->rows >= l->rows_offered && totals->rows - l->rows_offered <= MAX_JUMP;
}

/* The first layer of the checkpoint whose totals cannot be true, or NULL. */
static const char *find_false_total(const struct run *r, const struct event *e)
{
    for (size_t i = 0; i < e->checkpoint.n_layers; i++) {
        const struct checkpoint_layer *totals = &e->checkpoint.layers[i];
        const struct layer *l = run_layer(r, totals->name);

        if (l && !totals_follow(l, totals))
            return totals->name;
    }
    return NULL;
}

static void refuse_totals(const struct run *r, uint64_t seq, const char *layer, struct actions *out)
{
    struct nack *nack = actions_add_nack(out, r->peer, NACK_EPROTO);

    if (!nack)
        return;
    nack->seq = seq;
    snprintf(nack->layer, sizeof nack->layer, "%s", layer);
    err_set(&nack->why, 0,
            "run %s, checkpoint %" PRIu64 ": the totals of layer %s do not follow "
            "those of the batches before it",
            r->id, seq, layer);
}

void monitor_on_checkpoint(struct monitor *m, const struct event *e, struct actions *out)
{
    struct run *r = control_run(m, e, e->checkpoint.seq, out);
    bool again = r && e->checkpoint.seq <= r->durable_seq;
    const char *wrong = r && !again ? find_false_total(r, e) : NULL;
    struct record *record;
    struct entry *entry;

    if (!r)
        return;
    if (wrong) {
        refuse_totals(r, e->checkpoint.seq, wrong, out);
        return;
    }
    record = checkpoint_record(r, e, again ? RECORD_RECALL : RECORD_CHECKPOINT);
    entry = record ? run_add_entry(r, record, record->n_points) : NULL;
    if (!entry) {
        record_free(record);
        refuse_control(r, e->checkpoint.seq, "the daemon is out of memory", out);
        return;
    }
    note_taken(r, e->checkpoint.seq);
    start_checkpoint(r, entry, e->checkpoint.spectrum, out);
}

void monitor_on_log(struct monitor *m, const struct event *e, struct actions *out)
{
    struct run *r = control_run(m, e, e->log->seq, out);

    if (!r) {
        record_free(e->log);
        return;
    }
    if (e->log->seq <= r->durable_seq) {
        ack(e->peer, e->log->seq, out);
        record_free(e->log);
        return;
    }
    if (!run_add_entry(r, e->log, 0)) {
        refuse_control(r, e->log->seq, "the daemon is out of memory", out);
        record_free(e->log);
        return;
    }
    note_taken(r, e->log->seq);
    run_lend(r, out);
}

/* A second close of the same sequence goes to the store like the first: it sets the same state. */
void monitor_on_close(struct monitor *m, const struct event *e, struct actions *out)
{
    struct run *r = control_run(m, e, e->close.seq, out);
    struct record *record = r ? record_new(RECORD_CLOSE, r->id) : NULL;

    if (!r)
        return;
    if (!record || !run_add_entry(r, record, 0)) {
        record_free(record);
        refuse_control(r, e->close.seq, "the daemon is out of memory", out);
        return;
    }
    record->seq = e->close.seq;
    record->failed = e->close.failed;
    record->time = e->time;
    note_taken(r, e->close.seq);
    r->state = RUN_LEAVING;
    run_lend(r, out);
}
