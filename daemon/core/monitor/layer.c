#include "daemon/core/monitor/layer.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"

struct layer *layer_new(void *run, const char *name, uint32_t p, uint32_t c, struct window window,
                        struct projector projector, const struct watch_list *watched)
{
    struct layer *layer = calloc(1, sizeof *layer);

    if (!layer)
        return NULL;
    layer->watch = watch_new(watched);
    if (!layer->watch) {
        free(layer);
        return NULL;
    }
    list_init(&layer->link);
    list_init(&layer->queue);
    list_init(&layer->lent);
    list_init(&layer->job.link);
    layer->run = run;
    snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->p = p;
    layer->c = c;
    layer->window = window;
    layer->projector = projector;
    layer->rows_from = layer->rows_to = -1;
    return layer;
}

double layer_size_bytes(const struct batch *batch, size_t n_workers, bool with_probe)
{
    size_t p = batch->p, w = (batch->from_head ? 0 : (size_t)batch->c) + batch->k;

    return moments_size_bytes(p, w) + keep_size_bytes(p, w) + fold_size_bytes(p, w, n_workers) +
           (batch->from_head ? head_size_bytes(p, batch->k) : 0) +
           (with_probe ? (double)probe_size_bytes(keep_rows_max(p, w)) : 0);
}

static bool has_labels(const struct batch *batch)
{
    return dtype_is_label(batch->rows.targets_dtype);
}

bool layer_targets_match(const struct layer *layer, const struct batch *batch)
{
    return batch->is_head || (layer->k == batch->k &&
                              (batch->k == 0 || layer->targets_are_labels == has_labels(batch)));
}

bool layer_outputs_match(const struct layer *layer, const struct batch *batch)
{
    return batch->from_head == (layer->head != NULL);
}

static void free_parts(struct layer *layer)
{
    fold_free(layer->fold);
    keep_free(layer->kept);
    head_free(layer->head);
    layer->fold = NULL;
    layer->kept = NULL;
    layer->head = NULL;
}

int layer_allocate(struct layer *layer, const struct batch *first, size_t n_workers)
{
    size_t c = first->from_head ? 0 : layer->c; /* columns that come with the rows */

    if (layer->has_memory)
        return 0;
    layer->k = first->k;
    layer->targets_are_labels = has_labels(first);
    layer->fold = fold_new(layer->p, c + layer->k, n_workers);
    layer->kept =
        keep_new(layer->p, c + layer->k,
                 layer->window.kind == WINDOW_EXPONENTIAL ? layer->window.half_life_rows : 0);
    layer->head = first->from_head ? head_new(layer->p, layer->c) : NULL;
    if (!layer->fold || !layer->kept || (first->from_head && !layer->head) ||
        moments_init(&layer->moments, layer->p, c, layer->k) < 0) {
        free_parts(layer);
        return -ENOMEM;
    }
    layer->moments.kept = layer->kept;
    layer->has_memory = true;
    return 0;
}

void layer_free(struct layer *layer)
{
    if (!layer)
        return;
    assert(layer->state == LAYER_IDLE && list_empty(&layer->queue));
    free_parts(layer);
    if (layer->has_memory)
        moments_release(&layer->moments);
    probe_release(&layer->probe);
    watch_free(layer->watch);
    free(layer);
}

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

void layer_push_batch(struct layer *layer, struct batch *batch)
{
    batch->queued.is_mark = false;
    list_append(&layer->queue, &batch->queued.link);
    layer->queued_rows += batch_n_rows(batch);
    layer->queued_bytes += batch->size_bytes;
    layer->held_bytes += batch->size_bytes;
}

void layer_push_mark(struct layer *layer, struct mark *mark)
{
    mark->queued.is_mark = true;
    list_append(&layer->queue, &mark->queued.link);
    layer->n_marks++;
}

/* Takes the batch out of the queue: the job reads it to its end. */
static void lend(struct layer *layer, struct batch *batch)
{
    list_remove(&batch->queued.link);
    list_append(&layer->lent, &batch->queued.link);
    layer->queued_rows -= batch_n_rows(batch) - layer->row_at;
    layer->queued_bytes -= batch->size_bytes;
    layer->row_at = 0;
}

/* Fills the block from the front of the queue, up to a mark or ready-made moments. */
static void gather(struct layer *layer)
{
    fold_begin(layer->fold, &layer->moments,
               layer->window.kind == WINDOW_EXPONENTIAL ? layer->window.half_life_rows : 0);
    for (struct queued *queued = front(layer); queued && !queued->is_mark; queued = front(layer)) {
        struct batch *batch = as_batch(queued);
        size_t left, n;

        if (batch->is_reduced || batch->is_head || !fold_accepts(layer->fold, &batch->rows))
            break;
        left = fold_capacity(layer->fold) - fold_n_rows(layer->fold);
        n = batch->rows.n - layer->row_at < left ? batch->rows.n - layer->row_at : left;
        fold_add(layer->fold, &batch->rows, layer->row_at, n);
        if (layer->row_at + n < batch->rows.n) {
            layer->row_at += n;
            layer->queued_rows -= n;
            break;
        }
        lend(layer, batch);
    }
}

static struct job *start_fold(struct layer *layer)
{
    gather(layer);
    layer->state = LAYER_FOLDING;
    layer->job.kind = JOB_FOLD;
    layer->job.fold = layer->fold;
    layer->job.n_shares = 1;
    if (!fold_is_serial(layer->fold)) {
        fold_next_phase(layer->fold);
        layer->job.n_shares = fold_n_shares(layer->fold);
    }
    return &layer->job;
}

static struct job *start_absorb(struct layer *layer, struct batch *batch)
{
    lend(layer, batch);
    layer->state = LAYER_ABSORBING;
    layer->job.kind = JOB_ABSORB;
    layer->job.n_shares = 1;
    layer->job.batch = batch;
    layer->job.head = layer->head;
    layer->job.moments = &layer->moments;
    layer->job.keep = layer->window.kind == WINDOW_EXPONENTIAL
                          ? exp2(-(double)batch->view.n_rows / layer->window.half_life_rows)
                          : 1;
    return &layer->job;
}

/* Rows that were offered for the mark's window and did not enter. */
static uint64_t rows_missing(const struct layer *layer, const struct mark *mark)
{
    uint64_t offered = mark->rows_offered - layer->window_offered;

    return offered > layer->window_rows ? offered - layer->window_rows : 0;
}

static struct job *start_measure(struct layer *layer, struct mark *mark)
{
    list_remove(&mark->queued.link);
    layer->n_marks--;
    layer->state = LAYER_MEASURING;
    layer->measuring = mark;
    layer->job.kind = JOB_MEASURE;
    layer->job.n_shares = 1;
    layer->job.moments = &layer->moments;
    layer->job.has_rows = layer->moments.weight > 0;
    layer->job.plan = (struct measure_plan){
        .precision = layer->precision,
        .projector = projector_for(layer->projector, layer->p, layer->c),
        .head = layer->head,
        .targets_are_labels = layer->targets_are_labels,
        .spectrum = mark->wish,
        .probe = layer->has_probe ? &layer->probe : NULL,
        .probe_is_partial = rows_missing(layer, mark) > 0,
        .doubt = mark->doubt,
    };
    layer->job.point = mark->point;
    layer->job.spectrum = mark->spectrum;
    layer->job.probe = mark->probe;
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
    if (as_batch(queued)->is_reduced || as_batch(queued)->is_head)
        return start_absorb(layer, as_batch(queued));
    if (layer->n_marks > 0 || layer->flush || layer->queued_rows >= fold_capacity(layer->fold))
        return start_fold(layer);
    return NULL;
}

/* ---- on the worker ------------------------------------------------------------------------- */

static bool check_values(struct batch *batch, const char *what, enum dtype d, const void *values,
                         size_t n, size_t n_columns)
{
    size_t bad = convert_find_nonfinite(d, values, n);

    if (bad == n)
        return true;
    err_set(&batch->rows.why, -1, "%s is not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

static bool check_view(struct batch *batch)
{
    const struct moments_view *view = &batch->view;
    size_t p = batch->p, c = batch->c;

    return check_values(batch, "the mean of the features", DTYPE_F64, view->mean_x, p, p) &&
           check_values(batch, "the mean of the outputs", DTYPE_F64, view->mean_y, c, c) &&
           check_values(batch, "X'X", view->xx_dtype, view->xx, p * p, p) &&
           check_values(batch, "X'Y", DTYPE_F64, view->xy, p * c, c) &&
           check_values(batch, "Y'Y", DTYPE_F64, view->yy, c * c, c) &&
           check_values(batch, "sum s^2", DTYPE_F64, &view->sum_s2, 1, 1) &&
           check_values(batch, "sum s (x - m)", DTYPE_F64, view->sum_sx, p, p);
}

static int absorb(struct job *job)
{
    job->batch->rows.checked = true;
    if (job->batch->is_head) {
        job->batch->rows.refused =
            head_take(job->head, &job->batch->head, &job->batch->rows.why) < 0;
        return 0;
    }
    job->batch->rows.refused = !check_view(job->batch);
    return job->batch->rows.refused ? 0
                                    : moments_absorb(job->moments, &job->batch->view, job->keep);
}

/* A probe that is new goes to the store, too; without memory for that it is made another time. */
static int copy_probe(struct job *job)
{
    int rc = probe_copy(job->probe, job->plan.probe);

    if (rc < 0) {
        probe_release(job->plan.probe);
        spectrum_free(*job->spectrum);
        *job->spectrum = NULL;
    }
    return rc;
}

static int measure(struct job *job)
{
    bool is_first = job->plan.probe && job->plan.probe->n == 0;
    int rc = measure_needs_xx(job->moments, &job->plan) ? moments_make_xx(job->moments) : 0;

    if (rc == 0)
        rc = measure_point(job->moments, &job->plan, job->point, job->spectrum);
    return rc == 0 && is_first && job->plan.probe->n > 0 ? copy_probe(job) : rc;
}

void job_work(struct job *job, size_t share)
{
    switch (job->kind) {
    case JOB_FOLD:
        if (fold_is_serial(job->fold))
            fold_run(job->fold);
        else
            fold_work(job->fold, share);
        break;
    case JOB_ABSORB:
        job->rc = absorb(job);
        break;
    case JOB_MEASURE:
        if (job->has_rows)
            job->rc = measure(job);
        break;
    }
}

/* ---- back on the loop ---------------------------------------------------------------------- */

static enum dtype coarser(enum dtype a, enum dtype batch)
{
    return dtype_epsilon(batch) > dtype_epsilon(a) ? batch : a;
}

static void note_entered(struct layer *layer, const struct batch *batch)
{
    if (batch->is_head) {
        layer->precision.outputs = coarser(layer->precision.outputs, batch->head.dtype);
        return;
    }
    layer->window_rows += batch_n_rows(batch);
    if (batch_n_rows(batch) > 0) {
        layer->rows_from = layer->rows_from < 0 ? batch->step : layer->rows_from;
        layer->rows_to = batch->step;
    }
    layer->precision.outputs = coarser(layer->precision.outputs, batch->outputs_dtype);
    layer->precision.features =
        coarser(layer->precision.features,
                batch->is_reduced ? batch->view.xx_dtype : batch->rows.features_dtype);
    if (!batch->is_reduced)
        layer->precision.targets = coarser(layer->precision.targets, batch->rows.targets_dtype);
}

static void finish_lent(struct layer *layer, struct list *finished)
{
    LIST_EACH_SAFE(at, &layer->lent)
    {
        struct batch *batch = as_batch(LIST_ENTRY(at, struct queued, link));

        list_remove(at);
        list_append(finished, at);
        layer->held_bytes -= batch->size_bytes;
        if (!batch->rows.refused && layer->job.rc == 0)
            note_entered(layer, batch);
    }
}

/* A batch that reaches beyond the block and turned out bad must not enter the next one. */
static void drop_refused_front(struct layer *layer, struct list *finished)
{
    struct queued *queued = front(layer);

    if (!queued || queued->is_mark || !as_batch(queued)->rows.refused)
        return;
    lend(layer, as_batch(queued));
    finish_lent(layer, finished);
}

static void finish_measure(struct layer *layer, struct mark *mark)
{
    if (layer->head) /* the next checkpoint's weights are others */
        head_reset(layer->head);
    mark->measured = layer->moments.weight > 0;
    if (!mark->measured) {
        mark->rows_offered =
            layer->window_offered; /* what is missing is said with the next point */
        return;
    }
    mark->point->rows_missing = rows_missing(layer, mark);
    mark->point->rows_from = layer->rows_from;
    mark->point->rows_to = layer->rows_to;
    if (mark->point->rows_missing > 0)
        mark->point->flags |= FLAG_PARTIAL;
    if (layer->window.kind == WINDOW_CUMULATIVE)
        return;
    layer->window_offered = mark->rows_offered;
    layer->window_rows = 0;
    if (layer->window.kind == WINDOW_CHECKPOINT) {
        moments_reset(&layer->moments);
        layer->rows_from = layer->rows_to = -1;
        layer->precision = (struct precision){0};
    }
}

/* The rows of the window wait with it. */
static void put_mark_back(struct layer *layer)
{
    list_append(layer->queue.next, &layer->measuring->queued.link); /* before the first */
    layer->n_marks++;
    layer->measuring = NULL;
    layer->starved = true;
}

void layer_job_done(struct layer *layer, struct list *finished, struct layer_done *out)
{
    enum layer_state was = layer->state;

    *out = (struct layer_done){.finished = finished, .rc = layer->job.rc};
    if (was == LAYER_FOLDING && !fold_is_serial(layer->fold) && fold_next_phase(layer->fold)) {
        layer->job.n_shares = fold_n_shares(layer->fold);
        out->next = &layer->job;
        return;
    }
    layer->state = LAYER_IDLE;
    finish_lent(layer, finished);
    drop_refused_front(layer, finished);
    if (list_empty(&layer->queue))
        layer->flush = false;
    if (was == LAYER_MEASURING && layer->job.rc < 0) {
        put_mark_back(layer);
    } else if (was == LAYER_MEASURING) {
        out->mark = layer->measuring;
        layer->measuring = NULL;
        finish_measure(layer, out->mark);
    }
}

void layer_abandon_job(struct layer *layer, struct list *finished)
{
    layer->job.rc = -ENOMEM;
    layer->state = LAYER_IDLE;
    layer->starved = true;
    layer->measuring = NULL;
    finish_lent(layer, finished);
}

size_t layer_clear_queue(struct layer *layer, struct list *finished)
{
    struct queued *first = front(layer);
    size_t bytes;

    if (first && layer->state == LAYER_FOLDING && layer->row_at > 0)
        lend(layer, as_batch(first)); /* the job reads its first rows */
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
