#include "daemon/core/monitor/layer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/core/moments/fold_line.h"

/* A batch number or row count that jumps by more is a mistake, not a loss. */
#define MAX_JUMP (UINT64_C(1) << 40)

/* ---- the queue ---------------------------------------------------------------------------- */

static struct queued *front(const struct layer *layer)
{
    struct list *first = list_first(&layer->queue);

    return first ? LIST_ENTRY(first, struct queued, link) : NULL;
}

static struct batch *as_batch(struct queued *queued)
{
    return LIST_ENTRY(queued, struct batch, queued);
}

static struct mark *as_mark(struct queued *queued)
{
    return LIST_ENTRY(queued, struct mark, queued);
}

bool layer_totals_follow(const struct layer *layer, size_t place, uint64_t seq, uint64_t rows)
{
    const struct source *source = &layer->sources[place];

    assert(place < layer->n_sources);
    return seq >= source->last_seq && seq - source->last_seq <= MAX_JUMP &&
           rows >= source->rows_offered && rows - source->rows_offered <= MAX_JUMP;
}

void layer_note_totals(struct layer *layer, size_t place, uint64_t seq, uint64_t rows)
{
    struct source *source = &layer->sources[place];

    assert(place < layer->n_sources);
    if (seq > source->last_seq)
        source->last_seq = seq;
    if (rows > source->rows_offered) {
        layer->rows_offered += rows - source->rows_offered;
        source->rows_offered = rows;
    }
}

void layer_note_thinned(struct layer *layer, size_t place, uint64_t rows)
{
    struct source *source = &layer->sources[place];

    assert(place < layer->n_sources);
    if (rows > source->rows_thinned && rows - source->rows_thinned <= MAX_JUMP) {
        layer->rows_thinned += rows - source->rows_thinned;
        source->rows_thinned = rows;
    }
}

/* Members have one head, so a window takes that of the member whose slices come first. */
static bool has_other_head(const struct layer *layer, size_t place)
{
    return layer->head_place != layer->n_sources && layer->head_place != place;
}

static void push_batch(struct layer *layer, struct batch *batch)
{
    batch->queued.is_mark = false;
    list_append(&layer->queue, &batch->queued.link);
    layer->queued_rows += batch_n_rows(batch);
    layer->queued_bytes += batch->size_bytes;
    layer->held_bytes += batch->size_bytes;
}

enum layer_answer layer_offer(struct layer *layer, size_t place, struct batch *batch,
                              struct err *why)
{
    uint64_t n_rows = batch_n_rows(batch);

    assert(layer->has_memory && batch->p == layer->p && batch->c == layer->c);
    assert(place < layer->n_sources);
    if (batch->seq <= layer->sources[place].last_seq)
        return LAYER_PASSES_OVER;
    if (!layer_totals_follow(layer, place, batch->seq, batch->rows_before)) {
        err_write(why, "its numbers do not follow those of the batch before it");
        return LAYER_REFUSES;
    }
    layer_note_totals(layer, place, batch->seq, batch->rows_before + n_rows);
    if (n_rows == 0 && batch->kind != BATCH_HEAD)
        return LAYER_PASSES_OVER;
    if (batch->kind == BATCH_HEAD && has_other_head(layer, place))
        return LAYER_PASSES_OVER;
    if (batch->kind == BATCH_HEAD)
        layer->head_place = place;
    push_batch(layer, batch);
    return LAYER_QUEUES;
}

void layer_push_mark(struct layer *layer, struct mark *mark)
{
    mark->queued.is_mark = true;
    list_append(&layer->queue, &mark->queued.link);
    layer->n_marks++;
    mark->rows_offered = layer->rows_offered;
    mark->rows_thinned = layer->rows_thinned;
    layer->head_place = layer->n_sources;
}

/* Moves the batch from the queue to the job, which reads it to its end. */
static void hand_to_job(struct layer *layer, struct batch *batch)
{
    list_remove(&batch->queued.link);
    list_append(&layer->in_job, &batch->queued.link);
    layer->queued_rows -= batch_n_rows(batch) - layer->row_at;
    layer->queued_bytes -= batch->size_bytes;
    layer->row_at = 0;
}

/* ---- starting a job ----------------------------------------------------------------------- */

/* A job goes from IDLE to one of the other states, and back. */
static void move(struct layer *layer, enum layer_state state)
{
    assert((layer->state == LAYER_IDLE) != (state == LAYER_IDLE));
    layer->state = state;
}

static bool should_fold_all(const struct layer *layer)
{
    return layer->n_marks > 0 || layer->flush;
}

/* Rows that the next job takes at most: whole blocks, unless no more rows are waited for. */
static size_t rows_to_gather(const struct layer *layer)
{
    size_t most = fold_line_capacity(layer->fold), block = fold_line_block(layer->fold);

    if (should_fold_all(layer) || layer->queued_rows >= most)
        return most;
    return layer->queued_rows / block * block;
}

/* Takes rows from the front of the queue, up to a mark or ready-made moments. */
static void gather(struct layer *layer)
{
    size_t most = rows_to_gather(layer);

    fold_line_begin(layer->fold, &layer->moments, layer->window.half_life_rows);
    for (struct queued *queued = front(layer); queued && !queued->is_mark; queued = front(layer)) {
        struct batch *batch = as_batch(queued);
        size_t left, n;

        left = most - fold_line_n_rows(layer->fold);
        if (left == 0 || batch->kind != BATCH_ROWS || !fold_line_accepts(layer->fold, &batch->rows))
            break;
        n = batch->rows.n - layer->row_at < left ? batch->rows.n - layer->row_at : left;
        fold_line_add(layer->fold, &batch->rows, layer->row_at, n);
        if (layer->row_at + n < batch->rows.n) {
            layer->row_at += n;
            layer->queued_rows -= n;
            break;
        }
        hand_to_job(layer, batch);
    }
}

static struct job *start_fold(struct layer *layer)
{
    gather(layer);
    move(layer, LAYER_FOLDING);
    layer->job.kind = JOB_FOLD;
    layer->job.fold = layer->fold;
    layer->job.n_shares = fold_line_n_shares(layer->fold);
    return &layer->job;
}

static struct job *start_absorb(struct layer *layer, struct batch *batch)
{
    hand_to_job(layer, batch);
    move(layer, LAYER_ABSORBING);
    layer->job.kind = JOB_ABSORB;
    layer->job.n_shares = 1;
    layer->job.batch = batch;
    layer->job.head = layer->head;
    layer->job.moments = &layer->moments;
    layer->job.half_life_rows = layer->window.half_life_rows;
    return &layer->job;
}

/* Rows that were offered for the mark's window and did not enter. */
static uint64_t rows_missing(const struct layer *layer, const struct mark *mark)
{
    uint64_t offered = mark->rows_offered - layer->window_offered;

    return offered > layer->window_rows ? offered - layer->window_rows : 0;
}

/* Without memory for that the point waits for its spectrum. */
static void plan_later(struct layer *layer, const struct mark *mark)
{
    assert(!layer->later);
    if (!mark->wish.wanted || layer->p <= layer->follows_p || layer->moments.weight == 0)
        return;
    layer->later = calloc(1, sizeof *layer->later);
    if (layer->later)
        layer->later->wish = mark->wish;
}

static struct job *start_measure(struct layer *layer, struct mark *mark)
{
    list_remove(&mark->queued.link);
    layer->n_marks--;
    move(layer, LAYER_MEASURING);
    layer->measuring = mark;
    plan_later(layer, mark);
    layer->job.kind = JOB_MEASURE;
    layer->job.moments = &layer->moments;
    layer->job.has_rows = layer->moments.weight > 0;
    layer->job.plan = (struct measure_plan){
        .precision = layer->precision,
        .projector = layer->projector,
        .is_inner = layer->is_inner,
        .head = layer->head,
        .probe = layer->has_probe ? &layer->probe : NULL,
        .probe_is_partial = rows_missing(layer, mark) > 0,
        .problem = mark->problem,
        .representation = mark->representation,
        .shared = &layer->job.shared,
    };
    if (!layer->later)
        layer->job.plan.spectrum = mark->wish;
    shared_parts_open(&layer->job.shared);
    layer->job.n_shares = 1;
    if (layer->job.has_rows && measure_has_second_part(&layer->moments, &layer->job.plan))
        layer->job.n_shares = 2;
    layer->job.point = mark->point;
    layer->job.spectrum = mark->spectrum;
    layer->job.probe = mark->probe;
    return &layer->job;
}

/* The same measurement of the same window with its spectrum, after the one without. */
static struct job *start_decompose(struct layer *layer)
{
    struct later *later = layer->later;

    assert(layer->state == LAYER_MEASURING);
    layer->state = LAYER_DECOMPOSING;
    layer->job.plan.projector = layer->projector;
    layer->job.plan.spectrum = later->wish;
    layer->job.plan.problem = &later->problem;
    layer->job.plan.representation = NULL;
    layer->job.plan.shared = NULL;
    layer->job.n_shares = 1;
    layer->job.point = &later->more;
    layer->job.spectrum = &later->spectrum;
    layer->job.probe = &later->probe;
    return &layer->job;
}

struct job *layer_start(struct layer *layer)
{
    struct queued *queued = front(layer);

    if (!queued || layer->state != LAYER_IDLE || layer->starved)
        return NULL;
    layer->job.layer = layer;
    layer->job.rc = 0;
    if (queued->is_mark)
        return start_measure(layer, as_mark(queued));
    if (as_batch(queued)->kind != BATCH_ROWS)
        return start_absorb(layer, as_batch(queued));
    if (should_fold_all(layer) || layer->queued_rows >= fold_line_block(layer->fold))
        return start_fold(layer);
    return NULL;
}

/* ---- a job comes home --------------------------------------------------------------------- */

static enum dtype coarser(enum dtype a, enum dtype b)
{
    return dtype_epsilon(b) > dtype_epsilon(a) ? b : a;
}

static void note_entered(struct layer *layer, const struct batch *batch)
{
    struct precision *precision = &layer->precision;

    if (batch->kind == BATCH_HEAD) {
        precision->outputs = coarser(precision->outputs, batch->head.weights);
        return;
    }
    layer->is_inner |= batch->is_inner;
    layer->window_rows += batch_n_rows(batch);
    if (batch_n_rows(batch) > 0) {
        layer->rows_from = layer->rows_from < 0 ? batch->step : layer->rows_from;
        layer->rows_to = batch->step;
    }
    precision->outputs = coarser(precision->outputs, batch->outputs_dtype);
    precision->features =
        coarser(precision->features, batch->kind == BATCH_MOMENTS ? batch->view.features_dtype
                                                                  : batch->rows.features_dtype);
    precision->targets = coarser(precision->targets, batch->targets_dtype);
}

/* The job is done with these batches: what was not refused is in the moments, or in the head. */
static void finish_batches(struct layer *layer, struct list *finished)
{
    LIST_EACH_SAFE(at, &layer->in_job)
    {
        struct batch *batch = as_batch(LIST_ENTRY(at, struct queued, link));

        list_remove(at);
        list_append(finished, at);
        layer->held_bytes -= batch->size_bytes;
        if (batch->kind == BATCH_ROWS && batch->rows.refused) {
            batch->refused = true;
            batch->why = batch->rows.why;
        }
        if (!batch->refused && layer->job.rc == 0)
            note_entered(layer, batch);
    }
}

/* A batch that reaches beyond the block and turned out bad must not enter the next one. */
static void drop_refused_front(struct layer *layer, struct list *finished)
{
    struct queued *queued = front(layer);
    struct batch *batch = queued && !queued->is_mark ? as_batch(queued) : NULL;

    if (!batch || batch->kind != BATCH_ROWS || !batch->rows.refused)
        return;
    hand_to_job(layer, batch);
    finish_batches(layer, finished);
}

/* One rule a layer: the first window with outputs that vary decides for those to come. */
static void keep_projector(struct layer *layer, const struct point *point)
{
    if (layer->projector.kind == PROJECTOR_AUTO && point->rank > 0)
        layer->projector.kind = point->flags & FLAG_TOP_OUTPUTS ? PROJECTOR_TOP : PROJECTOR_SPAN;
}

static void finish_point(struct layer *layer, struct mark *mark)
{
    mark->measured = layer->moments.weight > 0;
    if (!mark->measured) {
        mark->rows_offered =
            layer->window_offered; /* what is missing is said with the next point */
        mark->rows_thinned = layer->window_thinned;
        return;
    }
    keep_projector(layer, mark->point);
    mark->point->rows_missing = rows_missing(layer, mark);
    mark->point->rows_thinned = mark->rows_thinned - layer->window_thinned;
    mark->point->rows_from = layer->rows_from;
    mark->point->rows_to = layer->rows_to;
    if (mark->point->rows_missing > 0)
        mark->point->flags |= FLAG_PARTIAL;
    if (layer->later)
        mark->point->flags |= FLAG_NO_SPECTRUM;
    if (layer->window.kind == WINDOW_CUMULATIVE)
        return;
    layer->window_offered = mark->rows_offered;
    layer->window_thinned = mark->rows_thinned;
    layer->window_rows = 0;
}

/* The window was measured, if it had rows: the next one begins. */
static void begin_window(struct layer *layer)
{
    if (layer->head) /* the next checkpoint's weights are others */
        head_reset(layer->head);
    if (layer->moments.weight == 0 || layer->window.kind != WINDOW_CHECKPOINT)
        return;
    moments_reset(&layer->moments);
    layer->rows_from = layer->rows_to = -1;
    layer->precision = (struct precision){0};
}

/* The rows of the window wait with it. */
static void put_mark_back(struct layer *layer)
{
    list_append(layer->queue.next, &layer->measuring->queued.link); /* before the first */
    layer->n_marks++;
    layer->measuring = NULL;
    layer->starved = true;
    layer_drop_later(layer);
}

static void finish_measure(struct layer *layer, struct layer_done *out)
{
    out->mark = layer->measuring;
    layer->measuring = NULL;
    finish_point(layer, out->mark);
    if (layer->later)
        out->next = start_decompose(layer);
    else
        begin_window(layer);
}

void layer_job_done(struct layer *layer, struct list *finished, struct layer_done *out)
{
    enum layer_state was = layer->state;

    assert(was != LAYER_IDLE);
    *out = (struct layer_done){.finished = finished, .rc = layer->job.rc};
    if (was == LAYER_MEASURING && layer->job.rc == 0)
        finish_measure(layer, out);
    if (out->next)
        return;
    move(layer, LAYER_IDLE);
    finish_batches(layer, finished);
    drop_refused_front(layer, finished);
    if (list_empty(&layer->queue))
        layer->flush = false;
    if (was == LAYER_MEASURING && layer->job.rc < 0)
        put_mark_back(layer);
    if (was != LAYER_DECOMPOSING)
        return;
    begin_window(layer);
    out->rc = 0; /* the point stays as it is */
    out->has_decomposed = true;
}

void layer_drop_job(struct layer *layer, struct list *finished)
{
    layer->job.rc = -ENOMEM;
    move(layer, LAYER_IDLE);
    layer->starved = true;
    layer->measuring = NULL;
    finish_batches(layer, finished);
}

size_t layer_clear_queue(struct layer *layer, struct list *finished)
{
    struct queued *first = front(layer);
    size_t bytes;

    if (first && layer->state == LAYER_FOLDING && layer->row_at > 0)
        hand_to_job(layer, as_batch(first)); /* the job reads its first rows */
    bytes = layer->queued_bytes;
    for (struct queued *queued = front(layer); queued; queued = front(layer)) {
        list_remove(&queued->link);
        if (!queued->is_mark)
            list_append(finished, &queued->link);
    }
    layer->held_bytes -= bytes;
    layer->n_marks = 0;
    layer->queued_rows = 0;
    layer->queued_bytes = 0;
    layer->row_at = 0;
    return bytes;
}
