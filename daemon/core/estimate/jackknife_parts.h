/* The inside of the jackknife, shared by its files. jackknife.c owns the memory and leads through
 * the steps, jackknife_groups.c pairs the groups and makes the columns of A, jackknife_without.c
 * gives the sums without a group, jackknife_neighbours.c tells whether groups depend on each other.
 * Symbols and threads as in jackknife.h.
 *
 *     find_pairs -> weigh_columns -> fill_outputs -> fill_third -> walk_features
 *                -> sums_without, once for each omission of each pair -> the errors
 *
 * Too few pairs end it early: the errors are NaN then. Tested with its files by
 * test_jackknife.c. */
#pragma once

#include "daemon/core/estimate/jackknife.h"

#define N_PAIRS (RESERVOIR_GROUPS / 2)

/* What is left out of a pair of groups: group g, group h, or both. */
enum omitted {
    OMIT_G,
    OMIT_H,
    OMIT_BOTH,
    N_OMISSIONS,
};

/* The rows of A for one omission: `k` columns of its pair from `from` on. The weighted sum z is the
 * column `sum`, counted from `from`. */
struct omission {
    size_t from, k, sum;
    double weight;    /* W_g */
    double weight_sq; /* sum of w^2 */
    double third;     /* the weighted sum's row of A times sum(w s x) over the window */
};

/* Two groups side by side, as columns of one matrix: A' is p x n_cols, V' is r x n_cols. A pair has
 * columns col..col+k-1. Their order makes the columns of each omission contiguous:
 *
 *     sum of g | rows of g | sum of both | rows of h | sum of h
 */
struct pair {
    struct reservoir_group rows[2];
    struct omission omissions[N_OMISSIONS];
    size_t col, k;
    double *n;  /* N = AA', k x k */
    double *ff; /* FF' */
    double *fa; /* FA' */
};

struct jackknife {
    const struct moments *m;
    struct kernel *kernel; /* NULL: X'X is there */
    const struct kept *kept;
    const struct span *outputs;
    const struct sums *whole;
    struct pair pairs[N_PAIRS];
    size_t n_pairs, n_cols, k_max;
    double correlation; /* r: of neighbours */
    double ratio;       /* the window's mean w s^2 over the groups' */
    double *root;       /* n_cols: sqrt(w); of a sum 1 / sqrt(W - W_g) */
    double *through;    /* n_cols: a'Ma for each column a */
    double *v;          /* r x n_cols */
    double *third;      /* p: sum(w s x) about the mean; p of scratch */

    double *slice;                 /* TILE_ORDER x n_cols: some rows of A' */
    double *fitted;                /* TILE_ORDER x n_cols: the same rows of F' */
    double *inside;                /* TILE_ORDER x r: the same rows of X'Q */
    float *left, *right, *product; /* TILE_ORDER x n_cols */
    float *tile;                   /* TILE_ORDER^2 */
    double *grams;                 /* of the pairs */
    double *products;              /* with the kernel: n x n_cols, XA' */
    double *scratch;               /* 7 k_max^2 */
};

/* The column of the weighted sum of an omission. */
static inline size_t jackknife_sum_column(const struct pair *pair, enum omitted which)
{
    return pair->col + pair->omissions[which].from + pair->omissions[which].sum;
}

/* The column of the i-th row of a group, 0 or 1. */
static inline size_t jackknife_row_column(const struct pair *pair, size_t group, size_t i)
{
    return pair->col + (group == 0 ? 1 : pair->rows[0].n + 2) + i;
}

/* ---- jackknife_groups.c ---- */

/* Pairs of groups that have weight, and without which some weight remains. */
void jackknife_find_pairs(struct jackknife *);
/* Fills `root`, and notes in each pair where its matrices are. */
void jackknife_weigh_columns(struct jackknife *);
/* slice = rows first..first+n-1 of A', times `scale`; n x n_cols, n <= TILE_ORDER. */
void jackknife_fill_features(const struct jackknife *, size_t first, size_t n, double scale);
/* v = V', r x n_cols. Returns 0 or -ENOMEM. */
int jackknife_fill_outputs(struct jackknife *);

/* ---- jackknife_without.c ---- */

/* third = sum(w s x) about the mean m. Returns 0 or -ENOMEM. */
int jackknife_fill_third(struct jackknife *);
/* Reads all features once: N, FF', FA' of each pair, `through`, and `third` of each omission. */
void jackknife_walk_features(struct jackknife *);
/* sum w s^2 of a pair's rows, after walk_features. */
double jackknife_fourth_of(const struct jackknife *, const struct pair *);
/* The sums of the window without one omission of a pair; q is NaN when the outputs lose rank with
 * it. Returns 0 or -ENOMEM. */
int jackknife_sums_without(const struct jackknife *, const struct pair *, const struct omission *,
                           struct sums *out);

/* ---- jackknife_neighbours.c ---- */

/* The correlation of the two groups of a pair, over all pairs; 0 unless it is beyond chance. After
 * walk_features. */
double jackknife_neighbour_correlation(const struct jackknife *);
