/* The inside of the jackknife, shared by its files. jackknife.c owns the memory and leads through
 * the steps, jackknife_groups.c pairs the groups, jackknife_rows.c makes what single rows give,
 * jackknife_without.c the sums without a group, jackknife_neighbours.c tells whether groups depend
 * on each other. Symbols and threads as in jackknife.h.
 *
 *     find_pairs -> read_outputs -> read_features
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

/* `k` rows of its pair from `from` on. The weighted sum z is one more row of A. */
struct omission {
    size_t from, k;
    double weight;    /* W_g */
    double weight_sq; /* sum of w^2 */
    double through;   /* a'Ma of the row of A for z: z'Mz / (W - W_g) */
};

/* Two groups, one after the other: `k` rows of Z from `row` on. */
struct pair {
    struct reservoir_group rows[2];
    struct omission omissions[N_OMISSIONS];
    size_t row, k;
    double *n; /* ZZ', k x k */
    double *h; /* of the outputs: their ZZ' in the basis Q */
    double *e; /* (F - Z)(F - Z)' */
};

struct jackknife {
    const struct moments *m;
    struct kernel *kernel; /* NULL: X'X is there */
    const struct kept *kept;
    const struct span *outputs;
    const struct sums *whole;
    struct pair pairs[N_PAIRS];
    size_t n_pairs, n_rows, k_max;
    double correlation; /* r: of neighbours */
    double ratio;       /* the window's mean w s^2 over the groups' */
    double *root;       /* n_rows: sqrt(w) */
    double *through;    /* n_rows: a'Ma for each row a of Z */
    double *third;      /* n_rows: a'sum(w s x) over the window */
    double *grams;      /* of the pairs */
    double *scratch;    /* 3 (k_max + 1)^2 */
};

/* The row of Z of the i-th row of a group, 0 or 1; counted from the pair's first. */
static inline size_t jackknife_row(const struct pair *pair, size_t group, size_t i)
{
    return (group == 0 ? 0 : pair->rows[0].n) + i;
}

/* ---- jackknife_groups.c ---- */

/* Pairs of groups that have weight, and without which some weight remains. */
void jackknife_find_pairs(struct jackknife *);
/* Fills `root`, and notes in each pair where its matrices are. */
void jackknife_weigh_rows(struct jackknife *);

/* ---- jackknife_rows.c ---- */

/* Fills h of each pair, and e but for n. Returns 0 or -ENOMEM. */
int jackknife_read_outputs(struct jackknife *);
/* Fills n of each pair, the rest of e, `through` and `third`. Returns 0 or -ENOMEM. */
int jackknife_read_features(struct jackknife *);

/* ---- jackknife_without.c ---- */

/* The row of A for the weighted sum of an omission is this times sqrt(w)'Z. With it a sum is as
 * large as a row, however small or large weights are. */
double jackknife_sum_scale(const struct jackknife *, const struct omission *);

/* sum w s^2 of a pair's rows, after read_features. */
double jackknife_fourth_of(const struct jackknife *, const struct pair *);
/* The sums of the window without one omission of a pair; q is NaN when the outputs lose rank with
 * it. */
void jackknife_sums_without(const struct jackknife *, const struct pair *, const struct omission *,
                            struct sums *out);

/* ---- jackknife_neighbours.c ---- */

/* The correlation of the two groups of a pair, over all pairs; 0 unless it is beyond chance. After
 * read_outputs and read_features. */
double jackknife_neighbour_correlation(const struct jackknife *);
