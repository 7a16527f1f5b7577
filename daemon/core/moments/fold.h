/* Folding rows into moments: a block of up to a few thousand rows, gathered from one or more
 * batches, is checked, centred on its own mean and multiplied tile by tile, by as many workers as
 * there are. Owns the block and the workers' scratch, allocated once; borrows the rows and the
 * moments from fold_begin until fold_next_phase returns false. The caller chooses rows and threads.
 *
 *     fold_begin, fold_add...              one thread
 *     while (fold_next_phase())            one thread, when no worker is inside
 *         fold_work(worker)                each worker 0..n_workers-1, at the same time
 *
 * The daemon folds many blocks with fold_line.h, which leads two folds through their phases in the
 * place of fold_work. The phases, and the tasks that workers take from a counter:
 *
 *     CHECK    one a batch        a batch with a value that is not finite is refused whole
 *     MAKE     one a tile         X'X from the rows so far, in the block that ends by_rows
 *     CENTRE   one a column tile  mean, centred block, its share of s_i = |x_i - shift|^2, and of
 *                                 the classes' sums
 *              one for outputs    mean, centred outputs, made orthonormal (fold_whiten.c)
 *     PRODUCT  one a tile         xx += X'X, summed in double
 *              one a column tile  xy += X'Y and sum_sx += X's, summed in double
 *              one for outputs    yy += Y'Y, in double
 *
 * by_rows is explained in moments.h. CENTRE turns f32 rows in pairs, so that rounding does not
 * drift. PRODUCT multiplies f32 rows in single precision, into scratch that stays in cache, and
 * then adds that in double; f64 rows are in double throughout. X'Y is in single precision where the
 * outputs are few beside the features, Y'Y never.
 *
 * No two tasks of a phase write the same memory, so there is no lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/moments/moments.h"
#include "proto/base/dtype.h"
#include "proto/base/err.h"

/* Rows of a batch as they came: row-major, contiguous, possibly unaligned. Borrows the frames. */
struct rows {
    size_t n;
    const void *features; /* n x p */
    const void *outputs;  /* n x C */
    const void *targets;  /* n labels below K, < 0: none; or n x K values; NULL */
    const void *weights;  /* n, not negative, the largest within 1e+-100; NULL: all 1 */
    enum dtype features_dtype;
    enum dtype outputs_dtype;
    enum dtype targets_dtype;
    enum dtype weights_dtype;
    bool checked; /* set by the first fold that touches it */
    bool refused; /* a value is not finite, or a weight out of range; `why` says where */
    struct err why;
};

struct fold;

/* Scratch for layers of p features and w outputs and targets. Returns it (free with fold_free), or
 * NULL. */
struct fold *fold_new(size_t p, size_t w, size_t n_workers);
void fold_free(struct fold *);

/* Rows that one fold takes at most, and rows gathered so far. */
size_t fold_capacity(const struct fold *);
size_t fold_n_rows(const struct fold *);

/* Bytes of a fold for this shape, in double so that no size overflows it. */
double fold_size_bytes(size_t p, size_t w, size_t n_workers);

/* Starts a block for the moments. With `half_life_rows` > 0 a row counts half as much after so many
 * newer rows; with 0 nothing is forgotten. The rows' own weights multiply that. */
void fold_begin(struct fold *, struct moments *m, double half_life_rows);

/* Rows from..from+n-1 enter the block next, at most fold_capacity rows in all. f64 features do not
 * share a block with others: fold_accepts says whether rows may enter. A batch that was refused
 * must not be added. */
bool fold_accepts(const struct fold *, const struct rows *r);
void fold_add(struct fold *, struct rows *r, size_t from, size_t n);

/* Prepares the next phase. Returns false when there is none: the block is in the moments, or it was
 * empty because every batch was refused. */
bool fold_next_phase(struct fold *);

/* Does tasks of the current phase until none is left. */
void fold_work(struct fold *, size_t worker);

/* All phases on the thread of the caller. */
void fold_run(struct fold *);
