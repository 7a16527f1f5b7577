/* The sufficient statistics of one layer over one window: everything that a measure needs of the
 * rows, in a form that adds up exactly over batches, ranks and machines. Owns its memory; one
 * thread at a time uses it (the loop lends it to a job). measure.h reads it.
 *
 * The way through the room: a batch (batch.h) comes in, and it is one of three things.
 *
 *     rows       fold.h gathers them in blocks, checks them, centres them and adds their products;
 *                reservoir.h keeps some of the rows themselves
 *     statistics moments_absorb adds what the trainer has reduced itself
 *     a head     head.h collects it slice by slice, and makes the outputs at a checkpoint
 *
 * The moments of the window leave: the engine lends them to measure.h. A batch with a value that is
 * not finite, or with weights out of range, is refused whole, with a sentence, before any of its
 * rows enters; a slice of a head is refused in the same way. A lack of memory leaves the moments as
 * they were; a fold needs none.
 *
 * Symbols, as in the paper (arXiv 2410.04264): rows i = 1..n with weights w_i (all 1 unless rows
 * are forgotten), features x_i (p), outputs y_i (C), W = sum w_i, means m and k:
 *
 *     weight     W                              mean_x   m = sum w x / W
 *     weight_sq  sum w_i^2                      mean_y   k = sum w y / W
 *     xx         sum w (x - m)(x - m)'          xy       sum w (x - m)(y - k)'
 *     yy         sum w (y - k)(y - k)'
 *
 * and for the de-biased measure, with z_i = x_i - shift and s_i = |z_i|^2. The shift is the mean of
 * the window's first block: it is near the mean, so nothing cancels, and it does not move, so
 * blocks add up without touching xx.
 *
 *     sum_s2     sum w s^2                      sum_sx   sum w s z
 *
 * Two sets a and b combine by Chan, Golub and LeVeque's update (1983), d = m_b - m_a:
 *
 *     xx = xx_a + xx_b + d d' W_a W_b / (W_a + W_b)
 *
 * It subtracts no large numbers, so a mean of 1000 times the spread costs no digits. Everything is
 * double.
 *
 * While a window has fewer rows than features, and the reservoir has all of them, xx is not made
 * (by_rows): a window that is measured with fewer than p rows never touches a p x p matrix
 * (kernel.h). The first row too many makes it, and moments_make_xx makes it on demand.
 *
 * Targets that are values are columns of Y behind the outputs. Labels are not: classes.h has their
 * sums.
 *
 * Tested with its files by test_moments.c and test_targets.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/matrix/tiles.h"
#include "daemon/core/moments/classes.h"
#include "daemon/core/moments/reservoir.h"
#include "proto/base/dtype.h"

struct moments {
    size_t p;
    size_t c;        /* outputs */
    size_t k;        /* targets that are values; labels are in `classes` */
    size_t w;        /* c + k, columns of Y */
    uint64_t n_rows; /* rows that entered, however weighted */
    double weight;
    double weight_sq;
    struct tiles xx;
    double *xy;     /* p x w, row-major */
    double *yy;     /* w x w, row-major, upper triangle */
    double *mean_x; /* p */
    double *mean_y; /* w */
    double *shift;  /* p */
    double sum_s2;
    double *sum_sx;              /* p */
    struct reservoir *reservoir; /* some of the rows; borrowed, or NULL: none are kept */
    struct classes *classes;     /* sums by label; borrowed, or NULL: the rows have no labels */
    bool from_head;              /* the outputs are what a head makes: no format has rounded them */
    bool by_rows;  /* xx is not made: fewer rows than features, all in the reservoir */
    bool may_wait; /* the next window may begin by_rows, because the last one was short */
};

/* Statistics that a trainer has reduced itself, about their own means (shift = mean): a `moments`
 * message of INGEST.md. Borrows everything. */
struct moments_view {
    uint64_t n_rows;
    const double *mean_x;      /* p */
    const double *mean_y;      /* C; it, xy and yy are not read where a head makes the outputs */
    const void *xx;            /* p x p, row-major, upper triangle read */
    enum dtype xx_dtype;       /* DTYPE_F32 or DTYPE_F64 */
    enum dtype features_dtype; /* of the rows behind it */
    bool xx_is_packed;    /* the upper triangle alone, one row after the other: p (p + 1) / 2 */
    const double *xy;     /* p x C */
    const double *yy;     /* C x C, upper triangle read */
    double sum_s2;        /* sum |x - m|^4 */
    const double *sum_sx; /* p: sum |x - m|^2 (x - m) */
};

/* How new sums enter old ones: old sums times `decay`, plus the new ones times `scale`, plus
 * `between` d d'. */
struct combination {
    double decay; /* the factor for old rows: 1, less when they are forgotten; 0: there are none */
    double scale; /* 1, less when rows of the new sums are forgotten, too */
    double between; /* W_a W_b / (W_a + W_b) with W_a after forgetting */
    double step;    /* W_b / (W_a + W_b): the mean moves by step d */
};

/* Bytes that moments of p features and w columns of Y take, in double so that no size overflows. */
double moments_size_bytes(size_t p, size_t w);

/* Empty moments. Returns 0 or -ENOMEM, after which release is harmless. */
int moments_init(struct moments *, size_t p, size_t c, size_t k);
void moments_release(struct moments *);

/* Forgets all rows, in O(1). */
void moments_reset(struct moments *);

/* How rows of total weight `weight` combine with the rows there are, which count `decay` times as
 * much as before, 0 <= decay <= 1. Some weight must be left. */
struct combination moments_combination(const struct moments *, double decay, double weight);

/* Adds given statistics. With `half_life_rows` > 0 they weigh together what their rows would, and
 * the old sums are forgotten by as many rows; but which of their rows came last nobody knows, so
 * each weighs the same. They count as n rows in (sum w)^2 / sum w^2, where aged rows would count
 * less: by x/2 coth(x/2) with x = n ln 2 / half-life, 1 % for half a half-life of rows. The view
 * must be finite, and the moments have no targets. Returns 0; or -ENOMEM, and the moments are as
 * they were.
 */
int moments_absorb(struct moments *, const struct moments_view *, double half_life_rows);

/* Rows that moments_make_tile takes at a time. Its scratch holds two times so many rows of a tile.
 */
#define MOMENTS_MAKE_ROWS 128

/* Makes the k-th tile of xx from the rows. Workers may make different tiles at the same time. */
void moments_make_tile(struct moments *, size_t k, double *scratch);
/* Makes xx if it is not made. Returns 0; or -ENOMEM, and the moments are as they were. */
int moments_make_xx(struct moments *);

/* Share of the weight that the class of a slot has; whether that is more than the rest of a
 * forgotten class, which is rounding; and then its mean mu_c - m, p values, in `out`. */
double moments_class_share(const struct moments *, size_t slot);
bool moments_class_occurred(const struct moments *, size_t slot);
void moments_class_mean(const struct moments *, size_t slot, double *out);

/* sum w |x - m|^4 about the final mean, from the sums about the shift; not by_rows. `scratch` holds
 * 2 p doubles. */
double moments_fourth(const struct moments *, double *scratch);
