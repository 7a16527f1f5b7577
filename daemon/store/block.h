/* Blocks: neighbouring points of a curve, summed up and kept beside them, so that a long series is
 * drawn without reading all of it. A curve is what one attempt stored of a layer or of a scalar. A
 * block of level 1 has 16 nodes of 16 to 31 points each; one of level l + 1 has 16 to 31 nodes, and
 * each stands for a block of level l. The blocks of a level follow each other: each holds all
 * points behind the block before it, up to its own `to_step`; what lies behind the last one is not
 * summed up yet.
 *
 * In the table, a block is a row of places and a row for each value that was ever finite in it,
 * each row with three numbers a node (blob.h):
 *
 *     name ''     first step, last step, number of points
 *     name d_lr   smallest, largest, last; NaN where no point has one, `last` also where it is NaN
 *     name flags  every flag of its points, a bit each, then 0, 0; no row where no point has one
 *
 * A row of places without data tells that a point has changed: its points are read one by one. All
 * of it follows from the points, and is made again where it is lost. The store's lane writes blocks
 * (block.c), the history reads them. Tested by test_line_blocks.c. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define BLOCK_NODES     16
#define BLOCK_NODES_MAX (2 * BLOCK_NODES - 1) /* one that has more becomes two */
#define BLOCK_POINTS    256 /* BLOCK_NODES squared: at the least, in a block of level 1 */
/* 16^9 points and more: no curve has so many. */
#define BLOCK_LEVELS 8
/* The name of the row of places, that of a layer's flags, and that of a scalar's values. */
#define BLOCK_PLACES ""
#define BLOCK_FLAGS  "flags"
#define BLOCK_SCALAR "value"

enum { BLOCK_FIRST, BLOCK_LAST, BLOCK_COUNT, BLOCK_NUMBERS }; /* of a node's place */
enum { BLOCK_MIN, BLOCK_MAX, BLOCK_VALUE };                   /* of a node's value */
enum { BLOCK_ALL_FLAGS };                                     /* of a node's flags */

struct store;

struct curve {
    bool is_scalar;
    int64_t key; /* of the layer or the scalar */
    int64_t attempt;
};

/* Call it in the transaction that has put a point at `step`; `n_put` counts what was put into the
 * layer or scalar. Marks the blocks that have the step, and now and then sums up what has come.
 * Returns 0 or -errno. */
int store_block_advance(struct store *, const struct curve *, int64_t step, int64_t n_put,
                        struct err *err);

/* Sums up at most `n_max` blocks of the curve. Returns how many it has made, or -errno. */
int store_block_make(struct store *, const struct curve *, int n_max, struct err *err);

/* The flags of a node; those of one that no program of ours has written may be any. */
static inline uint32_t block_flags(const double node[BLOCK_NUMBERS])
{
    double flags = node[BLOCK_ALL_FLAGS];

    return flags >= 0 && flags <= (double)UINT32_MAX ? (uint32_t)flags : 0;
}

/* The nodes of a row's blob, at most BLOCK_NODES_MAX: none without a blob, or of one that no
 * program of ours has written. Returns 0 or -ENOMEM. */
int block_nodes(sqlite3_stmt *row, int column, double nodes[][BLOCK_NUMBERS], size_t *n,
                struct err *err);
