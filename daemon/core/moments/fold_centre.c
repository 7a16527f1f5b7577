#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/moments/fold_parts.h"

/* Centred single-precision values outside 2^-40..2^40 would overflow or vanish when squared and
 * added; such a column tile is scaled by a power of two, which is exact. */
#define SAFE_EXPONENT 40

/* `n` values of row `i` of a segment from column `col` on, in features or outputs, as doubles. */
static void read_features(const struct fold *f, const struct segment *s, size_t i, size_t col,
                          size_t n, double *out)
{
    size_t size = dtype_size(s->rows->features_dtype), at = (s->from + i) * f->p + col;

    convert_to_double(s->rows->features_dtype, (const char *)s->rows->features + at * size, n, out);
}

static void read_outputs(const struct fold *f, const struct segment *s, size_t i, size_t col,
                         size_t n, double *out)
{
    size_t size = dtype_size(s->rows->outputs_dtype), at = (s->from + i) * f->m->c + col;

    convert_to_double(s->rows->outputs_dtype, (const char *)s->rows->outputs + at * size, n, out);
}

/* A label is a one-hot row. */
static void read_targets(const struct fold *f, const struct segment *s, size_t i, size_t col,
                         size_t n, double *out)
{
    enum dtype d = s->rows->targets_dtype;
    const char *targets = s->rows->targets;
    double label;

    if (!dtype_is_label(d)) {
        convert_to_double(d, targets + ((s->from + i) * f->m->k + col) * dtype_size(d), n, out);
        return;
    }
    convert_to_double(d, targets + (s->from + i) * dtype_size(d), 1, &label);
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
static void copy_columns(const struct fold *f, reader *read, size_t col, size_t n, double *to,
                         size_t width)
{
    size_t at = 0;

    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            size_t place = reservoir_place(f->m->reservoir, at);

            if (place != RESERVOIR_NONE)
                read(f, &f->segments[k], i, col, n, to + place * width + col);
        }
    }
}

static void copy_weights(const struct fold *f)
{
    size_t at = 0;

    for (size_t k = 0; k < f->n_segments; k++) {
        for (size_t i = 0; i < f->segments[k].n; i++, at++) {
            size_t place = reservoir_place(f->m->reservoir, at);

            if (place != RESERVOIR_NONE)
                f->m->reservoir->weight[place] =
                    fold_weight_of(f->segments[k].rows, f->segments[k].from + i);
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

void fold_centre_features(struct fold *f, size_t k)
{
    size_t col = k * TILE_ORDER, n = f->p - col < TILE_ORDER ? f->p - col : TILE_ORDER;
    double *s_part = f->s_part + k * f->n, largest;
    int exponent;

    column_means(f, read_features, col, n, f->mean_x + col);
    if (f->m->reservoir)
        copy_columns(f, read_features, col, n, f->m->reservoir->x, f->p);
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
static void copy_outputs(const struct fold *f)
{
    const struct moments *m = f->m;

    if (m->c > 0)
        copy_columns(f, read_outputs, 0, m->c, m->reservoir->y, m->w);
    if (m->k > 0)
        copy_columns(f, read_targets, 0, m->k, m->reservoir->y + m->c, m->w);
    copy_weights(f);
}

void fold_centre_outputs(struct fold *f)
{
    if (f->m->reservoir)
        copy_outputs(f);
    centre_columns(f, read_outputs, 0, f->m->c);
    centre_columns(f, read_targets, f->m->c, f->m->k);
    turn_rows(f, f->w, f->y);
    for (size_t j = 0; j < f->w; j++)
        f->dy[j] = f->mean_y[j] - f->m->mean_y[j];
}

void fold_sum_s(struct fold *f)
{
    double decay = f->k.decay, sum_s2 = 0;

    f->weighted_s = 0;
    for (size_t i = 0; i < f->n; i++) {
        double s = 0, w = f->root[i] * f->root[i];

        for (size_t k = 0; k < fold_n_side(f->p); k++)
            s += f->s_part[k * f->n + i];
        f->rs[i] = f->root[i] * s;
        f->weighted_s += w * s;
        sum_s2 += w * s * s;
    }
    turn_rows(f, 1, f->rs);
    f->m->sum_s2 = decay * f->m->sum_s2 + sum_s2;
}
