#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/moments/fold_parts.h"

/* Centred single-precision values outside 2^-40..2^40 would overflow or vanish when squared and
 * added; such a column tile is scaled by a power of two, which is exact. */
#define SAFE_EXPONENT 40

/* `n` values of row `i` of a range from column `col` on, in features or outputs, as doubles. */
static void read_features(const struct fold *fold, const struct row_range *range, size_t i,
                          size_t col, size_t n, double *out)
{
    size_t size = dtype_size(range->rows->features_dtype), at = (range->from + i) * fold->p + col;

    convert_to_double(range->rows->features_dtype, (const char *)range->rows->features + at * size,
                      n, out);
}

static void read_outputs(const struct fold *fold, const struct row_range *range, size_t i,
                         size_t col, size_t n, double *out)
{
    size_t size = dtype_size(range->rows->outputs_dtype);
    size_t at = (range->from + i) * fold->moments->c + col;

    convert_to_double(range->rows->outputs_dtype, (const char *)range->rows->outputs + at * size, n,
                      out);
}

static void read_targets(const struct fold *fold, const struct row_range *range, size_t i,
                         size_t col, size_t n, double *out)
{
    size_t size = dtype_size(range->rows->targets_dtype);
    size_t at = (range->from + i) * fold->moments->k + col;

    convert_to_double(range->rows->targets_dtype, (const char *)range->rows->targets + at * size, n,
                      out);
}

typedef void reader(const struct fold *, const struct row_range *, size_t i, size_t col, size_t n,
                    double *out);

/* Weighted mean of columns col..col+n-1, n <= TILE_ORDER. It sums differences from the first row:
 * the mean of a constant column is exact, and a large offset loses no digits. */
static void column_means(const struct fold *fold, reader *read, size_t col, size_t n, double *mean)
{
    double pivot[TILE_ORDER], row[TILE_ORDER];
    size_t at = 0;

    read(fold, &fold->ranges[0], 0, col, n, pivot);
    memset(mean, 0, n * sizeof *mean);
    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            double w = fold->root[at] * fold->root[at];

            read(fold, &fold->ranges[k], i, col, n, row);
            for (size_t j = 0; j < n; j++)
                mean[j] += w * (row[j] - pivot[j]);
        }
    }
    for (size_t j = 0; j < n; j++)
        mean[j] = pivot[j] + mean[j] / fold->weight;
}

/* Turns two rows of `n` values into each other by the k-th turn. */
static void turn_pair(const struct fold *fold, size_t k, size_t n, double *a, double *b)
{
    double cosine = fold->turns[k].cosine, sine = fold->turns[k].sine;

    for (size_t j = 0; j < n; j++) {
        double x = a[j], y = b[j];

        a[j] = cosine * x + sine * y;
        b[j] = cosine * y - sine * x;
    }
}

/* Turns all rows of doubles, as centre_rows turns the features. A double block has digits to spare
 * and is not turned. */
static void turn_rows(const struct fold *fold, size_t n_cols, double *values)
{
    for (size_t k = 0; !fold->wide && k < fold->n / 2; k++)
        turn_pair(fold, k, n_cols, values + 2 * k * n_cols, values + (2 * k + 1) * n_cols);
}

/* Stores one row of a column tile, and returns its largest magnitude. */
static double store_row(struct fold *fold, size_t at, size_t col, size_t n, const double *row)
{
    double largest = 0;

    for (size_t j = 0; j < n; j++)
        largest = fabs(row[j]) > largest ? fabs(row[j]) : largest;
    if (fold->wide) {
        memcpy((double *)fold->x + at * fold->p + col, row, n * sizeof *row);
    } else {
        float *to = (float *)fold->x + at * fold->p + col;

        for (size_t j = 0; j < n; j++)
            to[j] = (float)row[j];
    }
    return largest;
}

/* Copies columns col..col+n-1, as they came, to the reservoir, for those rows that it takes. */
static void copy_columns(const struct fold *fold, reader *read, size_t col, size_t n, double *to,
                         size_t width)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                read(fold, &fold->ranges[k], i, col, n, to + place * width + col);
        }
    }
}

static void copy_weights(const struct fold *fold)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                fold->moments->reservoir->weight[place] =
                    fold_weight_of(fold->ranges[k].rows, fold->ranges[k].from + i);
        }
    }
}

static void copy_labels(const struct fold *fold)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                fold->moments->classes->kept[place] =
                    fold_label_of(fold->ranges[k].rows, fold->ranges[k].from + i);
        }
    }
}

/* z += w (x - shift) of each row's class, for columns col..col+n-1. */
static void sum_classes(const struct fold *fold, size_t col, size_t n)
{
    const struct classes *classes = fold->moments->classes;
    const double *shift = fold->moments->shift + col;
    double row[TILE_ORDER];
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            double *z, w = fold->root[at] * fold->root[at] / classes->scale;

            if (fold->slot[at] == CLASSES_NONE)
                continue;
            z = classes_z(classes, fold->slot[at]) + col;
            read_features(fold, &fold->ranges[k], i, col, n, row);
            for (size_t j = 0; j < n; j++)
                z[j] += w * (row[j] - shift[j]);
        }
    }
}

/* One row as `factor` times its difference from the mean; returns its part of s_i. */
static double centre_row(const struct fold *fold, const struct row_range *range, size_t i,
                         size_t col, size_t n, double factor, double *row)
{
    const double *mean = fold->mean_x + col, *shift = fold->moments->shift + col;
    double sum = 0;

    read_features(fold, range, i, col, n, row);
    for (size_t j = 0; j < n; j++) {
        double z = row[j] - shift[j];

        sum += z * z;
        row[j] = factor * (row[j] - mean[j]);
    }
    return sum;
}

/* Centres columns col..col+n-1 with `scale`, a power of two, turns pairs of rows, and stores the
 * part of s_i of this tile. Returns the largest magnitude that was stored. */
static double centre_rows(struct fold *fold, size_t col, size_t n, double scale, double *s_part)
{
    double pair[2][TILE_ORDER], largest = 0;
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            s_part[at] =
                centre_row(fold, &fold->ranges[k], i, col, n, scale * fold->root[at], pair[at % 2]);
            if (at % 2 == 0)
                continue;
            if (!fold->wide)
                turn_pair(fold, at / 2, n, pair[0], pair[1]);
            largest = fmax(largest, store_row(fold, at - 1, col, n, pair[0]));
            largest = fmax(largest, store_row(fold, at, col, n, pair[1]));
        }
    }
    if (at % 2 == 1)
        largest = fmax(largest, store_row(fold, at - 1, col, n, pair[0]));
    return largest;
}

void fold_centre_features(struct fold *fold, size_t k)
{
    size_t col = k * TILE_ORDER, n = fold->p - col < TILE_ORDER ? fold->p - col : TILE_ORDER;
    double *s_part = fold->s_part + k * fold->n, largest;
    int exponent;

    column_means(fold, read_features, col, n, fold->mean_x + col);
    if (fold->moments->reservoir)
        copy_columns(fold, read_features, col, n, fold->moments->reservoir->x, fold->p);
    if (fold->moments->weight == 0)
        memcpy(fold->moments->shift + col, fold->mean_x + col, n * sizeof(double));
    for (size_t j = col; j < col + n; j++)
        fold->dx[j] = fold->mean_x[j] - fold->moments->mean_x[j];
    if (fold->moments->classes)
        sum_classes(fold, col, n);
    fold->exponent[k] = 0;
    largest = centre_rows(fold, col, n, 1, s_part);
    if (fold->wide || largest == 0)
        return;
    frexp(largest, &exponent);
    if (abs(exponent) > SAFE_EXPONENT) {
        fold->exponent[k] = -exponent;
        centre_rows(fold, col, n, ldexp(1, -exponent), s_part);
    }
}

/* Centres `n_cols` outputs or targets into the columns of Y from `first` on. */
static void centre_columns(struct fold *fold, reader *read, size_t first, size_t n_cols)
{
    double row[TILE_ORDER], *mean = fold->mean_y + first;

    for (size_t col = 0; col < n_cols; col += TILE_ORDER) {
        size_t n = n_cols - col < TILE_ORDER ? n_cols - col : TILE_ORDER, at = 0;

        column_means(fold, read, col, n, mean + col);
        for (size_t k = 0; k < fold->n_ranges; k++) {
            for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
                read(fold, &fold->ranges[k], i, col, n, row);
                for (size_t j = 0; j < n; j++)
                    fold->y[at * fold->w + first + col + j] =
                        fold->root[at] * (row[j] - mean[col + j]);
            }
        }
    }
}

/* Outputs, targets and weights of the rows that the reservoir takes. */
static void copy_outputs(const struct fold *fold)
{
    const struct moments *m = fold->moments;

    if (m->c > 0)
        copy_columns(fold, read_outputs, 0, m->c, m->reservoir->y, m->w);
    if (m->k > 0)
        copy_columns(fold, read_targets, 0, m->k, m->reservoir->y + m->c, m->w);
    if (m->classes)
        copy_labels(fold);
    copy_weights(fold);
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
            read_outputs(fold, &fold->ranges[k], i, sums->label, 1, &y);
            sums->own += fold->root[at] * fold->root[at] * y / classes->scale;
        }
    }
}

void fold_centre_outputs(struct fold *fold)
{
    if (fold->moments->classes)
        sum_own_outputs(fold);
    if (fold->moments->reservoir)
        copy_outputs(fold);
    centre_columns(fold, read_outputs, 0, fold->moments->c);
    centre_columns(fold, read_targets, fold->moments->c, fold->moments->k);
    turn_rows(fold, fold->w, fold->y);
    for (size_t j = 0; j < fold->w; j++)
        fold->dy[j] = fold->mean_y[j] - fold->moments->mean_y[j];
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

/* The rows that are longer than those there are, to the reservoir. */
static void copy_longest(const struct fold *fold)
{
    struct moments *m = fold->moments;
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        const struct row_range *range = &fold->ranges[k];

        for (size_t i = 0; i < range->n; i++, at++) {
            double square = fold->root[at] * fold->rs[at]; /* w s */
            size_t place =
                square > 0 ? reservoir_offer(m->reservoir, at, fold->n, square) : RESERVOIR_NONE;

            if (place == RESERVOIR_NONE)
                continue;
            read_features(fold, range, i, 0, m->p, m->reservoir->x + place * m->p);
            if (m->c > 0)
                read_outputs(fold, range, i, 0, m->c, m->reservoir->y + place * m->w);
            m->reservoir->weight[place] = fold_weight_of(range->rows, range->from + i);
        }
    }
}

void fold_sum_s(struct fold *fold)
{
    double decay = fold->combination.decay, sum_s2 = 0;

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
        copy_longest(fold);
    turn_rows(fold, 1, fold->rs);
    fold->moments->sum_s2 = decay * fold->moments->sum_s2 + sum_s2;
}
