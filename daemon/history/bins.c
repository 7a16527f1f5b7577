#include "daemon/history/bins.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is held of a bin besides its values, which lie in one array: min, max, last of each bin. */
struct held {
    int64_t step;
    int64_t step_end;
    uint64_t count;
    uint32_t flags;
};

struct bins {
    bool keeps_flags;
    size_t n_values;
    size_t n_bins;
    enum spacing spacing;
    double start; /* position of `from` */
    double scale; /* bins per unit of position */
    struct held *held;
    double *values; /* n_bins x {min, max, last} x n_values */
};

/* Where a step lies on the axis. */
static double position(enum spacing spacing, int64_t step)
{
    return spacing == SPACING_LOG ? log1p((double)step) : (double)step;
}

struct bins *bins_new(size_t n_values, size_t n_points, enum spacing spacing, int64_t from,
                      int64_t to)
{
    struct bins *bins = calloc(1, sizeof *bins);
    double length;

    assert(n_values > 0 && n_points >= 2 && from >= 0 && from <= to);
    if (!bins)
        return NULL;
    bins->n_values = n_values;
    bins->n_bins = n_points / 2;
    bins->spacing = spacing;
    bins->start = position(spacing, from);
    length = position(spacing, to) - bins->start;
    bins->scale = length > 0 ? (double)bins->n_bins / length : 0;
    bins->held = calloc(bins->n_bins, sizeof *bins->held);
    bins->values = calloc(bins->n_bins * 3, n_values * sizeof *bins->values);
    if (!bins->held || !bins->values) {
        bins_free(bins);
        return NULL;
    }
    return bins;
}

void bins_free(struct bins *bins)
{
    if (!bins)
        return;
    free(bins->held);
    free(bins->values);
    free(bins);
}

void bins_keep_flags(struct bins *bins)
{
    bins->keeps_flags = true;
}

bool bins_keeps_flags(const struct bins *bins)
{
    return bins->keeps_flags;
}

static size_t bin_of(const struct bins *bins, int64_t step)
{
    double place = step < 0 ? 0 : (position(bins->spacing, step) - bins->start) * bins->scale;

    if (place <= 0)
        return 0;
    return place >= (double)bins->n_bins ? bins->n_bins - 1 : (size_t)place;
}

bool bins_has_room(const struct bins *bins, int64_t step, int64_t step_end)
{
    double length = position(bins->spacing, step_end) - position(bins->spacing, step);

    return length * bins->scale <= 1;
}

void bins_add(struct bins *bins, int64_t step, const double *values)
{
    bins_add_many(bins, &(struct bin){step, step, 1, values, values, values, 0});
}

/* fmin and fmax ignore a NaN as long as the other value is a number. */
void bins_add_many(struct bins *bins, const struct bin *rows)
{
    size_t at = bin_of(bins, rows->step);
    struct held *bin = &bins->held[at];
    double *min = bins->values + at * 3 * bins->n_values;
    double *max = min + bins->n_values, *last = max + bins->n_values;
    bool first = bin->count == 0;

    for (size_t i = 0; i < bins->n_values; i++) {
        min[i] = first ? rows->min[i] : fmin(min[i], rows->min[i]);
        max[i] = first ? rows->max[i] : fmax(max[i], rows->max[i]);
    }
    if (first || rows->step_end >= bin->step_end) {
        memcpy(last, rows->last, bins->n_values * sizeof *last);
        bin->step_end = rows->step_end;
    }
    if (first || rows->step < bin->step)
        bin->step = rows->step;
    bin->count += rows->count;
    bin->flags |= rows->flags;
}

bool bins_next(const struct bins *bins, size_t *cursor, struct bin *out)
{
    const double *values;
    size_t at = *cursor;

    while (at < bins->n_bins && bins->held[at].count == 0)
        at++;
    *cursor = at + 1;
    if (at >= bins->n_bins)
        return false;
    values = bins->values + at * 3 * bins->n_values;
    *out = (struct bin){
        .step = bins->held[at].step,
        .step_end = bins->held[at].step_end,
        .count = bins->held[at].count,
        .min = values,
        .max = values + bins->n_values,
        .last = values + 2 * bins->n_values,
        .flags = bins->held[at].flags,
    };
    return true;
}
