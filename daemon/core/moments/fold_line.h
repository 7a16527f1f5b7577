/* Blocks of one layer, one behind the other: rows of one or more batches are cut into blocks, which
 * a fold each brings into the moments, by as many workers as there are. Owns two folds, so that the
 * next block is checked and centred while products of the last one still run; borrows the rows and
 * the moments from fold_line_begin until the last worker has returned. The caller chooses rows and
 * threads; workers agree among themselves, and never come back in between.
 *
 *     fold_line_begin, fold_line_add...    one thread
 *     fold_line_work(worker)               some of the workers 0..n_workers-1, at the same time;
 *                                          one alone does everything
 *
 * A worker takes the first task that may begin: of the newest block first, so that the next one is
 * ready when products run out. What orders the tasks, besides the phases of a block (fold.h):
 *
 *     CHECK                     when the block before it has left it: a batch may be in both
 *     the end of CHECK          when the block before it is committed, which it is before PRODUCT;
 *                               by_rows when it is over, for X'X may have to be made of its rows
 *     the k-th task of PRODUCT  after the k-th of the block before it: both write the same sums
 *
 * So the sums depend on the blocks, and neither on the number of workers nor on which was faster. A
 * worker for whom there is nothing to do yet sleeps; there is another one at work then. One for
 * whom there will be nothing returns. */
#pragma once

#include "daemon/core/moments/fold.h"

struct fold_line;

/* For layers of p features and w outputs and targets. Returns it (free with fold_line_free), or
 * NULL. */
struct fold_line *fold_line_new(size_t p, size_t w, size_t n_workers);
void fold_line_free(struct fold_line *);

/* Bytes of a line for this shape, in double so that no size overflows it. */
double fold_line_size_bytes(size_t p, size_t w, size_t n_workers);

/* Rows of one block (half as many of f64 features), and rows that a line takes at most. */
size_t fold_line_block(const struct fold_line *);
size_t fold_line_capacity(const struct fold_line *);
size_t fold_line_n_rows(const struct fold_line *);

/* As fold_begin, fold_accepts and fold_add do. */
void fold_line_begin(struct fold_line *, struct moments *, double half_life_rows);
bool fold_line_accepts(const struct fold_line *, const struct rows *);
void fold_line_add(struct fold_line *, struct rows *, size_t from, size_t n);

/* How many workers have something to do with the rows that were added, 1 at least. */
size_t fold_line_n_shares(const struct fold_line *);

/* Works until there will be nothing left to take. When the last worker has returned, the rows are
 * in the moments. */
void fold_line_work(struct fold_line *, size_t worker);
