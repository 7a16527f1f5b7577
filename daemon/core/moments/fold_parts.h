/* The inside of a fold, shared by its files. fold.c owns the memory and leads through the phases,
 * fold_check.c checks and weighs rows, fold_read.c reads them, fold_centre.c makes the block,
 * fold_whiten.c makes outputs orthonormal, fold_keep.c fills the reservoir, fold_product.c adds the
 * block to the moments. Threads as in fold.h. The way of a block:
 *
 *     fold_add          ranges of rows, borrowed from their batches
 *     fold_check_batch  a batch may be refused here; fold_drop_refused then leaves it out
 *     fold_weigh_rows   w_i; when nothing has weight the block ends here, unless old rows age by it
 *     fold_find_classes the slot of each row's class, new classes included
 *     fold_centre_*     means, then x and y: sqrt(w) (value - mean), turned; fills the reservoir
 *     fold_sum_s        s_i from the column tiles, and the classes' sums of it
 *     fold_commit       means, weight and n_rows; nothing fails after the check, so the next block
 *                       may be checked and centred while this one is multiplied
 *     fold_product_*    xx, xy, yy, sum_sx
 *
 * Tested with its files by test_fold.c. */
#pragma once

#include <stdatomic.h>

#include "daemon/core/moments/fold.h"

/* Rows widened to double at a time for X'Y in double: 128 x 512 doubles stay in the second-level
 * cache. */
#define WIDEN_ROWS MOMENTS_MAKE_ROWS

/* The largest weight of a batch lies between them, so that the sum of a window's squared weights
 * neither vanishes nor overflows. Smaller weights beside it add nothing. */
#define FOLD_WEIGHT_MIN 1e-100
#define FOLD_WEIGHT_MAX 1e100

enum phase {
    PHASE_GATHER,
    PHASE_CHECK,
    PHASE_MAKE,
    PHASE_CENTRE,
    PHASE_PRODUCT,
};

/* Consecutive rows of one batch. */
struct row_range {
    struct rows *rows;
    size_t from;
    size_t n;
};

/* Single-precision sums of equal products round the same way at every step, so two-valued features
 * (one-hot inputs, saturated units, collapsed classes) would drift by up to 5e-6. So rows 2k and
 * 2k + 1 of a single-precision block are turned into each other, by another angle for each k. X'X,
 * X'Y and Y'Y do not change with an orthogonal change of the rows, and the rounding becomes a
 * random walk. */
struct turn {
    double cosine, sine;
};

struct scratch {
    float *product; /* T x T */
    double *wide;   /* WIDEN_ROWS x T twice, or what making a tile needs */
};

struct fold {
    size_t p, w, capacity, n_workers;
    struct moments *moments;
    double half_life_rows;

    enum phase phase;
    size_t n_tasks;
    atomic_size_t next_task;

    struct row_range *ranges;
    size_t n_ranges;
    size_t n; /* rows in the block */

    bool wide; /* the block is double: the features are f64 */
    size_t x_bytes;
    void *x;        /* n x p, centred, weighted by sqrt(w), turned: float, or double when wide */
    double *y;      /* n x w: outputs, then targets, treated as x */
    double *root;   /* n: sqrt(w_i) */
    uint32_t *slot; /* n: of the row's class */
    double weight;  /* of the block: sum w */
    double weight_sq;

    double *mean_x, *mean_y;
    double *dx, *dy;          /* mean of the block less the old mean of the moments */
    double *s_part;           /* n_side x n: s_i over the columns of one column tile */
    double *rs;               /* n: sqrt(w_i) s_i, turned like the rows */
    double weighted_s;        /* sum w s */
    bool whitened;            /* Q and R stand for Y (fold_whiten.c), and y holds Q */
    float *q;                 /* n x (w + 1): Q, then rs / rs_norm, with s less its mean */
    double *r, *inverse, *yy; /* w x w: R, R^-1, and Y'Y, of which the upper triangle is set */
    double rs_norm;
    int *exponent; /* of each column tile: the block holds 2^exponent times the centred values */
    struct combination combination;
    struct turn *turns; /* capacity / 2 */
    struct scratch *scratch;
};

/* Column tiles of p features. */
static inline size_t fold_n_side(size_t p)
{
    return (p + TILE_ORDER - 1) / TILE_ORDER;
}

/* The weight of the i-th row of a batch: what the trainer says, 0 without a label where others have
 * one. */
double fold_weight_of(const struct rows *, size_t i);

/* CHECK: a batch that spans blocks is checked whole before its first row enters a block. */
void fold_check_batch(struct fold *, struct rows *);
/* Between CHECK and CENTRE: leaves out refused batches, and weighs the other rows. */
void fold_drop_refused(struct fold *);
void fold_weigh_rows(struct fold *);
/* The label of the i-th row of a batch; CLASSES_NONE: it has none. */
uint32_t fold_label_of(const struct rows *, size_t i);
/* Old rows are forgotten by `decay`; then each row that weighs has its slot. */
void fold_find_classes(struct fold *, double decay);

/* The frames of a batch. Targets are read here when they are values. */
enum part {
    PART_FEATURES,
    PART_OUTPUTS,
    PART_TARGETS,
};

/* `n` values of the i-th row of a range from column `col` on, as doubles. */
void fold_read(const struct fold *, enum part, const struct row_range *, size_t i, size_t col,
               size_t n, double *out);

/* Columns col..col+n-1, n <= TILE_ORDER, of all rows of the block, one row after the other. */
struct walk {
    const struct fold *fold;
    enum part part;
    enum dtype format; /* DTYPE_F32 or DTYPE_F64: what the rows are given as */
    size_t col, n;
    size_t range, row; /* of the next one */
};

struct walk fold_walk(const struct fold *, enum part, enum dtype format, size_t col, size_t n);
/* The values of the next row: where they came when they have the format, else converted into
 * `buffer`, which has room for n doubles. They may be unaligned. */
const void *fold_walk_next(struct walk *, void *buffer);

/* CENTRE: copies the columns of the k-th column tile to the reservoir, or the outputs, targets,
 * labels and weights, for those rows that it takes. */
void fold_keep_features(const struct fold *, size_t col, size_t n);
void fold_keep_outputs(const struct fold *);
/* Between CENTRE and PRODUCT: the rows that are longer than those there are. */
void fold_keep_longest(const struct fold *);

/* CENTRE: the k-th column tile, and the outputs with the targets. */
void fold_centre_features(struct fold *, size_t k);
void fold_centre_outputs(struct fold *);
/* Within it, what X'Y in single precision needs: Q and R from y, and Q's last column from rs. */
bool fold_may_whiten(size_t p, size_t w);
void fold_whiten(struct fold *);
void fold_whiten_s(struct fold *);
/* Between CENTRE and PRODUCT: s_i from its parts, and what the sums over it need. */
void fold_sum_s(struct fold *);

/* PRODUCT: the k-th tile of xx, the rows of xy of the k-th column tile, and yy. */
void fold_product_tile(struct fold *, size_t k, struct scratch *);
void fold_product_outputs(struct fold *, size_t k, struct scratch *);
/* Adds X'Y = (X'Q) R and X's of the features col..col+n_cols-1. */
void fold_product_whitened(struct fold *, size_t col, size_t n_cols, double *xy, double *sum_sx,
                           struct scratch *);
void fold_product_yy(struct fold *);
/* Between CENTRE and PRODUCT: the vectors move. The products know the old ones by dx, dy and
 * combination. */
void fold_commit(struct fold *);

/* ---- for fold_line.c ---- */

/* Rows of a block. */
size_t fold_block_rows(size_t p, size_t w);

/* A fold without scratch, whose blocks take half as many rows of doubles. */
struct fold *fold_new_narrow(size_t p, size_t w);
double fold_narrow_bytes(size_t p, size_t w);

/* What a worker needs of its own. Returns 0 or -ENOMEM, after which release is harmless. */
double fold_scratch_bytes(size_t p);
int fold_scratch_init(struct scratch *, size_t p);
void fold_scratch_release(struct scratch *);

/* Does one task of the current phase. */
void fold_do_task(struct fold *, size_t task, struct scratch *);
