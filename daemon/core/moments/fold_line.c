#include "daemon/core/moments/fold_line.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/moments/fold_parts.h"

/* Blocks in work: the products of one, and the next. */
#define N_OPEN 2
/* A line takes so many blocks, and no more rows than fill so many bytes: then a job lasts 10 to
 * 200 ms, beside which its way through the loop is little, and credit returns often. */
#define BLOCKS_MAX 8
#define LINE_BYTES (32u << 20)
/* Below so many multiplications, .1 ms, a second worker costs more than it brings. */
#define SHARE_WORK 1e7

/* A block in work. */
struct place {
    struct fold *fold;
    bool is_open;
    bool is_moving; /* a worker leads it to its next phase */
    enum phase phase;
    size_t n_tasks;
    size_t next; /* tasks of the phase that were taken */
    size_t n_done;
    bool *is_done; /* n_products: of PRODUCT */
};

/* What a worker takes: a task of a block, or its way to the next phase. */
struct step {
    struct place *place;
    bool moves;
    size_t task;
};

struct fold_line {
    size_t p, w, n_workers, n_places, block, capacity, n_products;
    struct scratch *scratch; /* of each worker */
    struct moments *moments;
    double half_life_rows;

    struct row_range *ranges; /* as they were added */
    size_t n_ranges;
    size_t n;
    size_t range_at, row_at; /* where the next block begins */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved;
    size_t n_waiting;
    struct place places[N_OPEN];
    size_t first;  /* the place of the older block */
    size_t n_open; /* blocks in work */
};

/* ---- memory ---- */

static size_t n_products_for(size_t p)
{
    size_t side = fold_n_side(p);

    return side * (side + 1) / 2 + side + 1;
}

static size_t capacity_for(size_t p, size_t block)
{
    size_t blocks = LINE_BYTES / (sizeof(float) * p * block);

    if (blocks < 1)
        blocks = 1;
    return block * (blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX);
}

static size_t n_places_for(size_t n_workers)
{
    return n_workers < N_OPEN ? n_workers : N_OPEN;
}

double fold_line_size_bytes(size_t p, size_t w, size_t n_workers)
{
    size_t block = fold_block_rows(p, w);
    double places = (double)n_places_for(n_workers);

    return places * (fold_narrow_bytes(p, w) + (double)n_products_for(p) * sizeof(bool)) +
           (double)n_workers * fold_scratch_bytes(p) +
           (double)(capacity_for(p, block) * sizeof(struct row_range));
}

struct fold_line *fold_line_new(size_t p, size_t w, size_t n_workers)
{
    struct fold_line *line = calloc(1, sizeof *line);
    bool ok;

    assert(p > 0 && n_workers > 0);
    if (!line)
        return NULL;
    pthread_mutex_init(&line->lock, NULL);
    pthread_cond_init(&line->moved, NULL);
    line->p = p;
    line->w = w;
    line->n_workers = n_workers;
    line->n_places = n_places_for(n_workers);
    line->block = fold_block_rows(p, w);
    line->capacity = capacity_for(p, line->block);
    line->n_products = n_products_for(p);
    line->ranges = malloc(line->capacity * sizeof *line->ranges);
    line->scratch = calloc(n_workers, sizeof *line->scratch);
    ok = line->ranges && line->scratch;
    for (size_t i = 0; ok && i < line->n_places; i++) {
        line->places[i].fold = fold_new_narrow(p, w);
        line->places[i].is_done = calloc(line->n_products, sizeof(bool));
        ok = line->places[i].fold && line->places[i].is_done;
    }
    for (size_t i = 0; ok && i < n_workers; i++)
        ok = fold_scratch_init(&line->scratch[i], p) == 0;
    if (ok)
        return line;
    fold_line_free(line);
    return NULL;
}

void fold_line_free(struct fold_line *line)
{
    if (!line)
        return;
    assert(line->n_open == 0);
    for (size_t i = 0; i < line->n_places; i++) {
        fold_free(line->places[i].fold);
        free(line->places[i].is_done);
    }
    for (size_t i = 0; line->scratch && i < line->n_workers; i++)
        fold_scratch_release(&line->scratch[i]);
    pthread_mutex_destroy(&line->lock);
    pthread_cond_destroy(&line->moved);
    free(line->scratch);
    free(line->ranges);
    free(line);
}

/* ---- rows ---- */

size_t fold_line_block(const struct fold_line *line)
{
    return line->block;
}

size_t fold_line_capacity(const struct fold_line *line)
{
    return line->capacity;
}

size_t fold_line_n_rows(const struct fold_line *line)
{
    return line->n;
}

void fold_line_begin(struct fold_line *line, struct moments *m, double half_life_rows)
{
    assert(m->p == line->p && m->w == line->w && line->n_open == 0);
    line->moments = m;
    line->half_life_rows = half_life_rows;
    line->n = line->n_ranges = line->range_at = line->row_at = 0;
}

static bool is_wide(const struct rows *rows)
{
    return rows->features_dtype == DTYPE_F64;
}

bool fold_line_accepts(const struct fold_line *line, const struct rows *rows)
{
    return line->n < line->capacity &&
           (line->n == 0 || is_wide(line->ranges[0].rows) == is_wide(rows));
}

void fold_line_add(struct fold_line *line, struct rows *rows, size_t from, size_t n)
{
    assert(fold_line_accepts(line, rows) && n > 0 && n <= line->capacity - line->n &&
           from + n <= rows->n);
    line->ranges[line->n_ranges++] = (struct row_range){.rows = rows, .from = from, .n = n};
    line->n += n;
}

size_t fold_line_n_shares(const struct fold_line *line)
{
    double work = (double)line->n * (double)line->p * (double)(line->p + line->w);
    size_t most = line->n_places * line->n_products, n = 1;

    most = most < line->n_workers ? most : line->n_workers;
    while (n < most && work > (double)(n + 1) * SHARE_WORK)
        n++;
    return n;
}

/* Fills a fold with the next block; doubles take the room of two. */
static void fill(struct fold_line *line, struct fold *fold)
{
    size_t block = is_wide(line->ranges[0].rows) ? line->block / 2 : line->block;

    fold_begin(fold, line->moments, line->half_life_rows);
    while (line->range_at < line->n_ranges && fold_n_rows(fold) < block) {
        const struct row_range *range = &line->ranges[line->range_at];
        size_t left = block - fold_n_rows(fold), n = range->n - line->row_at;

        n = n < left ? n : left;
        fold_add(fold, range->rows, range->from + line->row_at, n);
        line->row_at += n;
        if (line->row_at < range->n)
            return;
        line->range_at++;
        line->row_at = 0;
    }
}

/* ---- with the lock ---- */

static bool has_rows(const struct fold_line *line)
{
    return line->range_at < line->n_ranges;
}

/* The i-th block in work, the oldest first. */
static struct place *place_at(struct fold_line *line, size_t i)
{
    return &line->places[(line->first + i) % line->n_places];
}

/* The block is in the phase that its fold says, of which nothing is done. */
static void enter_phase(struct fold_line *line, struct place *place)
{
    place->phase = place->fold->phase;
    place->n_tasks = place->fold->n_tasks;
    assert(place->phase != PHASE_PRODUCT || place->n_tasks <= line->n_products);
    place->next = place->n_done = 0;
    place->is_moving = false;
    memset(place->is_done, 0, line->n_products * sizeof *place->is_done);
}

static void open_block(struct fold_line *line)
{
    struct place *place = place_at(line, line->n_open++);

    fill(line, place->fold);
    place->is_open = fold_next_phase(place->fold);
    assert(place->is_open);
    enter_phase(line, place);
}

/* Forgets the blocks that are over, the older one first. */
static void close_blocks(struct fold_line *line)
{
    while (line->n_open > 0 && !place_at(line, 0)->is_open) {
        line->first = (line->first + 1) % line->n_places;
        line->n_open--;
    }
}

/* Whether the i-th block may go to its next phase. */
static bool may_move(struct fold_line *line, size_t i)
{
    const struct place *place = place_at(line, i), *before = place_at(line, 0);

    if (!place->is_open || place->is_moving || place->n_done < place->n_tasks)
        return false;
    if (i == 0 || place->phase != PHASE_CHECK)
        return true;
    return before->phase == PHASE_PRODUCT && !line->moments->by_rows;
}

/* Whether the next task of the i-th block may begin. */
static bool may_begin(struct fold_line *line, size_t i)
{
    const struct place *place = place_at(line, i), *before = place_at(line, 0);

    if (!place->is_open || place->next == place->n_tasks)
        return false;
    if (i == 0)
        return true;
    if (place->phase == PHASE_CHECK)
        return before->phase != PHASE_CHECK;
    return place->phase != PHASE_PRODUCT || before->is_done[place->next];
}

static bool take(struct fold_line *line, struct step *out)
{
    if (has_rows(line) && line->n_open < line->n_places)
        open_block(line);
    for (size_t i = line->n_open; i-- > 0;) {
        struct place *place = place_at(line, i);

        *out = (struct step){.place = place, .moves = may_move(line, i), .task = place->next};
        if (out->moves)
            place->is_moving = true;
        else if (may_begin(line, i))
            place->next++;
        else
            continue;
        return true;
    }
    return false;
}

static void note_done(struct fold_line *line, const struct step *step, bool goes_on)
{
    struct place *place = step->place;

    if (step->moves) {
        place->is_open = goes_on;
        enter_phase(line, place);
        close_blocks(line);
    } else {
        if (place->phase == PHASE_PRODUCT)
            place->is_done[step->task] = true;
        place->n_done++;
    }
    if (line->n_waiting > 0)
        pthread_cond_broadcast(&line->moved);
}

/* Whether those who work now finish what there is: all is in products, which are all taken. */
static bool leaves_nothing(struct fold_line *line)
{
    for (size_t i = 0; i < line->n_open; i++) {
        const struct place *place = place_at(line, i);

        if (place->is_open && (place->phase != PHASE_PRODUCT || place->next < place->n_tasks))
            return false;
    }
    return !has_rows(line);
}

/* ---- without the lock ---- */

/* Returns whether the block goes on. */
static bool do_step(const struct step *step, struct scratch *scratch)
{
    if (step->moves)
        return fold_next_phase(step->place->fold);
    fold_do_task(step->place->fold, step->task, scratch);
    return true;
}

void fold_line_work(struct fold_line *line, size_t worker)
{
    struct step step;
    bool goes_on;

    assert(worker < line->n_workers);
    pthread_mutex_lock(&line->lock);
    while (true) {
        if (take(line, &step)) {
            pthread_mutex_unlock(&line->lock);
            goes_on = do_step(&step, &line->scratch[worker]);
            pthread_mutex_lock(&line->lock);
            note_done(line, &step, goes_on);
        } else if (leaves_nothing(line)) {
            break;
        } else {
            line->n_waiting++;
            pthread_cond_wait(&line->moved, &line->lock);
            line->n_waiting--;
        }
    }
    pthread_mutex_unlock(&line->lock);
}
