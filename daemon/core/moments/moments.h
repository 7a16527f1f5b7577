/* The sufficient statistics of one layer over one window: everything the measure needs of the rows,
 * in a form that adds up exactly over batches, ranks and machines. Owns its memory; one thread at a
 * time uses it (the loop lends it to a job). Which rows enter is fold.h's business, what is read
 * off them measure.h's.
 *
 * Symbols, as in the paper (arXiv 2410.04264): rows i = 1..n with weights w_i (all 1 unless rows
 * are forgotten), features x_i (p), outputs y_i (C), W = sum w_i, means m and k:
 *
 *     weight     W                              mean_x   m = sum w x / W
 *     weight_sq  sum w_i^2                      mean_y   k = sum w y / W
 *     xx         sum w (x - m)(x - m)'          xy       sum w (x - m)(y - k)'
 *     yy         sum w (y - k)(y - k)'
 *
 * and for the de-biased measure, with z_i = x_i - shift, s_i = |z_i|^2 and the shift fixed at the
 * mean of the window's first block (near the mean, so that nothing cancels; fixed, so that blocks
 * add up without touching xx):
 *
 *     sum_s2     sum w s^2                      sum_sx   sum w s z
 *
 * Two sets a and b combine by Chan, Golub and LeVeque's update (1983), d = m_b - m_a:
 *
 *     xx = xx_a + xx_b + d d' W_a W_b / (W_a + W_b)
 *
 * which has no difference of large numbers in it, so a mean that is 1000 times the spread costs
 * nothing. Everything is double.
 *
 * While a window has fewer rows than features and all of them are kept, xx waits (by_rows): rows
 * that are measured before there are p of them never touch a p x p matrix (kernel.h). The row that
 * is one too many makes it, and so does moments_make_xx, for whoever needs it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/matrix/tiles.h"
#include "daemon/core/moments/reservoir.h"
#include "proto/base/dtype.h"

struct moments {
    size_t p;
    size_t c;        /* outputs */
    size_t k;        /* targets */
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
    struct reservoir *reservoir; /* some of the rows; borrowed, or NULL: none */
    bool by_rows;  /* xx is not made: there are fewer rows than features, and all are kept */
    bool may_wait; /* the next window may begin by_rows: the last one was short */
};

/* Statistics that somebody else reduced, about their own means (shift = mean), as `moments`
 * messages carry them. Borrows everything. */
struct moments_view {
    uint64_t n_rows;
    const double *mean_x; /* p */
    const double *mean_y; /* C */
    const void *xx;       /* p x p, row-major, upper triangle read */
    enum dtype xx_dtype;  /* DTYPE_F32 or DTYPE_F64 */
    const double *xy;     /* p x C */
    const double *yy;     /* C x C, upper triangle read */
    double sum_s2;        /* sum |x - m|^4 */
    const double *sum_sx; /* p: sum |x - m|^2 (x - m) */
};

/* How a new part enters an older whole: old sums times `decay`, plus `between` d d'. */
struct combination {
    double decay; /* 1, or the factor by which the old rows are forgotten; 0 when there are none */
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

/* How rows of total weight `weight` combine with what is there, forgetting by `decay`. */
struct combination moments_combination(const struct moments *, double decay, double weight);

/* Merges given statistics, after multiplying what is there with `decay` (1: nothing is forgotten).
 * The view must be finite, and the moments without
 * targets. Returns 0 or -ENOMEM, the moments then as they were. */
int moments_absorb(struct moments *, const struct moments_view *, double decay);

/* moments_make_tile takes rows in turns of so many; its scratch holds two of them, of the tiles'
 * order. */
#define MOMENTS_MAKE_ROWS 128

/* Makes the k-th tile of xx from the rows; different tiles by different workers, if they like. */
void moments_make_tile(struct moments *, size_t k, double *scratch);
/* Makes xx if it waits. Returns 0 or -ENOMEM, the moments then as they were. */
int moments_make_xx(struct moments *);

/* sum w |x - m|^4 about the final mean: what the fixed shift was for; not by_rows. `scratch` holds
 * 2 p doubles.
 */
double moments_fourth(const struct moments *, double *scratch);
