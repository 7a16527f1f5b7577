#include "daemon/core/moments/fold.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/moments/fold_parts.h"

/* A block of this many bytes is read from memory once per row of tiles, and the products are still
 * bound by computing: at p = 4096 it is 1024 rows. */
#define BLOCK_BYTES (16u << 20)
/* Fewer rows make the products too thin for BLAS; more gain nothing (measured 512..2048: equal). */
#define BLOCK_MIN_ROWS 64
#define BLOCK_MAX_ROWS 1024
/* Radians from one turn to the next (struct turn): multiples of the golden angle do not come near
 * the same direction twice. */
#define TURN_STEP 2.399963229728653

static size_t tile_order(size_t p)
{
    return p < TILE_ORDER ? p : TILE_ORDER;
}

size_t fold_block_rows(size_t p, size_t w)
{
    size_t rows = BLOCK_BYTES / (sizeof(float) * p + sizeof(double) * w);

    if (rows < BLOCK_MIN_ROWS)
        return BLOCK_MIN_ROWS;
    return rows < BLOCK_MAX_ROWS ? rows : BLOCK_MAX_ROWS;
}

double fold_scratch_bytes(size_t p)
{
    double t = (double)tile_order(p);

    return t * (sizeof(float) * t + sizeof(double) * 2 * WIDEN_ROWS);
}

int fold_scratch_init(struct scratch *scratch, size_t p)
{
    size_t t = tile_order(p);

    scratch->product = malloc(t * t * sizeof(float));
    scratch->wide = malloc(sizeof(double) * 2 * WIDEN_ROWS * t);
    return scratch->product && scratch->wide ? 0 : -ENOMEM;
}

void fold_scratch_release(struct scratch *scratch)
{
    free(scratch->product);
    free(scratch->wide);
}

/* Per row x, y, s_part, root, rs, half a turn, a slot and a range; then means and differences, and
 * the scratch of the workers. */
double fold_size_bytes(size_t p, size_t w, size_t n_workers)
{
    double rows = (double)fold_block_rows(p, w), vectors = (double)(p + w);
    double a_row = sizeof(double) * (vectors + (double)fold_n_side(p) + 3) + sizeof(uint32_t) +
                   sizeof(struct row_range);
    double whitening =
        sizeof(float) * rows * (double)(w + 1) + sizeof(double) * 3 * (double)w * (double)w;

    return rows * a_row + sizeof(double) * 2 * vectors + (fold_may_whiten(p, w) ? whitening : 0) +
           (double)n_workers * fold_scratch_bytes(p);
}

static void set_turns(struct fold *fold)
{
    for (size_t k = 0; k < fold->capacity / 2; k++) {
        fold->turns[k].cosine = cos(TURN_STEP * (double)k);
        fold->turns[k].sine = sin(TURN_STEP * (double)k);
    }
}

double fold_narrow_bytes(size_t p, size_t w)
{
    double values = (double)fold_block_rows(p, w) * (double)p;

    return fold_size_bytes(p, w, 0) - values * (sizeof(double) - sizeof(float));
}

static struct fold *make(size_t p, size_t w, size_t n_workers, size_t value_bytes)
{
    struct fold *fold = calloc(1, sizeof *fold);
    size_t side = fold_n_side(p), rows = fold_block_rows(p, w), whitens = fold_may_whiten(p, w);
    bool ok;

    assert(p > 0);
    if (!fold)
        return NULL;
    fold->p = p;
    fold->w = w;
    fold->capacity = rows;
    fold->n_workers = n_workers;
    fold->ranges = calloc(rows, sizeof *fold->ranges);
    fold->x_bytes = rows * p * value_bytes;
    fold->x = malloc(fold->x_bytes);
    fold->y = malloc(rows * w * sizeof(double));
    fold->root = malloc(rows * sizeof(double));
    fold->rs = malloc(rows * sizeof(double));
    fold->slot = malloc(rows * sizeof *fold->slot);
    fold->s_part = malloc(side * rows * sizeof(double));
    fold->mean_x = malloc(2 * p * sizeof(double));
    fold->mean_y = malloc(2 * w * sizeof(double));
    fold->exponent = calloc(side, sizeof *fold->exponent);
    fold->turns = malloc(rows / 2 * sizeof *fold->turns);
    fold->q = malloc(whitens * rows * (w + 1) * sizeof(float));
    fold->r = malloc(whitens * w * w * sizeof(double));
    fold->inverse = malloc(whitens * w * w * sizeof(double));
    fold->yy = malloc(whitens * w * w * sizeof(double));
    fold->scratch = n_workers > 0 ? calloc(n_workers, sizeof *fold->scratch) : NULL;
    ok = fold->ranges && fold->x && fold->y && fold->root && fold->rs && fold->slot &&
         fold->s_part && fold->mean_x && fold->mean_y && fold->exponent && fold->turns && fold->q &&
         fold->r && fold->inverse && fold->yy && (fold->scratch || n_workers == 0);
    for (size_t i = 0; ok && i < n_workers; i++)
        ok = fold_scratch_init(&fold->scratch[i], p) == 0;
    if (!ok) {
        fold_free(fold);
        return NULL;
    }
    set_turns(fold);
    fold->dx = fold->mean_x + p;
    fold->dy = fold->mean_y + w;
    return fold;
}

/* The block is sized for doubles; single-precision rows use half of it. */
struct fold *fold_new(size_t p, size_t w, size_t n_workers)
{
    return make(p, w, n_workers, sizeof(double));
}

struct fold *fold_new_narrow(size_t p, size_t w)
{
    return make(p, w, 0, sizeof(float));
}

void fold_free(struct fold *fold)
{
    if (!fold)
        return;
    for (size_t i = 0; fold->scratch && i < fold->n_workers; i++)
        fold_scratch_release(&fold->scratch[i]);
    free(fold->ranges);
    free(fold->x);
    free(fold->y);
    free(fold->root);
    free(fold->rs);
    free(fold->slot);
    free(fold->s_part);
    free(fold->mean_x);
    free(fold->mean_y);
    free(fold->exponent);
    free(fold->turns);
    free(fold->q);
    free(fold->r);
    free(fold->inverse);
    free(fold->yy);
    free(fold->scratch);
    free(fold);
}

size_t fold_capacity(const struct fold *fold)
{
    return fold->capacity;
}

size_t fold_n_rows(const struct fold *fold)
{
    return fold->n;
}

void fold_begin(struct fold *fold, struct moments *m, double half_life_rows)
{
    assert(m->p == fold->p && m->w == fold->w);
    fold->moments = m;
    fold->half_life_rows = half_life_rows;
    fold->phase = PHASE_GATHER;
    fold->n_ranges = 0;
    fold->n = 0;
    fold->wide = false;
}

/* Rows of the batch's format that fill the block. */
static size_t rows_that_fit(const struct fold *fold, const struct rows *rows)
{
    bool is_wide = rows->features_dtype == DTYPE_F64;
    size_t n = fold->x_bytes / (fold->p * (is_wide ? sizeof(double) : sizeof(float)));

    return n < fold->capacity ? n : fold->capacity;
}

bool fold_accepts(const struct fold *fold, const struct rows *rows)
{
    return fold->n < rows_that_fit(fold, rows) &&
           (fold->n == 0 || fold->wide == (rows->features_dtype == DTYPE_F64));
}

void fold_add(struct fold *fold, struct rows *rows, size_t from, size_t n)
{
    assert(fold_accepts(fold, rows) && n > 0 && from + n <= rows->n &&
           n <= rows_that_fit(fold, rows) - fold->n);
    fold->wide = rows->features_dtype == DTYPE_F64;
    fold->ranges[fold->n_ranges++] = (struct row_range){.rows = rows, .from = from, .n = n};
    fold->n += n;
}

/* ---- phases ---- */

static void enter(struct fold *fold, enum phase phase, size_t n_tasks)
{
    fold->phase = phase;
    fold->n_tasks = n_tasks;
    atomic_store_explicit(&fold->next_task, 0, memory_order_relaxed);
}

/* Whether the window, with this block, has fewer rows than features, all in the reservoir. */
static bool is_short(const struct fold *fold)
{
    const struct reservoir *reservoir = fold->moments->reservoir;

    return reservoir && fold->half_life_rows == 0 && reservoir_has_all(reservoir) &&
           fold->moments->n_rows + fold->n < fold->p &&
           reservoir->n_seen + fold->n <= reservoir_capacity(reservoir);
}

/* A window that begins may go without X'X. When it grows too long for that, X'X must be made now,
 * before the reservoir drops rows. Returns whether it must. */
static bool choose_form(struct fold *fold)
{
    bool few = is_short(fold);

    if (fold->moments->weight == 0)
        fold->moments->by_rows = few && fold->moments->may_wait;
    return fold->moments->by_rows && !few;
}

/* What old rows count for after those of the block. */
static double decay_of(const struct fold *fold)
{
    return fold->half_life_rows > 0 ? exp2(-(double)fold->n / fold->half_life_rows) : 1;
}

/* Rows without weight change nothing, but old rows are older with them. */
static bool changes_nothing(const struct fold *fold)
{
    if (fold->weight > 0)
        return false;
    return fold->half_life_rows == 0 || fold->n == 0 ||
           fold->moments->weight * decay_of(fold) < DBL_MIN;
}

static void enter_centre(struct fold *fold)
{
    double decay = decay_of(fold);

    if (fold->moments->reservoir)
        reservoir_make_room(fold->moments->reservoir, fold->n);
    if (fold->moments->classes)
        fold_find_classes(fold, decay);
    fold->combination = moments_combination(fold->moments, decay, fold->weight);
    enter(fold, PHASE_CENTRE, fold_n_side(fold->p) + 1);
}

/* Tiles of X'X that the block enters: none by_rows. */
static size_t n_products(const struct fold *fold)
{
    return fold->moments->by_rows ? 0 : fold->moments->xx.n_tiles;
}

bool fold_next_phase(struct fold *fold)
{
    assert(fold->moments);
    switch (fold->phase) {
    case PHASE_GATHER:
        enter(fold, PHASE_CHECK, fold->n_ranges);
        return true;
    case PHASE_CHECK:
        fold_drop_refused(fold);
        fold_weigh_rows(fold);
        if (changes_nothing(fold)) {
            fold->moments->n_rows += fold->n;
            return false;
        }
        if (choose_form(fold))
            enter(fold, PHASE_MAKE, fold->moments->xx.n_tiles);
        else
            enter_centre(fold);
        return true;
    case PHASE_MAKE:
        fold->moments->by_rows = false;
        enter_centre(fold);
        return true;
    case PHASE_CENTRE:
        fold_sum_s(fold);
        fold_commit(fold);
        enter(fold, PHASE_PRODUCT, n_products(fold) + fold_n_side(fold->p) + 1);
        return true;
    case PHASE_PRODUCT:
        fold->phase = PHASE_GATHER;
        return false;
    }
    return false;
}

static void do_product(struct fold *fold, size_t task, struct scratch *scratch)
{
    size_t n_tiles = n_products(fold), side = fold_n_side(fold->p);

    if (task < n_tiles)
        fold_product_tile(fold, task, scratch);
    else if (task < n_tiles + side)
        fold_product_outputs(fold, task - n_tiles, scratch);
    else
        fold_product_yy(fold);
}

void fold_do_task(struct fold *fold, size_t task, struct scratch *scratch)
{
    switch (fold->phase) {
    case PHASE_CHECK:
        fold_check_batch(fold, fold->ranges[task].rows);
        break;
    case PHASE_MAKE:
        moments_make_tile(fold->moments, task, scratch->wide);
        break;
    case PHASE_CENTRE:
        if (task < fold_n_side(fold->p))
            fold_centre_features(fold, task);
        else
            fold_centre_outputs(fold);
        break;
    case PHASE_PRODUCT:
        do_product(fold, task, scratch);
        break;
    case PHASE_GATHER:
        break;
    }
}

void fold_work(struct fold *fold, size_t worker)
{
    size_t task;

    assert(worker < fold->n_workers);
    while ((task = atomic_fetch_add_explicit(&fold->next_task, 1, memory_order_relaxed)) <
           fold->n_tasks)
        fold_do_task(fold, task, &fold->scratch[worker]);
}

void fold_run(struct fold *fold)
{
    while (fold_next_phase(fold))
        fold_work(fold, 0);
}
