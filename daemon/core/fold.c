#include "daemon/core/fold.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/linalg.h"

/* A block of this many bytes streams from memory once per row of tiles and still leaves the
 * products compute-bound: at p = 4096 it is 1024 rows. */
#define BLOCK_BYTES (16u << 20)
/* Fewer rows make the products too thin for BLAS; more gain nothing (measured 512..2048: equal). */
#define BLOCK_MIN_ROWS 64
#define BLOCK_MAX_ROWS 1024
/* Rows widened to double at a time for X'Y: 128 x 512 doubles stay in the second-level cache. */
#define WIDEN_ROWS MOMENTS_MAKE_ROWS
/* Centred single-precision values outside 2^-40..2^40 would overflow or vanish when squared and
 * added; such a column tile is scaled by a power of two, which is exact. */
#define SAFE_EXPONENT 40
/* Radians from one turn to the next (see struct turn): the golden angle, whose multiples come near
 * no direction twice. */
#define TURN_STEP 2.399963229728653

enum phase {
    PHASE_GATHER,
    PHASE_CHECK,
    PHASE_MAKE,
    PHASE_CENTRE,
    PHASE_PRODUCT,
};

struct segment {
    struct rows *rows;
    size_t from;
    size_t n;
};

/* Single-precision sums of equal products round the same way at every step, so two-valued features
 * (one-hot inputs, saturated units, collapsed classes) would drift by up to 5e-6. Rows 2k and
 * 2k + 1 of a single-precision block are therefore turned into each other, by another angle for
 * each k: X'X, X'Y and Y'Y do not notice an orthogonal change of the rows, and the rounding becomes
 * a random walk. */
struct turn {
    double cosine, sine;
};

struct scratch {
    float *product; /* T x T */
    double *wide;   /* WIDEN_ROWS x T twice, or what making a tile needs */
};

struct fold {
    size_t p, w, capacity, n_workers;
    struct moments *m;
    double half_life_rows;

    enum phase phase;
    size_t n_tasks;
    atomic_size_t next_task;

    struct segment *segments;
    size_t n_segments;
    size_t n; /* rows in the block */

    bool wide;     /* the block is double: the features are f64 */
    void *x;       /* n x p, centred, weighted by sqrt(w), turned: float, or double when wide */
    double *y;     /* n x w: outputs, then targets, likewise */
    double *root;  /* n: sqrt(w_i) */
    double weight; /* of the block: sum w */
    double weight_sq;

    double *mean_x, *mean_y;
    double *dx, *dy;   /* mean of the block less the old mean of the moments */
    double *s_part;    /* n_side x n: s_i over the columns of one column tile */
    double *rs;        /* n: sqrt(w_i) s_i, turned like the rows */
    double weighted_s; /* sum w s */
    int *exponent; /* of each column tile: the block holds 2^exponent times the centred values */
    struct combination k;
    struct turn *turns; /* capacity / 2 */
    struct scratch *scratch;
};

static size_t n_side(size_t p)
{
    return (p + TILE_ORDER - 1) / TILE_ORDER;
}

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
    double a_row = sizeof(double) * (vectors + (double)n_side(p) + 3) + sizeof(struct segment);

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
    size_t t = tile_order(p), side = n_side(p), rows = capacity_for(p, w);
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
    return n_side(f->p) == 1 || f->n_workers == 1;
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

/* ---- CHECK --------------------------------------------------------------------------------- */

static bool check_frame(struct rows *r, const char *what, enum dtype d, const void *values,
                        size_t n_columns)
{
    size_t n = r->n * n_columns, bad = dtype_find_nonfinite(d, values, n);

    if (bad == n)
        return true;
    err_set(&r->why, -1, "%s are not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

static bool is_label(enum dtype d)
{
    return d == DTYPE_I32 || d == DTYPE_I64;
}

/* Labels are the caller's promise: they lie in 0..K-1. */
static bool check_targets(struct rows *r, size_t n_targets)
{
    return n_targets == 0 || is_label(r->targets_dtype) ||
           check_frame(r, "targets", r->targets_dtype, r->targets, n_targets);
}

static double weight_of(const struct rows *r, size_t i)
{
    double weight = 1;

    if (r->weights)
        dtype_to_double(r->weights_dtype,
                        (const char *)r->weights + i * dtype_size(r->weights_dtype), 1, &weight);
    return weight;
}

static bool check_weights(struct rows *r)
{
    if (!r->weights)
        return true;
    if (!check_frame(r, "weights", r->weights_dtype, r->weights, 1))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (weight_of(r, i) < 0) {
            err_set(&r->why, -1, "the weight at row %zu is negative", i);
            return false;
        }
    }
    return true;
}

/* A batch that spans blocks is checked whole before its first row enters one. */
static void check_batch(struct fold *f, struct rows *r)
{
    if (r->checked)
        return;
    r->refused = !check_frame(r, "features", r->features_dtype, r->features, f->p) ||
                 !check_frame(r, "outputs", r->outputs_dtype, r->outputs, f->m->c) ||
                 !check_targets(r, f->m->k) || !check_weights(r);
    r->checked = true;
}

static void drop_refused(struct fold *f)
{
    size_t kept = 0;

    f->n = 0;
    for (size_t i = 0; i < f->n_segments; i++) {
        if (f->segments[i].rows->refused)
            continue;
        f->n += f->segments[i].n;
        f->segments[kept++] = f->segments[i];
    }
    f->n_segments = kept;
}

/* ---- CENTRE -------------------------------------------------------------------------------- */

/* The newest row weighs 1, one that is h rows older half as much; times what the trainer says. */
static void weigh_rows(struct fold *f)
{
    size_t at = 0;

    f->weight = 0;
    f->weight_sq = 0;
    for (size_t k = 0; k < f->n_segments; k++) {
        const struct segment *s = &f->segments[k];

        for (size_t i = 0; i < s->n; i++, at++) {
            double age = (double)(f->n - 1 - at), w = weight_of(s->rows, s->from + i);

            if (f->half_life_rows > 0)
                w *= exp2(-age / f->half_life_rows);
            f->root[at] = sqrt(w);
            f->weight += w;
            f->weight_sq += w * w;
        }
    }
}

/* `n` values of row `i` of a segment from column `col` on, in features or outputs, as doubles. */
static void read_features(const struct fold *f, const struct segment *s, size_t i, size_t col,
                          size_t n, double *out)
{
    size_t size = dtype_size(s->rows->features_dtype), at = (s->from + i) * f->p + col;

    dtype_to_double(s->rows->features_dtype, (const char *)s->rows->features + at * size, n, out);
}

static void read_outputs(const struct fold *f, const struct segment *s, size_t i, size_t col,
                         size_t n, double *out)
{
    size_t size = dtype_size(s->rows->outputs_dtype), at = (s->from + i) * f->m->c + col;

    dtype_to_double(s->rows->outputs_dtype, (const char *)s->rows->outputs + at * size, n, out);
}

/* A label is a one-hot row. */
static void read_targets(const struct fold *f, const struct segment *s, size_t i, size_t col,
                         size_t n, double *out)
{
    enum dtype d = s->rows->targets_dtype;
    const char *targets = s->rows->targets;
    double label;

    if (!is_label(d)) {
        dtype_to_double(d, targets + ((s->from + i) * f->m->k + col) * dtype_size(d), n, out);
        return;
    }
    dtype_to_double(d, targets + (s->from + i) * dtype_size(d), 1, &label);
    memset(out, 0, n * sizeof *out);
    if (label >= (double)col && label < (double)(col + n))
        out[(size_t)label - col] = 1;
}

typedef void reader(const struct fold *, const struct segment *, size_t i, size_t col, size_t n,
                    double *out);

/* Weighted mean of columns col..col+n-1, n <= TILE_ORDER. Summed as differences from the first row:
 * a constant column comes out exact, and a large offset loses no digits. */
static void column_means(const struct fold *f, reader *read, size_t col, size_t n, double *mean)
{
    double pivot[TILE_ORDER], row[TILE_ORDER];
    size_t at = 0;

    read(f, &f->segments[0], 0, col, n, pivot);
    memset(mean, 0, n * sizeof *mean);
    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            double w = f->root[at] * f->root[at];

            read(f, &f->segments[k], i, col, n, row);
            for (size_t j = 0; j < n; j++)
                mean[j] += w * (row[j] - pivot[j]);
        }
    }
    for (size_t j = 0; j < n; j++)
        mean[j] = pivot[j] + mean[j] / f->weight;
}

/* Turns two rows of `n` values into each other by the k-th turn. */
static void turn_pair(const struct fold *f, size_t k, size_t n, double *a, double *b)
{
    double cosine = f->turns[k].cosine, sine = f->turns[k].sine;

    for (size_t j = 0; j < n; j++) {
        double x = a[j], y = b[j];

        a[j] = cosine * x + sine * y;
        b[j] = cosine * y - sine * x;
    }
}

/* Turns all rows of a block of doubles, as centre_rows turns the features. A double block has
 * digits to spare and stays as it is. */
static void turn_rows(const struct fold *f, size_t n_cols, double *values)
{
    for (size_t k = 0; !f->wide && k < f->n / 2; k++)
        turn_pair(f, k, n_cols, values + 2 * k * n_cols, values + (2 * k + 1) * n_cols);
}

/* Stores one row of a column tile, and returns its largest magnitude. */
static double store_row(struct fold *f, size_t at, size_t col, size_t n, const double *row)
{
    double largest = 0;

    for (size_t j = 0; j < n; j++)
        largest = fabs(row[j]) > largest ? fabs(row[j]) : largest;
    if (f->wide) {
        memcpy((double *)f->x + at * f->p + col, row, n * sizeof *row);
    } else {
        float *to = (float *)f->x + at * f->p + col;

        for (size_t j = 0; j < n; j++)
            to[j] = (float)row[j];
    }
    return largest;
}

/* Columns first..first+n-1 of the rows that are kept, as they came. */
static void keep_columns(const struct fold *f, reader *read, size_t col, size_t n, double *to,
                         size_t width)
{
    size_t at = 0;

    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            size_t place = keep_place(f->m->kept, at);

            if (place != KEEP_NONE)
                read(f, &f->segments[k], i, col, n, to + place * width + col);
        }
    }
}

static void keep_weights(const struct fold *f)
{
    size_t at = 0;

    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            size_t place = keep_place(f->m->kept, at);

            if (place != KEEP_NONE)
                f->m->kept->weight[place] = weight_of(f->segments[k].rows, f->segments[k].from + i);
        }
    }
}

/* One row as `factor` times its difference from the mean; returns its part of s_i. */
static double centre_row(const struct fold *f, const struct segment *s, size_t i, size_t col,
                         size_t n, double factor, double *row)
{
    const double *mean = f->mean_x + col, *shift = f->m->shift + col;
    double sum = 0;

    read_features(f, s, i, col, n, row);
    for (size_t j = 0; j < n; j++) {
        double z = row[j] - shift[j];

        sum += z * z;
        row[j] = factor * (row[j] - mean[j]);
    }
    return sum;
}

/* Centres columns col..col+n-1 with `scale`, a power of two, turns pairs of rows, and leaves this
 * tile's part of s_i. Returns the largest magnitude that was stored. */
static double centre_rows(struct fold *f, size_t col, size_t n, double scale, double *s_part)
{
    double pair[2][TILE_ORDER], largest = 0;
    size_t at = 0;

    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            s_part[at] =
                centre_row(f, &f->segments[k], i, col, n, scale * f->root[at], pair[at % 2]);
            if (at % 2 == 0)
                continue;
            if (!f->wide)
                turn_pair(f, at / 2, n, pair[0], pair[1]);
            largest = fmax(largest, store_row(f, at - 1, col, n, pair[0]));
            largest = fmax(largest, store_row(f, at, col, n, pair[1]));
        }
    }
    if (at % 2 == 1)
        largest = fmax(largest, store_row(f, at - 1, col, n, pair[0]));
    return largest;
}

static void centre_features(struct fold *f, size_t k)
{
    size_t col = k * TILE_ORDER, n = f->p - col < TILE_ORDER ? f->p - col : TILE_ORDER;
    double *s_part = f->s_part + k * f->n, largest;
    int exponent;

    column_means(f, read_features, col, n, f->mean_x + col);
    if (f->m->kept)
        keep_columns(f, read_features, col, n, f->m->kept->x, f->p);
    if (f->m->weight == 0)
        memcpy(f->m->shift + col, f->mean_x + col, n * sizeof(double));
    for (size_t j = col; j < col + n; j++)
        f->dx[j] = f->mean_x[j] - f->m->mean_x[j];
    f->exponent[k] = 0;
    largest = centre_rows(f, col, n, 1, s_part);
    if (f->wide || largest == 0)
        return;
    frexp(largest, &exponent);
    if (abs(exponent) > SAFE_EXPONENT) {
        f->exponent[k] = -exponent;
        centre_rows(f, col, n, ldexp(1, -exponent), s_part);
    }
}

/* Centres `n_cols` outputs or targets into the columns of Y from `first` on. */
static void centre_columns(struct fold *f, reader *read, size_t first, size_t n_cols)
{
    double row[TILE_ORDER], *mean = f->mean_y + first;

    for (size_t col = 0; col < n_cols; col += TILE_ORDER) {
        size_t n = n_cols - col < TILE_ORDER ? n_cols - col : TILE_ORDER, at = 0;

        column_means(f, read, col, n, mean + col);
        for (size_t k = 0; k < f->n_segments; k++) {
            for (size_t i = 0; i < f->segments[k].n; i++, at++) {
                read(f, &f->segments[k], i, col, n, row);
                for (size_t j = 0; j < n; j++)
                    f->y[at * f->w + first + col + j] = f->root[at] * (row[j] - mean[col + j]);
            }
        }
    }
}

/* Outputs and targets of the rows that are kept, and their weights. */
static void keep_outputs(const struct fold *f)
{
    const struct moments *m = f->m;

    keep_columns(f, read_outputs, 0, m->c, m->kept->y, m->w);
    if (m->k > 0)
        keep_columns(f, read_targets, 0, m->k, m->kept->y + m->c, m->w);
    keep_weights(f);
}

static void centre_outputs(struct fold *f)
{
    if (f->m->kept)
        keep_outputs(f);
    centre_columns(f, read_outputs, 0, f->m->c);
    centre_columns(f, read_targets, f->m->c, f->m->k);
    turn_rows(f, f->w, f->y);
    for (size_t j = 0; j < f->w; j++)
        f->dy[j] = f->mean_y[j] - f->m->mean_y[j];
}

/* s_i from its parts, and what the sums over it need. */
static void sum_s(struct fold *f)
{
    double keep = f->k.keep, sum_s2 = 0;

    f->weighted_s = 0;
    for (size_t i = 0; i < f->n; i++) {
        double s = 0, w = f->root[i] * f->root[i];

        for (size_t k = 0; k < n_side(f->p); k++)
            s += f->s_part[k * f->n + i];
        f->rs[i] = f->root[i] * s;
        f->weighted_s += w * s;
        sum_s2 += w * s * s;
    }
    turn_rows(f, 1, f->rs);
    f->m->sum_s2 = keep * f->m->sum_s2 + sum_s2;
}

/* ---- PRODUCT ------------------------------------------------------------------------------- */

/* to = keep to + between d_row d_col' for one row of a matrix; keep = 0 does not read `to`. */
static void begin_row(const struct combination *k, size_t n, double d_row, const double *d_col,
                      double *to)
{
    double b = k->between * d_row;

    if (k->keep == 0) {
        for (size_t j = 0; j < n; j++)
            to[j] = b * d_col[j];
        return;
    }
    for (size_t j = 0; j < n; j++)
        to[j] = k->keep * to[j] + b * d_col[j];
}

static void product_tile_wide(struct fold *f, const struct tile *t)
{
    const double *x = f->x;

    if (t->row == t->col)
        linalg_gram_f64(f->n, t->n_rows, x + t->row, f->p, 1, t->values, t->n_cols);
    else
        linalg_cross_f64(f->n, t->n_rows, t->n_cols, x + t->row, f->p, x + t->col, f->p, 1,
                         t->values, t->n_cols);
}

static void product_tile_single(struct fold *f, const struct tile *t, float *product)
{
    const float *x = f->x;
    int exponent = f->exponent[t->row / TILE_ORDER] + f->exponent[t->col / TILE_ORDER];
    double scale = ldexp(1, -exponent);

    if (t->row == t->col)
        linalg_gram_f32(f->n, t->n_rows, x + t->row, f->p, product, t->n_cols);
    else
        linalg_cross_f32(f->n, t->n_rows, t->n_cols, x + t->row, f->p, x + t->col, f->p, product,
                         t->n_cols);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t first = t->row == t->col ? i : 0;

        for (size_t j = first; j < t->n_cols; j++)
            t->values[i * t->n_cols + j] += scale * product[i * t->n_cols + j];
    }
}

static void product_tile(struct fold *f, size_t k, struct scratch *s)
{
    struct tile t = tiles_at(&f->m->xx, k);

    for (size_t i = 0; i < t.n_rows; i++)
        begin_row(&f->k, t.n_cols, f->dx[t.row + i], f->dx + t.col, t.values + i * t.n_cols);
    if (f->wide)
        product_tile_wide(f, &t);
    else
        product_tile_single(f, &t, s->product);
}

/* Rows from..from+n-1 of a column tile as doubles: in place when the block is double. */
static const double *widen(struct fold *f, size_t k, size_t from, size_t n, size_t n_cols,
                           double *wide, size_t *ld)
{
    double scale = ldexp(1, -f->exponent[k]);

    *ld = f->p;
    if (f->wide)
        return (double *)f->x + from * f->p + k * TILE_ORDER;
    *ld = n_cols;
    for (size_t i = 0; i < n; i++) {
        const float *row = (float *)f->x + (from + i) * f->p + k * TILE_ORDER;

        for (size_t j = 0; j < n_cols; j++)
            wide[i * n_cols + j] = scale * row[j];
    }
    return wide;
}

/* xy += X'Y and sum_sx += X'(s) for the rows of xy that belong to one column tile. With z = x - m_b
 * + e, e = m_b - shift: sum w s z = sum w s (x - m_b) + e sum w s. */
static void product_outputs(struct fold *f, size_t k, struct scratch *s)
{
    size_t col = k * TILE_ORDER, n_cols = f->p - col < TILE_ORDER ? f->p - col : TILE_ORDER, ld;
    double *xy = f->m->xy + col * f->w, *sum_sx = f->m->sum_sx + col;

    for (size_t j = 0; j < n_cols; j++) {
        begin_row(&f->k, f->w, f->dx[col + j], f->dy, xy + j * f->w);
        sum_sx[j] =
            f->k.keep * sum_sx[j] + f->weighted_s * (f->mean_x[col + j] - f->m->shift[col + j]);
    }
    for (size_t from = 0; from < f->n; from += WIDEN_ROWS) {
        size_t n = f->n - from < WIDEN_ROWS ? f->n - from : WIDEN_ROWS;
        const double *x = widen(f, k, from, n, n_cols, s->wide, &ld);

        linalg_cross_f64(n, n_cols, f->w, x, ld, f->y + from * f->w, f->w, 1, xy, f->w);
        linalg_matvec_f64(true, n, n_cols, x, ld, f->rs + from, sum_sx);
    }
}

static void product_yy(struct fold *f)
{
    for (size_t i = 0; i < f->w; i++)
        begin_row(&f->k, f->w - i, f->dy[i], f->dy + i, f->m->yy + i * f->w + i);
    linalg_gram_f64(f->n, f->w, f->y, f->w, 1, f->m->yy, f->w);
}

/* The vectors move last: the tasks of PRODUCT read the old ones through dx, dy and k. */
static void commit(struct fold *f)
{
    struct moments *m = f->m;

    for (size_t j = 0; j < f->p; j++)
        m->mean_x[j] += f->k.step * f->dx[j];
    for (size_t j = 0; j < f->w; j++)
        m->mean_y[j] += f->k.step * f->dy[j];
    m->weight = f->k.keep * m->weight + f->weight;
    m->weight_sq = f->k.keep * f->k.keep * m->weight_sq + f->weight_sq;
    m->n_rows += f->n;
    if (m->kept)
        keep_commit(m->kept, f->n);
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
    const struct keep *kept = f->m->kept;

    return kept && f->half_life_rows == 0 && keep_has_all(kept) && f->m->n_rows + f->n < f->p &&
           kept->n_seen + f->n <= keep_capacity(kept);
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
    double keep = f->half_life_rows > 0 ? exp2(-(double)f->n / f->half_life_rows) : 1;

    if (f->m->kept)
        keep_make_room(f->m->kept, f->n);
    f->k = moments_combination(f->m, keep, f->weight);
    enter(f, PHASE_CENTRE, n_side(f->p) + 1);
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
        drop_refused(f);
        weigh_rows(f);
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
        sum_s(f);
        enter(f, PHASE_PRODUCT, n_products(f) + n_side(f->p) + 1);
        return true;
    case PHASE_PRODUCT:
        commit(f);
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
    size_t n_tiles = n_products(f), side = n_side(f->p);

    switch (f->phase) {
    case PHASE_CHECK:
        check_batch(f, f->segments[task].rows);
        break;
    case PHASE_MAKE:
        moments_make_tile(f->m, task, s->wide);
        break;
    case PHASE_CENTRE:
        if (task < side)
            centre_features(f, task);
        else
            centre_outputs(f);
        break;
    case PHASE_PRODUCT:
        if (task < n_tiles)
            product_tile(f, task, s);
        else if (task < n_tiles + side)
            product_outputs(f, task - n_tiles, s);
        else
            product_yy(f);
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
