/* A long series made short: rows (step, values) go into bins of equal width, in log(step + 1) or in
 * step, and each bin keeps every value's smallest, largest and last, so that no spike and no early
 * transition is lost. One thread at a time uses the bins. The caller reads the rows and writes the
 * JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum spacing {
    SPACING_LOG,
    SPACING_LINEAR,
};

struct bins;

/* A bin that holds at least one row. min and max are NaN when no value in the bin is finite; last
 * is the value at step_end, NaN or not. The arrays are borrowed until the bins are freed. */
struct bin {
    int64_t step;     /* first */
    int64_t step_end; /* last */
    uint64_t count;   /* rows */
    const double *min;
    const double *max;
    const double *last;
    uint32_t flags; /* every flag of its rows, where the bins keep them */
};

/* Bins for rows of `n_values`, between the steps `from` and `to` (0 <= from <= to), in at most
 * `n_points` / 2 bins, since each may be drawn as two points. Returns it (free with bins_free),
 * or NULL without memory. */
struct bins *bins_new(size_t n_values, size_t n_points, enum spacing, int64_t from, int64_t to);
void bins_free(struct bins *);

/* Asks for flags: without this nobody needs to read them for the rows. */
void bins_keep_flags(struct bins *);
bool bins_keeps_flags(const struct bins *);

/* Adds a row; steps may come in any order, those outside [from, to] count for the nearest bin. */
void bins_add(struct bins *, int64_t step, const double *values);

/* Whether rows from `step` to `step_end` are no wider than a bin, and may go into one together. */
bool bins_has_room(const struct bins *, int64_t step, int64_t step_end);
/* Adds rows that are summed up as a bin is, to the bin that has the first of them. */
void bins_add_many(struct bins *, const struct bin *rows);

/* Walks the bins in order of their steps: fills `out` with the next one that holds a row, at or
 * after `*cursor` (0 at first), and advances it. False when there is none. */
bool bins_next(const struct bins *, size_t *cursor, struct bin *out);
