#include "daemon/core/monitor.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/run.h"

/* Peers are numbered in order, so the low bits spread them evenly. */
#define PEER_BUCKETS 256
/* A batch number or row count that jumps by more is a mistake, not a loss. */
#define MAX_JUMP (UINT64_C(1) << 40)

struct monitor {
    struct monitor_config config;
    struct list runs;
    struct list peers[PEER_BUCKETS];
    uint64_t credit_granted; /* sum of the runs' credit_bytes */
    double state_bytes;      /* moments and folds allocated */
    bool draining;
    struct monitor_stats stats;
};

struct monitor *monitor_new(const struct monitor_config *config)
{
    struct monitor *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->config = *config;
    list_init(&m->runs);
    for (size_t i = 0; i < PEER_BUCKETS; i++)
        list_init(&m->peers[i]);
    return m;
}

/* ---- finding and ending runs ------------------------------------------------------------------
 */

static struct run *run_of_peer(const struct monitor *m, peer_id peer)
{
    LIST_EACH(at, &m->peers[peer % PEER_BUCKETS])
    {
        struct run *r = LIST_ENTRY(at, struct run, peer_link);

        if (r->peer == peer)
            return r;
    }
    return NULL;
}

/* The run of that id that is not over, or NULL; while several are (one leaves, others wait to be
 * opened), the writer's newest before anybody else's. */
static struct run *run_of_id(const struct monitor *m, const char *id, const char *writer)
{
    struct run *found = NULL;

    LIST_EACH(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        if (r->state != RUN_OVER && strcmp(r->id, id) == 0 &&
            (!found || strcmp(r->writer, writer) == 0))
            found = r;
    }
    return found;
}

static void bind_peer(struct monitor *m, struct run *r, peer_id peer)
{
    list_remove(&r->peer_link);
    r->peer = peer;
    r->silent_ticks = 0;
    if (peer)
        list_append(&m->peers[peer % PEER_BUCKETS], &r->peer_link);
}

static void free_run(struct monitor *m, struct run *r)
{
    LIST_EACH(at, &r->layers)
    {
        struct layer *l = LIST_ENTRY(at, struct layer, link);

        if (l->has_memory)
            m->state_bytes -= layer_size_bytes(l->p, l->c, m->config.n_workers);
    }
    m->credit_granted -= r->credit_bytes;
    run_free(r);
}

/* Gives back all queued rows; marks that wait are forgotten. */
static void clear_queues(struct monitor *m, struct run *r, struct actions *out)
{
    LIST_EACH(at, &r->layers)
    {
        m->stats.buffered_bytes -=
            layer_clear_queue(LIST_ENTRY(at, struct layer, link), &out->released);
    }
}

static bool layers_have_marks(const struct run *r)
{
    LIST_EACH(at, &r->layers)
    {
        if (LIST_ENTRY(at, struct layer, link)->n_marks > 0)
            return true;
    }
    return false;
}

/* Frees a run that has nothing left to do. Called wherever something of it came home. */
static void sweep(struct monitor *m, struct run *r, struct actions *out)
{
    bool done = r->state == RUN_OVER
                    ? run_is_quiet(r)
                    : r->state == RUN_LEAVING && run_is_settled(r) && !layers_have_marks(r);

    if (!done)
        return;
    clear_queues(m, r, out);
    free_run(m, r);
}

static void refuse(struct actions *out, peer_id peer, enum nack_code code, const char *text)
{
    struct nack *nack = actions_add_nack(out, peer, code);

    if (nack)
        err_set(&nack->why, 0, "%s", text);
}

static void fail_store(struct actions *out, const char *text)
{
    struct action *a = actions_add(out, ACT_FATAL, 0);

    if (a)
        err_set(&a->fatal, 0, "%s", text);
}

static void fence(struct monitor *m, struct run *r, struct actions *out)
{
    struct nack *nack = r->peer ? actions_add_nack(out, r->peer, NACK_EFENCED) : NULL;

    if (nack)
        err_set(&nack->why, 0, "attempt %" PRIu32 " of run %s is over: a newer one was opened",
                r->attempt, r->id);
    bind_peer(m, r, 0);
    r->state = RUN_OVER;
    clear_queues(m, r, out);
    sweep(m, r, out);
}

void monitor_free(struct monitor *m, struct actions *out)
{
    if (!m)
        return;
    LIST_EACH_SAFE(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        clear_queues(m, r, out);
        free_run(m, r);
    }
    free(m);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static uint64_t credit_for_one_more(const struct monitor *m)
{
    uint64_t left = m->config.budget_bytes - m->credit_granted;

    if (left < MONITOR_CREDIT_MIN)
        return 0;
    if (left / 4 > MONITOR_CREDIT_MAX)
        return MONITOR_CREDIT_MAX;
    return left / 4 > MONITOR_CREDIT_MIN ? left / 4 : MONITOR_CREDIT_MIN;
}

static void welcome(const struct run *r, struct actions *out)
{
    struct action *a = actions_add(out, ACT_WELCOME, r->peer);

    if (!a)
        return;
    snprintf(a->welcome.run, sizeof a->welcome.run, "%s", r->id);
    a->welcome.attempt = r->attempt;
    a->welcome.granted = r->granted;
    a->welcome.last_seq = r->durable_seq;
    a->welcome.has_last_step = r->has_last_step;
    a->welcome.last_step = r->last_step;
}

static uint64_t held_bytes(const struct run *r)
{
    uint64_t sum = 0;

    LIST_EACH(at, &r->layers)
    {
        sum += LIST_ENTRY(at, struct layer, link)->held_bytes;
    }
    return sum;
}

/* The same writer came back, on a new connection, to an attempt that is still here. */
static void reconnect(struct monitor *m, struct run *r, peer_id peer, struct actions *out)
{
    bind_peer(m, r, peer);
    run_start_credit(r, held_bytes(r));
    if (r->state != RUN_OPENING)
        welcome(r, out);
}

/* Whether a run that leaves takes its trainer back: one that closed hears of it on the new
 * connection; one that was lost is open again, unless the loss is on its way to the disk. */
static bool take_back(struct run *r)
{
    struct entry *last = NULL;

    if (!list_empty(&r->journal))
        last = LIST_ENTRY(r->journal.prev, struct entry, link);
    if (!last || (last->record->kind == RECORD_LOST && last->lent))
        return false;
    if (last->record->kind == RECORD_LOST) {
        record_free(last->record);
        run_drop_entry(r, last);
        r->state = RUN_OPEN;
    }
    return true;
}

/* Whether the open comes from the writer of a run that is here. While it is still being opened
 * nobody knows its attempt. */
static bool is_reconnection(struct run *known, const struct record *open)
{
    if (!known || strcmp(known->writer, open->open.writer) != 0)
        return false;
    if (known->state == RUN_OPENING)
        return true;
    if (open->open.attempt != 0 && open->open.attempt != known->attempt)
        return false;
    return known->state == RUN_OPEN || take_back(known);
}

static void start_opening(struct monitor *m, const struct event *e, struct actions *out)
{
    struct record *record = e->open.record;
    uint64_t credit = credit_for_one_more(m);
    struct run *r = credit ? run_new(record, e->open.window, e->peer) : NULL;
    struct action *a = r ? actions_add(out, ACT_STORE, e->peer) : NULL;

    if (!a) {
        refuse(out, e->peer, NACK_EBUSY, "the daemon has no memory left to grant to another run");
        if (r)
            run_free(r);
        record_free(record);
        return;
    }
    r->credit_bytes = credit;
    m->credit_granted += credit;
    run_start_credit(r, 0);
    list_append(&m->runs, &r->link);
    bind_peer(m, r, e->peer);
    r->n_lent++;
    record->owner = r;
    record->time = e->time;
    a->record = record;
}

static void on_open(struct monitor *m, const struct event *e, struct actions *out)
{
    struct record *record = e->open.record;
    struct run *known = run_of_id(m, record->run, record->open.writer);
    struct run *mine = run_of_peer(m, e->peer);
    bool same_writer = known && strcmp(known->writer, record->open.writer) == 0;

    if (m->draining) {
        refuse(out, e->peer, NACK_EBUSY, "the daemon is stopping");
    } else if (mine && !(mine == known && same_writer)) {
        refuse(out, e->peer, NACK_EPROTO, "this connection has opened a run already");
    } else if (is_reconnection(known, record)) {
        reconnect(m, known, e->peer, out);
    } else if (known && known->state == RUN_OPEN && record->open.attempt == known->attempt) {
        struct nack *nack = actions_add_nack(out, e->peer, NACK_EHELD);

        if (nack)
            err_set(&nack->why, 0, "attempt %" PRIu32 " of run %s is held by writer %s",
                    known->attempt, known->id, known->writer);
    } else {
        start_opening(m, e, out);
        return;
    }
    record_free(record);
}

static enum nack_code open_refusal(int rc)
{
    switch (rc) {
    case -EEXIST:
        return NACK_EEXIST;
    case -ENOENT:
        return NACK_ENOENT;
    case -EBUSY:
        return NACK_EHELD;
    case -ESTALE:
        return NACK_EFENCED;
    default:
        return NACK_EIO;
    }
}

static void fence_others(struct monitor *m, const struct run *winner, struct actions *out)
{
    LIST_EACH_SAFE(at, &m->runs)
    {
        struct run *r = LIST_ENTRY(at, struct run, link);

        if (r != winner && r->state != RUN_OVER && r->state != RUN_OPENING &&
            strcmp(r->id, winner->id) == 0) {
            if (r->peer == winner->peer)
                bind_peer(m, r, 0); /* its own trainer, which opened once more: not to be told */
            fence(m, r, out);
        }
    }
}

static void on_open_stored(struct monitor *m, struct run *r, struct record *record,
                           struct actions *out)
{
    int rc = record->rc;

    r->n_lent--;
    if (rc == 0 && r->state == RUN_OPENING)
        rc = run_opened(r, &record->opened);
    if (rc == 0 && r->state == RUN_OPEN) {
        fence_others(m, r, out);
        welcome(r, out);
    } else {
        if (rc < 0 && r->peer)
            refuse(out, r->peer, rc == -ENOMEM ? NACK_EBUSY : open_refusal(rc),
                   rc == -ENOMEM ? "the daemon is out of memory" : record->error);
        r->state = RUN_OVER;
        if (rc == -EIO)
            fail_store(out, record->error);
        sweep(m, r, out);
    }
    record_free(record);
}

/* ---- batches ----------------------------------------------------------------------------------
 */

static void refuse_batch(struct monitor *m, struct run *r, struct batch *b, enum nack_code code,
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

static void release_batch(struct batch *b, struct actions *out)
{
    list_append(&out->released, &b->queued.link);
}

/* The action comes first: a job that cannot be handed out must not start. */
static void pump(struct run *r, struct layer *l, struct actions *out)
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
static void flush(struct run *r, struct actions *out)
{
    LIST_EACH(at, &r->layers)
    {
        struct layer *l = LIST_ENTRY(at, struct layer, link);

        l->flush = !list_empty(&l->queue);
        pump(r, l, out);
    }
}

/* The layer the batch belongs to, made by its first batch; NULL when it is refused. */
static struct layer *layer_for(struct monitor *m, struct run *r, struct batch *b,
                               struct actions *out)
{
    double size = layer_size_bytes(b->p, b->c, m->config.n_workers);
    struct layer *l = run_layer(r, b->layer);
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
        refuse_batch(m, r, b, NACK_ESHAPE, why.text, out);
        return NULL;
    }
    if (!l && r->n_layers >= MONITOR_MAX_LAYERS) {
        refuse_batch(m, r, b, NACK_EPROTO, "the run has 1024 layers, no more are taken", out);
        return NULL;
    }
    if (l && l->has_memory)
        return l;
    if (m->state_bytes + size > m->config.state_bytes) {
        err_set(&why, 0, "the layer needs %.1f MiB, %.1f of the %.1f MiB for all layers are in use",
                size / 0x1p20, m->state_bytes / 0x1p20, m->config.state_bytes / 0x1p20);
        refuse_batch(m, r, b, NACK_EBUSY, why.text, out);
        return NULL;
    }
    if (!l)
        l = run_add_layer(r, b->layer, b->p, b->c);
    if (!l || layer_allocate(l, m->config.n_workers) < 0) {
        refuse_batch(m, r, b, NACK_EBUSY, "the daemon is out of memory", out);
        return NULL;
    }
    m->state_bytes += size;
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
        refuse_batch(m, r, b, NACK_EPROTO, "its numbers do not follow those of the batch before it",
                     out);
        return false;
    }
    return true;
}

/* Returns false when the batch is not wanted. */
static bool take_batch(struct monitor *m, struct run *r, struct batch *b, struct actions *out)
{
    struct layer *l;

    if (r->refused_seq > 0) { /* it would enter the window of a checkpoint that came before it */
        refuse_batch(m, r, b, NACK_EBUSY, "a message before it was refused", out);
        return false;
    }
    l = layer_for(m, r, b, out);
    if (!l || !is_next(m, r, l, b, out))
        return false;
    l->last_seq = b->seq;
    l->rows_offered = b->rows_before + batch_n_rows(b);
    if (batch_n_rows(b) == 0)
        return false;
    m->stats.batches++;
    m->stats.rows += batch_n_rows(b);
    m->stats.bytes += b->size_bytes;
    m->stats.buffered_bytes += b->size_bytes;
    layer_push_batch(l, b);
    if (held_bytes(r) >= r->credit_bytes / 2) /* many layers fill no block, and no credit is left */
        flush(r, out);
    else
        pump(r, l, out);
    return true;
}

static void on_batch(struct monitor *m, const struct event *e, struct actions *out)
{
    struct run *r = run_of_peer(m, e->peer);
    struct batch *b = e->batch;

    if (!r || r->state != RUN_OPEN) {
        refuse(out, e->peer, NACK_ENOTOPEN, "no run is open on this connection");
        m->stats.batches_refused++;
    } else if (r->received + b->size_bytes > r->granted) {
        refuse_batch(m, r, b, NACK_ECREDIT, "it goes beyond the credit granted", out);
    } else {
        r->received += b->size_bytes;
        if (take_batch(m, r, b, out))
            return;
        run_return_credit(r, b->size_bytes, out);
    }
    release_batch(b, out);
}

/* ---- control messages -------------------------------------------------------------------------
 */

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
    struct run *r = run_of_peer(m, e->peer);

    if (!r || (r->state != RUN_OPEN && r->state != RUN_LEAVING)) {
        refuse(out, e->peer, NACK_ENOTOPEN, "no run is open on this connection");
        return NULL;
    }
    if (seq > r->durable_seq && seq <= r->last_seq)
        return NULL; /* in the journal: its ack will come */
    if (r->n_journal >= MONITOR_MAX_JOURNAL)
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
static void push_mark(struct entry *entry, struct layer *l, size_t i)
{
    struct layer_point *p = &entry->record->points[i];
    struct mark *mark = &entry->marks[i];

    mark->owner = entry;
    mark->point = &p->point;
    mark->seq = p->batch_seq;
    mark->rows_offered = p->rows_offered;
    if (p->batch_seq > l->last_seq)
        l->last_seq = p->batch_seq;
    if (p->rows_offered > l->rows_offered)
        l->rows_offered = p->rows_offered;
    entry->n_pending++;
    layer_push_mark(l, mark);
}

static void start_checkpoint(struct run *r, struct entry *entry, struct actions *out)
{
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *l = run_layer(r, entry->record->points[i].layer);

        if (l)
            push_mark(entry, l, i);
        else
            entry->record->points[i].rows_offered = 0; /* its window begins with the attempt */
    }
    for (size_t i = 0; i < entry->record->n_points; i++) {
        struct layer *l = run_layer(r, entry->record->points[i].layer);

        if (l)
            pump(r, l, out);
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

static void on_checkpoint(struct monitor *m, const struct event *e, struct actions *out)
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
    start_checkpoint(r, entry, out);
}

static void on_log(struct monitor *m, const struct event *e, struct actions *out)
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
static void on_close(struct monitor *m, const struct event *e, struct actions *out)
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

/* ---- what comes home --------------------------------------------------------------------------
 */

static void finish_batch(struct monitor *m, struct run *r, struct batch *b, struct actions *out)
{
    m->stats.buffered_bytes -= b->size_bytes;
    if (b->rows.refused)
        refuse_batch(m, r, b, NACK_ENUMERIC, b->rows.why.text, out);
    run_return_credit(r, b->size_bytes, out);
    release_batch(b, out);
}

static void finish_mark(struct run *r, struct mark *mark, struct actions *out)
{
    struct entry *entry = mark->owner;
    size_t i = (size_t)(mark - entry->marks);

    entry->record->points[i].measured = mark->measured;
    entry->record->points[i].rows_offered = mark->rows_offered;
    entry->n_pending--;
    if (r->state != RUN_OVER)
        run_lend(r, out);
}

static void on_job_done(struct monitor *m, struct job *job, struct actions *out)
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
        refuse(out, r->peer, NACK_EBUSY, "the daemon is out of memory");
    if (done.mark)
        finish_mark(r, done.mark, out);
    if (r->state != RUN_OVER)
        pump(r, l, out);
    sweep(m, r, out);
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
        fence(m, r, out);
        return;
    } else if (rc != -ESTALE)
        fail_store(out, entry->record->error);
    if (r->state != RUN_OVER)
        run_lend(r, out);
    sweep(m, r, out);
}

static void on_stored(struct monitor *m, struct record *record, struct actions *out)
{
    if (record->kind == RECORD_OPEN)
        on_open_stored(m, record->owner, record, out);
    else
        on_entry_stored(m, record->owner, out);
}

/* ---- time -------------------------------------------------------------------------------------
 */

/* The trainer went without a word: what it was promised is finished, then the run is marked lost.
 * Without memory for that, the next tick tries again. */
static void lose(struct monitor *m, struct run *r, double time, struct actions *out)
{
    struct record *record = record_new(RECORD_LOST, r->id);

    bind_peer(m, r, 0);
    r->silent_ticks = MONITOR_LOST_TICKS;
    if (!record || !run_add_entry(r, record, 0)) {
        record_free(record);
        return;
    }
    record->time = time;
    r->state = RUN_LEAVING;
    run_lend(r, out);
}

static void tick_run(struct monitor *m, struct run *r, double time, struct actions *out)
{
    r->store_waits = false;
    if (r->state == RUN_OPEN || r->state == RUN_LEAVING) {
        LIST_EACH(at, &r->layers)
        {
            LIST_ENTRY(at, struct layer, link)->starved = false;
        }
        run_lend(r, out);
        flush(r, out);
        run_tell_credit(r, out);
    }
    if (r->state == RUN_OPEN && ++r->silent_ticks >= MONITOR_LOST_TICKS)
        lose(m, r, time, out);
}

/* Ticks are counted, not read off a clock: after a daemon was stopped for a minute its peers are
 * not all called silent at once. */
static void on_tick(struct monitor *m, double time, struct actions *out)
{
    LIST_EACH_SAFE(at, &m->runs)
    {
        tick_run(m, LIST_ENTRY(at, struct run, link), time, out);
    }
}

/* What it sends next is refused with ENOTOPEN, so that it opens again and repeats what was not
 * acknowledged. */
static void on_gone(struct monitor *m, peer_id peer)
{
    struct run *r = run_of_peer(m, peer);

    if (r)
        bind_peer(m, r, 0);
}

/* ---- the step ---------------------------------------------------------------------------------
 */

static void note_alive(struct monitor *m, const struct event *e)
{
    struct run *r = e->peer ? run_of_peer(m, e->peer) : NULL;

    if (r)
        r->silent_ticks = 0;
}

void monitor_step(struct monitor *m, const struct event *e, struct actions *out)
{
    note_alive(m, e);
    switch (e->type) {
    case EV_OPEN:
        on_open(m, e, out);
        break;
    case EV_BATCH:
        on_batch(m, e, out);
        break;
    case EV_CHECKPOINT:
        on_checkpoint(m, e, out);
        break;
    case EV_LOG:
        on_log(m, e, out);
        break;
    case EV_CLOSE:
        on_close(m, e, out);
        break;
    case EV_ALIVE:
        break;
    case EV_GONE:
        on_gone(m, e->peer);
        break;
    case EV_JOB_DONE:
        on_job_done(m, e->job, out);
        break;
    case EV_STORED:
        on_stored(m, e->record, out);
        break;
    case EV_TICK:
        on_tick(m, e->time, out);
        break;
    case EV_DRAIN:
        m->draining = true;
        break;
    }
}

bool monitor_is_settled(const struct monitor *m)
{
    LIST_EACH(at, &m->runs)
    {
        const struct run *r = LIST_ENTRY(at, struct run, link);

        if (!run_is_settled(r) || layers_have_marks(r))
            return false;
    }
    return true;
}

bool monitor_is_quiet(const struct monitor *m)
{
    LIST_EACH(at, &m->runs)
    {
        if (!run_is_quiet(LIST_ENTRY(at, struct run, link)))
            return false;
    }
    return true;
}

struct monitor_stats monitor_stats(const struct monitor *m)
{
    struct monitor_stats stats = m->stats;

    stats.budget_bytes = m->config.budget_bytes;
    stats.runs_open = 0;
    LIST_EACH(at, &m->runs)
    {
        stats.runs_open += LIST_ENTRY(at, struct run, link)->state == RUN_OPEN;
    }
    return stats;
}
