#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/passes.h"
#include "daemon/core/moments/fold_parts.h"

/* The root of the sum of a column tile's squares. Outside 2^-30..2^40 single-precision products of
 * the tile might vanish or overflow; it is scaled by a power of two then, which is exact. */
#define SAFE_EXPONENT_MIN (-30)
#define SAFE_EXPONENT_MAX 40
/* Of a difference of sums, the share of the larger one that still has digits enough for a power of
 * two. */
#define LEAST_SHARE 1e-10

/* Features are read as what the block is. f16 and bf16 are exact as floats. */
static enum dtype features_format(const struct fold *fold)
{
    return fold->wide ? DTYPE_F64 : DTYPE_F32;
}

static void sum_rows(enum dtype format, size_t n_rows, size_t n, const double *weight,
                     const void *const *rows, const double *pivot, double *sum)
{
    if (format == DTYPE_F64)
        passes_sum_f64(n_rows, n, weight, rows, pivot, sum);
    else
        passes_sum_f32(n_rows, n, weight, rows, pivot, sum);
}

/* Weighted mean of columns col..col+n-1, n <= TILE_ORDER. It sums differences from the first row:
 * the mean of a constant column is exact, and a large offset loses no digits. Rows without weight
 * have that row for their mean, which then has none either. */
static void column_means(const struct fold *fold, enum part part, enum dtype format, size_t col,
                         size_t n, double *mean)
{
    double buffer[PASSES_ROWS][TILE_ORDER], pivot[TILE_ORDER], weight[PASSES_ROWS];
    struct walk walk = fold_walk(fold, part, format, col, n);
    const void *rows[PASSES_ROWS];

    fold_read(fold, part, &fold->ranges[0], 0, col, n, pivot);
    memset(mean, 0, n * sizeof *mean);
    for (size_t at = 0, n_rows; at < fold->n; at += n_rows) {
        n_rows = fold->n - at < PASSES_ROWS ? fold->n - at : PASSES_ROWS;
        for (size_t i = 0; i < n_rows; i++) {
            rows[i] = fold_walk_next(&walk, buffer[i]);
            weight[i] = fold->root[at + i] * fold->root[at + i];
        }
        sum_rows(format, n_rows, n, weight, rows, pivot, mean);
    }
    for (size_t j = 0; j < n; j++)
        mean[j] = pivot[j] + (fold->weight > 0 ? mean[j] / fold->weight : 0);
}

/* Centring rows 2k and 2k + 1 of the block; the last of an odd number is a pair with itself, of
 * which only the first counts. A double block has digits to spare and is not turned. */
static struct passes_pair pair_of(const struct fold *fold, size_t at, const double *mean,
                                  const double *shift, double scale)
{
    bool is_pair = at + 1 < fold->n, turned = is_pair && !fold->wide;

    return (struct passes_pair){
        .mean = mean,
        .shift = shift,
        .factor = {scale * fold->root[at], scale * fold->root[is_pair ? at + 1 : at]},
        .cosine = turned ? fold->turns[at / 2].cosine : 1,
        .sine = turned ? fold->turns[at / 2].sine : 0,
    };
}

/* Where centred rows go: `ld` values of the format from one to the next. */
struct target {
    char *values;
    size_t ld;
};

/* Centres what is walked over, times `scale`, and sets |row - shift|^2 of each row, unless
 * `squares` is NULL. */
static void centre_rows(const struct fold *fold, struct walk walk, const double *mean,
                        const double *shift, double scale, struct target to, double *squares)
{
    double buffer[2][TILE_ORDER], spare[TILE_ORDER] = {0}, both[2];
    size_t row_bytes = to.ld * dtype_size(walk.format);

    for (size_t at = 0; at < fold->n; at += 2) {
        struct passes_pair pair = pair_of(fold, at, mean, shift, scale);
        bool is_pair = at + 1 < fold->n;
        const void *rows[2] = {fold_walk_next(&walk, buffer[0])};
        void *out[2] = {to.values + at * row_bytes,
                        is_pair ? (void *)(to.values + (at + 1) * row_bytes) : spare};

        rows[1] = is_pair ? fold_walk_next(&walk, buffer[1]) : rows[0];
        if (walk.format == DTYPE_F64)
            passes_centre_f64(walk.n, &pair, rows, (double *const[2]){out[0], out[1]}, both);
        else
            passes_centre_f32(walk.n, &pair, rows, (float *const[2]){out[0], out[1]}, both);
        if (squares)
            memcpy(squares + at, both, (is_pair ? 2 : 1) * sizeof *both);
    }
}

/* z += w (x - shift) of each row's class, for columns col..col+n-1. */
static void sum_classes(const struct fold *fold, size_t col, size_t n)
{
    const struct classes *classes = fold->moments->classes;
    struct walk walk = fold_walk(fold, PART_FEATURES, features_format(fold), col, n);
    double buffer[TILE_ORDER];

    for (size_t at = 0; at < fold->n; at++) {
        double w = fold->root[at] * fold->root[at] / classes->scale;
        const void *row = fold_walk_next(&walk, buffer);

        if (fold->slot[at] != CLASSES_NONE)
            sum_rows(walk.format, 1, n, &w, &row, fold->moments->shift + col,
                     classes_z(classes, fold->slot[at]) + col);
    }
}

static double weighted_sum(const struct fold *fold, const double *squares)
{
    double sum = 0;

    for (size_t i = 0; i < fold->n; i++)
        sum += fold->root[i] * fold->root[i] * squares[i];
    return sum;
}

/* A column tile on its way into the block. */
struct column_tile {
    struct walk walk;
    const double *mean, *shift;
    struct target to;
    double *squares; /* n: |row - shift|^2 */
};

/* sum w |x - m|^2 = sum w |x - shift|^2 - W |m - shift|^2, where that leaves digits: it does unless
 * the mean has moved by 10^5 times the spread. Then `squares` and the block are overwritten. */
static double tile_spread(const struct fold *fold, const struct column_tile *tile)
{
    double all = weighted_sum(fold, tile->squares), away = 0;

    for (size_t j = 0; j < tile->walk.n; j++)
        away += (tile->mean[j] - tile->shift[j]) * (tile->mean[j] - tile->shift[j]);
    away *= fold->weight;
    if (away <= (1 - LEAST_SHARE) * all)
        return all - away;
    centre_rows(fold, tile->walk, tile->mean, tile->mean, 1, tile->to, tile->squares);
    all = weighted_sum(fold, tile->squares);
    centre_rows(fold, tile->walk, tile->mean, tile->shift, 1, tile->to, tile->squares);
    return all;
}

/* Centres a column tile. Returns the exponent of 2 by which the stored values are larger. */
static int centre_tile(const struct fold *fold, const struct column_tile *tile)
{
    double spread;
    int exponent;

    centre_rows(fold, tile->walk, tile->mean, tile->shift, 1, tile->to, tile->squares);
    if (fold->wide)
        return 0;
    spread = tile_spread(fold, tile);
    frexp(sqrt(spread), &exponent);
    if (spread == 0 || (exponent >= SAFE_EXPONENT_MIN && exponent <= SAFE_EXPONENT_MAX))
        return 0;
    centre_rows(fold, tile->walk, tile->mean, tile->shift, ldexp(1, -exponent), tile->to,
                tile->squares);
    return -exponent;
}

void fold_centre_features(struct fold *fold, size_t k)
{
    size_t col = k * TILE_ORDER, n = fold->p - col < TILE_ORDER ? fold->p - col : TILE_ORDER;
    enum dtype format = features_format(fold);
    struct column_tile tile = {
        .walk = fold_walk(fold, PART_FEATURES, format, col, n),
        .mean = fold->mean_x + col,
        .shift = fold->moments->shift + col,
        .to = {(char *)fold->x + col * dtype_size(format), fold->p},
        .squares = fold->s_part + k * fold->n,
    };

    column_means(fold, PART_FEATURES, format, col, n, fold->mean_x + col);
    if (fold->moments->reservoir)
        fold_keep_features(fold, col, n);
    if (fold->moments->weight == 0)
        memcpy(fold->moments->shift + col, fold->mean_x + col, n * sizeof(double));
    for (size_t j = col; j < col + n; j++)
        fold->dx[j] = fold->mean_x[j] - fold->moments->mean_x[j];
    if (fold->moments->classes)
        sum_classes(fold, col, n);
    fold->exponent[k] = centre_tile(fold, &tile);
}

/* Centres `n_cols` outputs or targets into the columns of Y from `first` on. */
static void centre_columns(struct fold *fold, enum part part, size_t first, size_t n_cols)
{
    for (size_t col = 0; col < n_cols; col += TILE_ORDER) {
        size_t n = n_cols - col < TILE_ORDER ? n_cols - col : TILE_ORDER;
        double *mean = fold->mean_y + first + col;
        struct target to = {(char *)(fold->y + first + col), fold->w};

        column_means(fold, part, DTYPE_F64, col, n, mean);
        centre_rows(fold, fold_walk(fold, part, DTYPE_F64, col, n), mean, mean, 1, to, NULL);
    }
}

/* What each row's output for its own class adds to the class. */
static void sum_own_outputs(const struct fold *fold)
{
    const struct classes *classes = fold->moments->classes;
    size_t at = 0;
    double y;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            struct class_sums *sums = &classes->sums[fold->slot[at]];

            if (fold->slot[at] == CLASSES_NONE || sums->label >= fold->moments->c)
                continue;
            fold_read(fold, PART_OUTPUTS, &fold->ranges[k], i, sums->label, 1, &y);
            sums->own += fold->root[at] * fold->root[at] * y / classes->scale;
        }
    }
}

void fold_centre_outputs(struct fold *fold)
{
    if (fold->moments->classes)
        sum_own_outputs(fold);
    if (fold->moments->reservoir)
        fold_keep_outputs(fold);
    centre_columns(fold, PART_OUTPUTS, 0, fold->moments->c);
    centre_columns(fold, PART_TARGETS, fold->moments->c, fold->moments->k);
    for (size_t j = 0; j < fold->w; j++)
        fold->dy[j] = fold->mean_y[j] - fold->moments->mean_y[j];
    fold_whiten(fold);
}

/* What a row of weight w and square s adds to its class. */
static void count_row(const struct fold *fold, size_t i, double w, double s)
{
    struct classes *classes = fold->moments->classes;
    struct class_sums *sums;

    if (fold->slot[i] == CLASSES_NONE)
        return;
    sums = &classes->sums[fold->slot[i]];
    sums->rows++;
    sums->weight += w / classes->scale;
    sums->squares += w * s / classes->scale;
}

/* Turns the entries of one column, as pair_of turns the rows. */
static void turn_column(const struct fold *fold, double *values)
{
    for (size_t k = 0; !fold->wide && k < fold->n / 2; k++) {
        double a = values[2 * k], b = values[2 * k + 1];

        values[2 * k] = fold->turns[k].cosine * a + fold->turns[k].sine * b;
        values[2 * k + 1] = fold->turns[k].cosine * b - fold->turns[k].sine * a;
    }
}

void fold_sum_s(struct fold *fold)
{
    double decay = fold->combination.decay, sum_s2 = 0, mean_s;

    fold->weighted_s = 0;
    for (size_t i = 0; i < fold->n; i++) {
        double s = 0, w = fold->root[i] * fold->root[i];

        for (size_t k = 0; k < fold_n_side(fold->p); k++)
            s += fold->s_part[k * fold->n + i];
        fold->rs[i] = fold->root[i] * s;
        fold->weighted_s += w * s;
        sum_s2 += w * s * s;
        if (fold->moments->classes)
            count_row(fold, i, w, s);
    }
    if (fold->moments->reservoir)
        fold_keep_longest(fold);
    mean_s = fold->weight > 0 ? fold->weighted_s / fold->weight : 0;
    for (size_t i = 0; fold->whitened && i < fold->n; i++)
        fold->rs[i] -= fold->root[i] * mean_s;
    turn_column(fold, fold->rs);
    if (fold->whitened)
        fold_whiten_s(fold);
    fold->moments->sum_s2 = decay * fold->moments->sum_s2 + sum_s2;
}
