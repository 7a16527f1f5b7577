#include "daemon/core/estimate/jackknife.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/estimate/jackknife_parts.h"

static void release(struct jackknife *jackknife)
{
    free(jackknife->root);
    free(jackknife->through);
    free(jackknife->third);
    free(jackknife->grams);
    free(jackknife->scratch);
}

static int allocate(struct jackknife *jackknife)
{
    size_t n = jackknife->n_rows, k = jackknife->k_max;

    jackknife->root = malloc(n * sizeof(double));
    jackknife->through = calloc(n, sizeof(double));
    jackknife->third = malloc(n * sizeof(double));
    jackknife->grams = malloc(3 * jackknife->n_pairs * k * k * sizeof(double));
    jackknife->scratch = malloc(3 * (k + 1) * (k + 1) * sizeof(double));
    return jackknife->root && jackknife->through && jackknife->third && jackknife->grams &&
                   jackknife->scratch
               ? 0
               : -ENOMEM;
}

/* ---- the spread of the influences ---- */

/* psi of each omission of each pair. */
typedef double influence[N_PAIRS][N_OMISSIONS];

/* sigma^2 of the header: the variance of what one row of weight 1 does. */
static double row_variance(const struct jackknife *jackknife, influence psi)
{
    double sum = 0, weight = 0, squares = 0;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        for (enum omitted g = OMIT_G; g <= OMIT_H; g++) {
            sum += jackknife->pairs[i].omissions[g].weight * psi[i][g];
            weight += jackknife->pairs[i].omissions[g].weight;
        }
    }
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        for (enum omitted g = OMIT_G; g <= OMIT_H; g++) {
            const struct omission *omission = &jackknife->pairs[i].omissions[g];
            double d = (psi[i][g] - sum / weight) * omission->weight;

            squares += d * d / omission->weight_sq;
        }
    }
    return squares / (double)(2 * jackknife->n_pairs - 1);
}

/* The variance of Q, scaled to what two rows of weight 1 do together. With n = W^2 / sum w^2 equal
 * rows and groups of d rows, Q is the sum of d^2 such terms, divided by n d. */
static double pair_variance(const struct jackknife *jackknife, influence psi)
{
    double q[N_PAIRS], mean = 0, sum = 0;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        const struct omission *omissions = jackknife->pairs[i].omissions;
        const struct omission *g = &omissions[OMIT_G], *h = &omissions[OMIT_H];
        double both = g->weight + h->weight;
        double apart = (g->weight * psi[i][OMIT_G] + h->weight * psi[i][OMIT_H]) / both;

        q[i] = 2 * (psi[i][OMIT_BOTH] - apart) * 2 * jackknife->whole->weight / both * g->weight *
               h->weight / (sqrt(g->weight_sq) * sqrt(h->weight_sq));
        mean += q[i] / (double)jackknife->n_pairs;
    }
    for (size_t i = 0; i < jackknife->n_pairs; i++)
        sum += (q[i] - mean) * (q[i] - mean);
    return sum / (double)(jackknife->n_pairs - 1);
}

/* The window's mean w s^2 over that of the groups. */
static double length_ratio(const struct jackknife *jackknife)
{
    double fourth = 0, weight = 0;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        const struct pair *pair = &jackknife->pairs[i];

        fourth += jackknife_fourth_of(jackknife, pair);
        weight += pair->omissions[OMIT_BOTH].weight;
    }
    return fourth > 0 ? jackknife->whole->fourth / jackknife->whole->weight * weight / fourth : 1;
}

/* The root of the variance; NaN when an influence is NaN. */
static double standard_error(const struct jackknife *jackknife, influence psi)
{
    double n = estimate_n_rows(jackknife->whole), var = row_variance(jackknife, psi) / n;
    double twice = pair_variance(jackknife, psi) / (2 * n * n);

    var = twice > var / 2 ? var / 2 : var - twice;
    return sqrt(var * jackknife->ratio * (1 + jackknife->correlation) /
                (1 - jackknife->correlation));
}

/* ---- the whole ---- */

static void leave_each_out(struct jackknife *jackknife, struct estimate *errors)
{
    double r = (double)jackknife->outputs->rank;
    struct estimate all = estimate_richness(jackknife->whole, r);
    influence plain, debiased, u, pr;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        for (enum omitted g = 0; g < N_OMISSIONS; g++) {
            const struct omission *omission = &jackknife->pairs[i].omissions[g];
            struct sums sums;
            struct estimate without;
            double scale;

            jackknife_sums_without(jackknife, &jackknife->pairs[i], omission, &sums);
            without = estimate_richness(&sums, r);
            scale = sums.weight / omission->weight;
            plain[i][g] = (without.plain - all.plain) * scale;
            debiased[i][g] = (without.debiased - all.debiased) * scale;
            u[i][g] = (without.u - all.u) * scale;
            pr[i][g] = (without.pr - all.pr) * scale;
        }
    }
    errors->plain = standard_error(jackknife, plain);
    errors->debiased = standard_error(jackknife, debiased);
    errors->u = standard_error(jackknife, u);
    errors->pr = standard_error(jackknife, pr);
}

int jackknife_measure(const struct moments *m, struct kernel *kernel, const struct kept *kept,
                      const struct span *outputs, const struct sums *whole, struct estimate *errors,
                      bool *dependent)
{
    struct jackknife jackknife = {
        .m = m, .kernel = kernel, .kept = kept, .outputs = outputs, .whole = whole};
    int rc;

    assert(outputs->is_whole && (kernel != NULL) == m->by_rows);
    *errors = ESTIMATE_NONE;
    *dependent = false;
    if (!m->reservoir || !kept->inside)
        return 0;
    jackknife_find_pairs(&jackknife);
    if (2 * jackknife.n_pairs < JACKKNIFE_MIN_GROUPS)
        return 0;
    rc = allocate(&jackknife);
    if (rc == 0) {
        jackknife_weigh_rows(&jackknife);
        rc = jackknife_read_outputs(&jackknife);
    }
    if (rc == 0)
        rc = jackknife_read_features(&jackknife);
    if (rc == 0) {
        jackknife.correlation = jackknife_neighbour_correlation(&jackknife);
        jackknife.ratio = length_ratio(&jackknife);
        *dependent = jackknife.correlation > 0;
        leave_each_out(&jackknife, errors);
    }
    release(&jackknife);
    return rc;
}
