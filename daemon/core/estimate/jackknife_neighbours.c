#include <math.h>

#include "daemon/core/estimate/jackknife_parts.h"

/* Of 30,000 made-up windows of independent rows .4 % lie beyond it when what a row does is
 * Gaussian, exponential or Student's t with 3 degrees of freedom, .7 % when it is log-normal(1.5),
 * and 1.1 % when one row in a hundred does 30 times as much as the others. */
#define BEYOND_CHANCE 2.6

/* Sums over the rows of a group: of weights w, their squares, and what the rows do, z and z^2. */
struct group_sums {
    double w, w2, z, z2;
};

/* What the row in column `col` of a pair does to log(1 - d_lr) to first order, times its weight:
 *
 *     z = dq / q - df / 2f        dq = 2 (FA')_ii - (FF')_ii        df = 2 a'M a */
static double influence_of(const struct jackknife *jackknife, const struct pair *pair, size_t col)
{
    size_t diagonal = (col - pair->col) * (pair->k + 1);

    return (2 * pair->fa[diagonal] - pair->ff[diagonal]) / jackknife->whole->q -
           jackknife->through[col] / jackknife->whole->f;
}

static struct group_sums sum_group(const struct jackknife *jackknife, const struct pair *pair,
                                   size_t group)
{
    struct group_sums sums = {0};

    for (size_t i = 0; i < pair->rows[group].n; i++) {
        size_t col = jackknife_row_column(pair, group, i);
        double w = jackknife->root[col] * jackknife->root[col];
        double z = influence_of(jackknife, pair, col);

        sums.w += w;
        sums.w2 += w * w;
        sums.z += z;
        sums.z2 += z * z;
    }
    return sums;
}

/* With independent rows, z about its mean times w has the variance sigma^2 w^2, and the sum over
 * pairs of the groups' products
 *
 *     T = sum_pairs Z_g Z_h / sqrt( sum_pairs V_g V_h )        Z = sum z,  V = sigma^2 sum w^2
 *
 * has mean 0 and variance 1. sigma^2 is that of single rows, of which there are hundreds, and not
 * of the 32 groups: a share of .05 of the variance that 128 rows have in common gives T = 3.2. */
bool jackknife_neighbours_agree(const struct jackknife *jackknife)
{
    struct group_sums sums[N_PAIRS][2];
    double w = 0, w2 = 0, z = 0, z2 = 0, variance, products = 0, expected = 0;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        for (size_t group = 0; group < 2; group++) {
            struct group_sums *s = &sums[i][group];

            *s = sum_group(jackknife, &jackknife->pairs[i], group);
            w += s->w;
            w2 += s->w2;
            z += s->z;
            z2 += s->z2;
        }
    }
    variance = z2 / w2 - z * z / (w * w);
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        const struct group_sums *g = &sums[i][0], *h = &sums[i][1];

        products += (g->z - g->w * z / w) * (h->z - h->w * z / w);
        expected += g->w2 * h->w2;
    }
    return variance > 0 && products > BEYOND_CHANCE * variance * sqrt(expected);
}
