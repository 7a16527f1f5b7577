#include "daemon/core/monitor/layer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/moments/fold_line.h"

/* The sums of a layer's classes take at most this part of the room that is left, so that layers
 * after it find some, too. */
#define CLASSES_PART 4

/* ---- what a batch says about its layer ---------------------------------------------------- */

static bool has_labels(const struct batch *batch)
{
    return dtype_is_label(batch->targets_dtype);
}

/* Columns of Y that come with the rows: labels are none. */
static size_t output_columns(const struct batch *batch)
{
    return batch->outputs_from_head ? 0 : batch->c;
}

static size_t target_columns(const struct batch *batch)
{
    return has_labels(batch) ? 0 : batch->k;
}

double layer_size_bytes(const struct batch *batch, size_t n_workers, bool with_probe)
{
    size_t p = batch->p, k = target_columns(batch);
    size_t w = output_columns(batch) + k, n_kept = reservoir_rows_max(p, w);

    return reservoir_size_bytes(p, w) + (with_probe ? (double)probe_size_bytes(n_kept) : 0) +
           moments_size_bytes(p, w) + fold_line_size_bytes(p, w, n_workers) +
           (batch->outputs_from_head ? head_size_bytes(p, k) : 0);
}

size_t layer_n_classes(const struct batch *batch, double room_bytes)
{
    return has_labels(batch) ? classes_that_fit(batch->p, batch->k, room_bytes / CLASSES_PART) : 0;
}

static size_t rows_kept(const struct batch *batch)
{
    return reservoir_rows_max(batch->p, output_columns(batch) + target_columns(batch));
}

double layer_classes_bytes(const struct batch *batch, size_t n_classes)
{
    return n_classes > 0 ? classes_size_bytes(batch->p, n_classes, rows_kept(batch)) : 0;
}

/* As many, and labels or not. A head says what its layer's targets are. */
static bool targets_match(const struct layer *layer, const struct batch *batch)
{
    if (batch->kind == BATCH_HEAD)
        return true;
    return layer->k == batch->k &&
           (batch->k == 0 || layer->targets_are_labels == has_labels(batch));
}

int layer_check(const struct layer *layer, const struct batch *batch, struct err *why)
{
    if (layer->p != 0 && (layer->p != batch->p || layer->c != batch->c))
        return err_set(why, -EINVAL,
                       "has %" PRIu32 " features and %" PRIu32 " outputs, the layer has %" PRIu32
                       " and %" PRIu32,
                       batch->p, batch->c, layer->p, layer->c);
    if (!layer->has_memory)
        return 0;
    if (!targets_match(layer, batch))
        return err_set(why, -EINVAL, "has %" PRIu32 " targets, the layer has %" PRIu32 " %s",
                       batch->k, layer->k, layer->targets_are_labels ? "classes" : "values");
    if (batch->outputs_from_head != (layer->head != NULL))
        return err_set(why, -EINVAL, "%s",
                       layer->head ? "has outputs, the layer's are made by its head"
                                   : "leaves its outputs to a head, the layer's come with rows");
    return 0;
}

/* ---- making and freeing ------------------------------------------------------------------- */

struct layer *layer_new(struct run *run, const char *name, uint32_t p, uint32_t c,
                        struct window window, struct projector projector,
                        const struct watch_list *watched)
{
    struct layer *layer = calloc(1, sizeof *layer);

    assert(window.kind == WINDOW_EXPONENTIAL || window.half_life_rows == 0);
    if (!layer)
        return NULL;
    layer->watch = watch_new(watched);
    layer->sources = calloc(1, sizeof *layer->sources);
    layer->n_sources = layer->head_place = 1;
    if (!layer->watch || !layer->sources) {
        watch_free(layer->watch);
        free(layer->sources);
        free(layer);
        return NULL;
    }
    list_init(&layer->link);
    list_init(&layer->queue);
    list_init(&layer->in_job);
    list_init(&layer->job.link);
    shared_parts_init(&layer->job.shared);
    layer->run = run;
    snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->p = p;
    layer->c = c;
    layer->window = window;
    layer->projector = projector;
    layer->rows_from = layer->rows_to = -1;
    layer->follows_p = UINT32_MAX;
    return layer;
}

int layer_reserve_sources(struct layer *layer, size_t n)
{
    struct source *sources;

    if (n <= layer->n_sources)
        return 0;
    sources = realloc(layer->sources, n * sizeof *sources);
    if (!sources)
        return -ENOMEM;
    memset(sources + layer->n_sources, 0, (n - layer->n_sources) * sizeof *sources);
    if (layer->head_place == layer->n_sources)
        layer->head_place = n;
    layer->sources = sources;
    layer->n_sources = n;
    return 0;
}

void layer_forget_source(struct layer *layer, size_t place)
{
    assert(place < layer->n_sources);
    layer->sources[place] = (struct source){0};
    if (layer->head_place == place)
        layer->head_place = layer->n_sources;
}

void layer_drop_later(struct layer *layer)
{
    if (!layer->later)
        return;
    spectrum_free(layer->later->spectrum);
    probe_release(&layer->later->probe);
    free(layer->later);
    layer->later = NULL;
}

static void free_parts(struct layer *layer)
{
    fold_line_free(layer->fold);
    reservoir_free(layer->reservoir);
    head_free(layer->head);
    classes_free(layer->classes);
    layer->classes = NULL;
    layer->fold = NULL;
    layer->reservoir = NULL;
    layer->head = NULL;
}

int layer_allocate(struct layer *layer, const struct batch *first, size_t n_workers,
                   size_t n_classes)
{
    size_t c = output_columns(first), k = target_columns(first);

    assert(!layer->has_memory);
    layer->p = first->p;
    layer->c = first->c;
    layer->k = first->k;
    layer->targets_are_labels = has_labels(first);
    layer->fold = fold_line_new(layer->p, c + k, n_workers);
    layer->reservoir = reservoir_new(layer->p, c + k, layer->window.half_life_rows);
    layer->head = first->outputs_from_head ? head_new(layer->p, layer->c) : NULL;
    if (n_classes > 0)
        layer->classes = classes_new(layer->p, layer->k, n_classes, rows_kept(first));
    if (!layer->fold || !layer->reservoir || (first->outputs_from_head && !layer->head) ||
        (n_classes > 0 && !layer->classes) || moments_init(&layer->moments, layer->p, c, k) < 0) {
        free_parts(layer);
        return -ENOMEM;
    }
    layer->moments.reservoir = layer->reservoir;
    layer->moments.classes = layer->classes;
    layer->has_memory = true;
    return 0;
}

void layer_free(struct layer *layer)
{
    if (!layer)
        return;
    assert(layer->state == LAYER_IDLE && list_empty(&layer->queue));
    free_parts(layer);
    layer_drop_later(layer);
    if (layer->has_memory)
        moments_release(&layer->moments);
    probe_release(&layer->probe);
    watch_free(layer->watch);
    shared_parts_release(&layer->job.shared);
    free(layer->sources);
    free(layer);
}
