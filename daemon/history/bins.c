#include "daemon/history/bins.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a bin holds besides its values, which lie in one array: min, max, last of each bin. */
struct bin {
    int64_t step;
    int64_t step_end;
    uint64_t count;
};

struct series {
    size_t n_values;
    size_t n_bins;
    enum spacing spacing;
    double start; /* position of `from` */
    double scale; /* bins per unit of position */
    struct bin *bins;
    double *values; /* n_bins x {min, max, last} x n_values */
};

/* Where a step lies on the axis. */
static double position(enum spacing spacing, int64_t step)
{
    return spacing == SPACING_LOG ? log1p((double)step) : (double)step;
}

struct series *series_new(size_t n_values, size_t n_points, enum spacing spacing, int64_t from,
                          int64_t to)
{
    struct series *s = calloc(1, sizeof *s);
    double length;

    assert(n_values > 0 && n_points >= 2 && from >= 0 && from <= to);
    if (!s)
        return NULL;
    s->n_values = n_values;
    s->n_bins = n_points / 2;
    s->spacing = spacing;
    s->start = position(spacing, from);
    length = position(spacing, to) - s->start;
    s->scale = length > 0 ? (double)s->n_bins / length : 0;
    s->bins = calloc(s->n_bins, sizeof *s->bins);
    s->values = calloc(s->n_bins * 3, n_values * sizeof *s->values);
    if (!s->bins || !s->values) {
        series_free(s);
        return NULL;
    }
    return s;
}

void series_free(struct series *s)
{
    if (!s)
        return;
    free(s->bins);
    free(s->values);
    free(s);
}

static size_t bin_of(const struct series *s, int64_t step)
{
    double place = step < 0 ? 0 : (position(s->spacing, step) - s->start) * s->scale;

    if (place <= 0)
        return 0;
    return place >= (double)s->n_bins ? s->n_bins - 1 : (size_t)place;
}

/* fmin and fmax leave out a NaN, as long as the other is none. */
void series_add(struct series *s, int64_t step, const double *values)
{
    size_t at = bin_of(s, step);
    struct bin *bin = &s->bins[at];
    double *min = s->values + at * 3 * s->n_values;
    double *max = min + s->n_values, *last = max + s->n_values;
    bool first = bin->count == 0;

    for (size_t i = 0; i < s->n_values; i++) {
        min[i] = first ? values[i] : fmin(min[i], values[i]);
        max[i] = first ? values[i] : fmax(max[i], values[i]);
    }
    if (first || step >= bin->step_end) {
        memcpy(last, values, s->n_values * sizeof *values);
        bin->step_end = step;
    }
    if (first || step < bin->step)
        bin->step = step;
    bin->count++;
}

bool series_next(const struct series *s, size_t *cursor, struct series_bin *out)
{
    const double *values;
    size_t at = *cursor;

    while (at < s->n_bins && s->bins[at].count == 0)
        at++;
    *cursor = at + 1;
    if (at >= s->n_bins)
        return false;
    values = s->values + at * 3 * s->n_values;
    *out = (struct series_bin){
        .step = s->bins[at].step,
        .step_end = s->bins[at].step_end,
        .count = s->bins[at].count,
        .min = values,
        .max = values + s->n_values,
        .last = values + 2 * s->n_values,
    };
    return true;
}
