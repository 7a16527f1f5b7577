#include "daemon/core/moments/fold.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/moments/fold_parts.h"

/* A block of this many bytes streams from memory once per row of tiles and still leaves the
 * products compute-bound: at p = 4096 it is 1024 rows. */
#define BLOCK_BYTES (16u << 20)
/* Fewer rows make the products too thin for BLAS; more gain nothing (measured 512..2048: equal). */
#define BLOCK_MIN_ROWS 64
#define BLOCK_MAX_ROWS 1024
/* Radians from one turn to the next (see struct turn): the golden angle, whose multiples come near
 * no direction twice. */
#define TURN_STEP 2.399963229728653

static size_t tile_order(size_t p)
{
    return p < TILE_ORDER ? p : TILE_ORDER;
}

static size_t capacity_for(size_t p, size_t w)
{
    size_t rows = BLOCK_BYTES / (sizeof(float) * p + sizeof(double) * w);

    if (rows < BLOCK_MIN_ROWS)
        return BLOCK_MIN_ROWS;
    return rows < BLOCK_MAX_ROWS ? rows : BLOCK_MAX_ROWS;
}

/* Row by row: x, y, s_part, root, rs, half a turn and a segment; then means and differences, and
 * the workers' scratch. */
double fold_size_bytes(size_t p, size_t w, size_t n_workers)
{
    double rows = (double)capacity_for(p, w), t = (double)tile_order(p), vectors = (double)(p + w);
    double a_row = sizeof(double) * (vectors + (double)fold_n_side(p) + 3) + sizeof(struct segment);

    return rows * a_row + sizeof(double) * 2 * vectors +
           (double)n_workers * t * (sizeof(float) * t + sizeof(double) * 2 * WIDEN_ROWS);
}

static void set_turns(struct fold *f)
{
    for (size_t k = 0; k < f->capacity / 2; k++) {
        f->turns[k].cosine = cos(TURN_STEP * (double)k);
        f->turns[k].sine = sin(TURN_STEP * (double)k);
    }
}

/* The block is sized for doubles; single-precision rows use half of it. */
struct fold *fold_new(size_t p, size_t w, size_t n_workers)
{
    struct fold *f = calloc(1, sizeof *f);
    size_t t = tile_order(p), side = fold_n_side(p), rows = capacity_for(p, w);
    bool ok;

    if (!f)
        return NULL;
    f->p = p;
    f->w = w;
    f->capacity = rows;
    f->n_workers = n_workers;
    f->segments = calloc(rows, sizeof *f->segments);
    f->x = malloc(rows * p * sizeof(double));
    f->y = malloc(rows * w * sizeof(double));
    f->root = malloc(rows * sizeof(double));
    f->rs = malloc(rows * sizeof(double));
    f->s_part = malloc(side * rows * sizeof(double));
    f->mean_x = malloc(2 * p * sizeof(double));
    f->mean_y = malloc(2 * w * sizeof(double));
    f->exponent = calloc(side, sizeof *f->exponent);
    f->turns = malloc(rows / 2 * sizeof *f->turns);
    f->scratch = calloc(n_workers, sizeof *f->scratch);
    ok = f->segments && f->x && f->y && f->root && f->rs && f->s_part && f->mean_x && f->mean_y &&
         f->exponent && f->turns && f->scratch;
    for (size_t i = 0; ok && i < n_workers; i++) {
        f->scratch[i].product = malloc(t * t * sizeof(float));
        f->scratch[i].wide = malloc(sizeof(double) * 2 * WIDEN_ROWS * t);
        ok = f->scratch[i].product && f->scratch[i].wide;
    }
    if (!ok) {
        fold_free(f);
        return NULL;
    }
    set_turns(f);
    f->dx = f->mean_x + p;
    f->dy = f->mean_y + w;
    return f;
}

void fold_free(struct fold *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->scratch && i < f->n_workers; i++) {
        free(f->scratch[i].product);
        free(f->scratch[i].wide);
    }
    free(f->segments);
    free(f->x);
    free(f->y);
    free(f->root);
    free(f->rs);
    free(f->s_part);
    free(f->mean_x);
    free(f->mean_y);
    free(f->exponent);
    free(f->turns);
    free(f->scratch);
    free(f);
}

size_t fold_capacity(const struct fold *f)
{
    return f->capacity;
}

size_t fold_n_rows(const struct fold *f)
{
    return f->n;
}

bool fold_is_serial(const struct fold *f)
{
    return fold_n_side(f->p) == 1 || f->n_workers == 1;
}

void fold_begin(struct fold *f, struct moments *m, double half_life_rows)
{
    assert(m->p == f->p && m->w == f->w);
    f->m = m;
    f->half_life_rows = half_life_rows;
    f->phase = PHASE_GATHER;
    f->n_segments = 0;
    f->n = 0;
    f->wide = false;
}

bool fold_accepts(const struct fold *f, const struct rows *r)
{
    return f->n < f->capacity && (f->n == 0 || f->wide == (r->features_dtype == DTYPE_F64));
}

void fold_add(struct fold *f, struct rows *r, size_t from, size_t n)
{
    assert(fold_accepts(f, r) && n > 0 && n <= f->capacity - f->n && from + n <= r->n);
    f->wide = r->features_dtype == DTYPE_F64;
    f->segments[f->n_segments++] = (struct segment){.rows = r, .from = from, .n = n};
    f->n += n;
}

/* ---- phases -------------------------------------------------------------------------------- */

static void enter(struct fold *f, enum phase phase, size_t n_tasks)
{
    f->phase = phase;
    f->n_tasks = n_tasks;
    atomic_store_explicit(&f->next_task, 0, memory_order_relaxed);
}

/* Whether the window, with this block, has fewer rows than features and all of them are kept. */
static bool is_short(const struct fold *f)
{
    const struct reservoir *reservoir = f->m->reservoir;

    return reservoir && f->half_life_rows == 0 && reservoir_has_all(reservoir) &&
           f->m->n_rows + f->n < f->p && reservoir->n_seen + f->n <= reservoir_capacity(reservoir);
}

/* A window that begins may put X'X off; one that grows too long for that makes it now, before its
 * rows have to make room. Returns whether it must. */
static bool choose_form(struct fold *f)
{
    bool few = is_short(f);

    if (f->m->weight == 0)
        f->m->by_rows = few && f->m->may_wait;
    return f->m->by_rows && !few;
}

static void enter_centre(struct fold *f)
{
    double decay = f->half_life_rows > 0 ? exp2(-(double)f->n / f->half_life_rows) : 1;

    if (f->m->reservoir)
        reservoir_make_room(f->m->reservoir, f->n);
    f->k = moments_combination(f->m, decay, f->weight);
    enter(f, PHASE_CENTRE, fold_n_side(f->p) + 1);
}

/* Tiles of X'X that the block enters: none while they are put off. */
static size_t n_products(const struct fold *f)
{
    return f->m->by_rows ? 0 : f->m->xx.n_tiles;
}

bool fold_next_phase(struct fold *f)
{
    switch (f->phase) {
    case PHASE_GATHER:
        enter(f, PHASE_CHECK, f->n_segments);
        return true;
    case PHASE_CHECK:
        fold_drop_refused(f);
        fold_weigh_rows(f);
        if (!(f->weight > 0)) {
            f->m->n_rows += f->n; /* rows that weigh nothing enter, and change nothing */
            return false;
        }
        if (choose_form(f))
            enter(f, PHASE_MAKE, f->m->xx.n_tiles);
        else
            enter_centre(f);
        return true;
    case PHASE_MAKE:
        f->m->by_rows = false;
        enter_centre(f);
        return true;
    case PHASE_CENTRE:
        fold_sum_s(f);
        enter(f, PHASE_PRODUCT, n_products(f) + fold_n_side(f->p) + 1);
        return true;
    case PHASE_PRODUCT:
        fold_commit(f);
        f->phase = PHASE_GATHER;
        return false;
    }
    return false;
}

size_t fold_n_shares(const struct fold *f)
{
    return f->n_tasks < f->n_workers ? f->n_tasks : f->n_workers;
}

static void do_task(struct fold *f, size_t task, struct scratch *s)
{
    size_t n_tiles = n_products(f), side = fold_n_side(f->p);

    switch (f->phase) {
    case PHASE_CHECK:
        fold_check_batch(f, f->segments[task].rows);
        break;
    case PHASE_MAKE:
        moments_make_tile(f->m, task, s->wide);
        break;
    case PHASE_CENTRE:
        if (task < side)
            fold_centre_features(f, task);
        else
            fold_centre_outputs(f);
        break;
    case PHASE_PRODUCT:
        if (task < n_tiles)
            fold_product_tile(f, task, s);
        else if (task < n_tiles + side)
            fold_product_outputs(f, task - n_tiles, s);
        else
            fold_product_yy(f);
        break;
    case PHASE_GATHER:
        break;
    }
}

void fold_work(struct fold *f, size_t worker)
{
    size_t task;

    assert(worker < f->n_workers);
    while ((task = atomic_fetch_add_explicit(&f->next_task, 1, memory_order_relaxed)) < f->n_tasks)
        do_task(f, task, &f->scratch[worker]);
}

void fold_run(struct fold *f)
{
    while (fold_next_phase(f))
        fold_work(f, 0);
}
