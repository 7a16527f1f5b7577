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
};

struct bins {
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
    struct bins *b = calloc(1, sizeof *b);
    double length;

    assert(n_values > 0 && n_points >= 2 && from >= 0 && from <= to);
    if (!b)
        return NULL;
    b->n_values = n_values;
    b->n_bins = n_points / 2;
    b->spacing = spacing;
    b->start = position(spacing, from);
    length = position(spacing, to) - b->start;
    b->scale = length > 0 ? (double)b->n_bins / length : 0;
    b->held = calloc(b->n_bins, sizeof *b->held);
    b->values = calloc(b->n_bins * 3, n_values * sizeof *b->values);
    if (!b->held || !b->values) {
        bins_free(b);
        return NULL;
    }
    return b;
}

void bins_free(struct bins *b)
{
    if (!b)
        return;
    free(b->held);
    free(b->values);
    free(b);
}

static size_t bin_of(const struct bins *b, int64_t step)
{
    double place = step < 0 ? 0 : (position(b->spacing, step) - b->start) * b->scale;

    if (place <= 0)
        return 0;
    return place >= (double)b->n_bins ? b->n_bins - 1 : (size_t)place;
}

/* fmin and fmax ignore a NaN as long as the other value is a number. */
void bins_add(struct bins *b, int64_t step, const double *values)
{
    size_t at = bin_of(b, step);
    struct held *bin = &b->held[at];
    double *min = b->values + at * 3 * b->n_values;
    double *max = min + b->n_values, *last = max + b->n_values;
    bool first = bin->count == 0;

    for (size_t i = 0; i < b->n_values; i++) {
        min[i] = first ? values[i] : fmin(min[i], values[i]);
        max[i] = first ? values[i] : fmax(max[i], values[i]);
    }
    if (first || step >= bin->step_end) {
        memcpy(last, values, b->n_values * sizeof *values);
        bin->step_end = step;
    }
    if (first || step < bin->step)
        bin->step = step;
    bin->count++;
}

bool bins_next(const struct bins *b, size_t *cursor, struct bin *out)
{
    const double *values;
    size_t at = *cursor;

    while (at < b->n_bins && b->held[at].count == 0)
        at++;
    *cursor = at + 1;
    if (at >= b->n_bins)
        return false;
    values = b->values + at * 3 * b->n_values;
    *out = (struct bin){
        .step = b->held[at].step,
        .step_end = b->held[at].step_end,
        .count = b->held[at].count,
        .min = values,
        .max = values + b->n_values,
        .last = values + 2 * b->n_values,
    };
    return true;
}
