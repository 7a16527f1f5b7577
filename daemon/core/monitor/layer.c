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
    struct layer *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->watch = watch_new(watched);
    if (!l->watch) {
        free(l);
        return NULL;
    }
    list_init(&l->link);
    list_init(&l->queue);
    list_init(&l->lent);
    list_init(&l->job.link);
    l->run = run;
    snprintf(l->name, sizeof l->name, "%s", name);
    l->p = p;
    l->c = c;
    l->window = window;
    l->projector = projector;
    l->rows_from = l->rows_to = -1;
    return l;
}

double layer_size_bytes(const struct batch *b, size_t n_workers, bool with_probe)
{
    size_t p = b->p, w = (b->from_head ? 0 : (size_t)b->c) + b->k;

    return moments_size_bytes(p, w) + keep_size_bytes(p, w) + fold_size_bytes(p, w, n_workers) +
           (b->from_head ? head_size_bytes(p, b->k) : 0) +
           (with_probe ? (double)probe_size_bytes(keep_rows_max(p, w)) : 0);
}

static bool has_labels(const struct batch *b)
{
    return dtype_is_label(b->rows.targets_dtype);
}

bool layer_targets_match(const struct layer *l, const struct batch *b)
{
    return b->is_head || (l->k == b->k && (b->k == 0 || l->targets_are_labels == has_labels(b)));
}

bool layer_outputs_match(const struct layer *l, const struct batch *b)
{
    return b->from_head == (l->head != NULL);
}

static void free_parts(struct layer *l)
{
    fold_free(l->fold);
    keep_free(l->kept);
    head_free(l->head);
    l->fold = NULL;
    l->kept = NULL;
    l->head = NULL;
}

int layer_allocate(struct layer *l, const struct batch *first, size_t n_workers)
{
    size_t c = first->from_head ? 0 : l->c; /* columns that come with the rows */

    if (l->has_memory)
        return 0;
    l->k = first->k;
    l->targets_are_labels = has_labels(first);
    l->fold = fold_new(l->p, c + l->k, n_workers);
    l->kept = keep_new(l->p, c + l->k,
                       l->window.kind == WINDOW_EXPONENTIAL ? l->window.half_life_rows : 0);
    l->head = first->from_head ? head_new(l->p, l->c) : NULL;
    if (!l->fold || !l->kept || (first->from_head && !l->head) ||
        moments_init(&l->moments, l->p, c, l->k) < 0) {
        free_parts(l);
        return -ENOMEM;
    }
    l->moments.kept = l->kept;
    l->has_memory = true;
    return 0;
}

void layer_free(struct layer *l)
{
    if (!l)
        return;
    assert(l->state == LAYER_IDLE && list_empty(&l->queue));
    free_parts(l);
    if (l->has_memory)
        moments_release(&l->moments);
    probe_release(&l->probe);
    watch_free(l->watch);
    free(l);
}

static struct queued *front(const struct layer *l)
{
    struct list *first = list_first(&l->queue);

    return first ? LIST_ENTRY(first, struct queued, link) : NULL;
}

static struct batch *as_batch(struct queued *q)
{
    return LIST_ENTRY(q, struct batch, queued);
}

static struct mark *as_mark(struct queued *q)
{
    return LIST_ENTRY(q, struct mark, queued);
}

void layer_push_batch(struct layer *l, struct batch *b)
{
    b->queued.is_mark = false;
    list_append(&l->queue, &b->queued.link);
    l->queued_rows += batch_n_rows(b);
    l->queued_bytes += b->size_bytes;
    l->held_bytes += b->size_bytes;
}

void layer_push_mark(struct layer *l, struct mark *m)
{
    m->queued.is_mark = true;
    list_append(&l->queue, &m->queued.link);
    l->n_marks++;
}

/* Takes the batch out of the queue: the job reads it to its end. */
static void lend(struct layer *l, struct batch *b)
{
    list_remove(&b->queued.link);
    list_append(&l->lent, &b->queued.link);
    l->queued_rows -= batch_n_rows(b) - l->row_at;
    l->queued_bytes -= b->size_bytes;
    l->row_at = 0;
}

/* Fills the block from the front of the queue, up to a mark or ready-made moments. */
static void gather(struct layer *l)
{
    fold_begin(l->fold, &l->moments,
               l->window.kind == WINDOW_EXPONENTIAL ? l->window.half_life_rows : 0);
    for (struct queued *q = front(l); q && !q->is_mark; q = front(l)) {
        struct batch *b = as_batch(q);
        size_t left, n;

        if (b->is_reduced || b->is_head || !fold_accepts(l->fold, &b->rows))
            break;
        left = fold_capacity(l->fold) - fold_n_rows(l->fold);
        n = b->rows.n - l->row_at < left ? b->rows.n - l->row_at : left;
        fold_add(l->fold, &b->rows, l->row_at, n);
        if (l->row_at + n < b->rows.n) {
            l->row_at += n;
            l->queued_rows -= n;
            break;
        }
        lend(l, b);
    }
}

static struct job *start_fold(struct layer *l)
{
    gather(l);
    l->state = LAYER_FOLDING;
    l->job.kind = JOB_FOLD;
    l->job.fold = l->fold;
    l->job.n_shares = 1;
    if (!fold_is_serial(l->fold)) {
        fold_next_phase(l->fold);
        l->job.n_shares = fold_n_shares(l->fold);
    }
    return &l->job;
}

static struct job *start_absorb(struct layer *l, struct batch *b)
{
    lend(l, b);
    l->state = LAYER_ABSORBING;
    l->job.kind = JOB_ABSORB;
    l->job.n_shares = 1;
    l->job.batch = b;
    l->job.head = l->head;
    l->job.moments = &l->moments;
    l->job.keep = l->window.kind == WINDOW_EXPONENTIAL
                      ? exp2(-(double)b->view.n_rows / l->window.half_life_rows)
                      : 1;
    return &l->job;
}

/* Rows that were offered for the mark's window and did not enter. */
static uint64_t rows_missing(const struct layer *l, const struct mark *m)
{
    uint64_t offered = m->rows_offered - l->window_offered;

    return offered > l->window_rows ? offered - l->window_rows : 0;
}

static struct job *start_measure(struct layer *l, struct mark *m)
{
    list_remove(&m->queued.link);
    l->n_marks--;
    l->state = LAYER_MEASURING;
    l->measuring = m;
    l->job.kind = JOB_MEASURE;
    l->job.n_shares = 1;
    l->job.moments = &l->moments;
    l->job.has_rows = l->moments.weight > 0;
    l->job.plan = (struct measure_plan){
        .precision = l->precision,
        .projector = projector_for(l->projector, l->p, l->c),
        .head = l->head,
        .targets_are_labels = l->targets_are_labels,
        .spectrum = m->wish,
        .probe = l->has_probe ? &l->probe : NULL,
        .probe_is_partial = rows_missing(l, m) > 0,
        .doubt = m->doubt,
    };
    l->job.point = m->point;
    l->job.spectrum = m->spectrum;
    l->job.probe = m->probe;
    return &l->job;
}

struct job *layer_start(struct layer *l)
{
    struct queued *q = front(l);

    if (!q || l->state != LAYER_IDLE || l->starved)
        return NULL;
    l->job.layer = l;
    l->job.rc = 0;
    if (q->is_mark)
        return start_measure(l, as_mark(q));
    if (as_batch(q)->is_reduced || as_batch(q)->is_head)
        return start_absorb(l, as_batch(q));
    if (l->n_marks > 0 || l->flush || l->queued_rows >= fold_capacity(l->fold))
        return start_fold(l);
    return NULL;
}

/* ---- on the worker ------------------------------------------------------------------------- */

static bool check_values(struct batch *b, const char *what, enum dtype d, const void *values,
                         size_t n, size_t n_columns)
{
    size_t bad = convert_find_nonfinite(d, values, n);

    if (bad == n)
        return true;
    err_set(&b->rows.why, -1, "%s is not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

static bool check_view(struct batch *b)
{
    const struct moments_view *v = &b->view;
    size_t p = b->p, c = b->c;

    return check_values(b, "the mean of the features", DTYPE_F64, v->mean_x, p, p) &&
           check_values(b, "the mean of the outputs", DTYPE_F64, v->mean_y, c, c) &&
           check_values(b, "X'X", v->xx_dtype, v->xx, p * p, p) &&
           check_values(b, "X'Y", DTYPE_F64, v->xy, p * c, c) &&
           check_values(b, "Y'Y", DTYPE_F64, v->yy, c * c, c) &&
           check_values(b, "sum s^2", DTYPE_F64, &v->sum_s2, 1, 1) &&
           check_values(b, "sum s (x - m)", DTYPE_F64, v->sum_sx, p, p);
}

static int absorb(struct job *j)
{
    j->batch->rows.checked = true;
    if (j->batch->is_head) {
        j->batch->rows.refused = head_take(j->head, &j->batch->head, &j->batch->rows.why) < 0;
        return 0;
    }
    j->batch->rows.refused = !check_view(j->batch);
    return j->batch->rows.refused ? 0 : moments_absorb(j->moments, &j->batch->view, j->keep);
}

/* A probe that is new goes to the store, too; without memory for that it is made another time. */
static int copy_probe(struct job *j)
{
    int rc = probe_copy(j->probe, j->plan.probe);

    if (rc < 0) {
        probe_release(j->plan.probe);
        spectrum_free(*j->spectrum);
        *j->spectrum = NULL;
    }
    return rc;
}

static int measure(struct job *j)
{
    bool is_first = j->plan.probe && j->plan.probe->n == 0;
    int rc = measure_needs_xx(j->moments, &j->plan) ? moments_make_xx(j->moments) : 0;

    if (rc == 0)
        rc = measure_point(j->moments, &j->plan, j->point, j->spectrum);
    return rc == 0 && is_first && j->plan.probe->n > 0 ? copy_probe(j) : rc;
}

void job_work(struct job *j, size_t share)
{
    switch (j->kind) {
    case JOB_FOLD:
        if (fold_is_serial(j->fold))
            fold_run(j->fold);
        else
            fold_work(j->fold, share);
        break;
    case JOB_ABSORB:
        j->rc = absorb(j);
        break;
    case JOB_MEASURE:
        if (j->has_rows)
            j->rc = measure(j);
        break;
    }
}

/* ---- back on the loop ---------------------------------------------------------------------- */

static enum dtype coarser(enum dtype a, enum dtype b)
{
    return dtype_epsilon(b) > dtype_epsilon(a) ? b : a;
}

static void note_entered(struct layer *l, const struct batch *b)
{
    if (b->is_head) {
        l->precision.outputs = coarser(l->precision.outputs, b->head.dtype);
        return;
    }
    l->window_rows += batch_n_rows(b);
    if (batch_n_rows(b) > 0) {
        l->rows_from = l->rows_from < 0 ? b->step : l->rows_from;
        l->rows_to = b->step;
    }
    l->precision.outputs = coarser(l->precision.outputs, b->outputs_dtype);
    l->precision.features =
        coarser(l->precision.features, b->is_reduced ? b->view.xx_dtype : b->rows.features_dtype);
    if (!b->is_reduced)
        l->precision.targets = coarser(l->precision.targets, b->rows.targets_dtype);
}

static void finish_lent(struct layer *l, struct list *finished)
{
    LIST_EACH_SAFE(at, &l->lent)
    {
        struct batch *b = as_batch(LIST_ENTRY(at, struct queued, link));

        list_remove(at);
        list_append(finished, at);
        l->held_bytes -= b->size_bytes;
        if (!b->rows.refused && l->job.rc == 0)
            note_entered(l, b);
    }
}

/* A batch that reaches beyond the block and turned out bad must not enter the next one. */
static void drop_refused_front(struct layer *l, struct list *finished)
{
    struct queued *q = front(l);

    if (!q || q->is_mark || !as_batch(q)->rows.refused)
        return;
    lend(l, as_batch(q));
    finish_lent(l, finished);
}

static void finish_measure(struct layer *l, struct mark *m)
{
    if (l->head) /* the next checkpoint's weights are others */
        head_reset(l->head);
    m->measured = l->moments.weight > 0;
    if (!m->measured) {
        m->rows_offered = l->window_offered; /* what is missing is said with the next point */
        return;
    }
    m->point->rows_missing = rows_missing(l, m);
    m->point->rows_from = l->rows_from;
    m->point->rows_to = l->rows_to;
    if (m->point->rows_missing > 0)
        m->point->flags |= FLAG_PARTIAL;
    if (l->window.kind == WINDOW_CUMULATIVE)
        return;
    l->window_offered = m->rows_offered;
    l->window_rows = 0;
    if (l->window.kind == WINDOW_CHECKPOINT) {
        moments_reset(&l->moments);
        l->rows_from = l->rows_to = -1;
        l->precision = (struct precision){0};
    }
}

/* The rows of the window wait with it. */
static void put_mark_back(struct layer *l)
{
    list_append(l->queue.next, &l->measuring->queued.link); /* before the first */
    l->n_marks++;
    l->measuring = NULL;
    l->starved = true;
}

void layer_job_done(struct layer *l, struct list *finished, struct layer_done *out)
{
    enum layer_state was = l->state;

    *out = (struct layer_done){.finished = finished, .rc = l->job.rc};
    if (was == LAYER_FOLDING && !fold_is_serial(l->fold) && fold_next_phase(l->fold)) {
        l->job.n_shares = fold_n_shares(l->fold);
        out->next = &l->job;
        return;
    }
    l->state = LAYER_IDLE;
    finish_lent(l, finished);
    drop_refused_front(l, finished);
    if (list_empty(&l->queue))
        l->flush = false;
    if (was == LAYER_MEASURING && l->job.rc < 0) {
        put_mark_back(l);
    } else if (was == LAYER_MEASURING) {
        out->mark = l->measuring;
        l->measuring = NULL;
        finish_measure(l, out->mark);
    }
}

void layer_abandon_job(struct layer *l, struct list *finished)
{
    l->job.rc = -ENOMEM;
    l->state = LAYER_IDLE;
    l->starved = true;
    l->measuring = NULL;
    finish_lent(l, finished);
}

size_t layer_clear_queue(struct layer *l, struct list *finished)
{
    struct queued *first = front(l);
    size_t bytes;

    if (first && l->state == LAYER_FOLDING && l->row_at > 0)
        lend(l, as_batch(first)); /* the job reads its first rows */
    bytes = l->queued_bytes;
    for (struct queued *q = front(l); q; q = front(l)) {
        list_remove(&q->link);
        if (!q->is_mark)
            list_append(finished, &q->link);
    }
    l->held_bytes -= bytes;
    l->n_marks = 0;
    l->queued_rows = 0;
    l->queued_bytes = 0;
    l->row_at = 0;
    return bytes;
}
