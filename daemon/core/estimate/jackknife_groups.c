#include "daemon/core/estimate/jackknife_parts.h"

#include <math.h>

/* What a group with a smaller share of the weight does to an estimate is its rounding. */
#define LEAST_SHARE 1e-12

static void weigh(const struct reservoir *reservoir, const struct reservoir_group *rows,
                  struct omission *omission)
{
    for (size_t i = 0; i < rows->n; i++) {
        double w = reservoir_weight(reservoir, rows, i);

        omission->weight += w;
        omission->weight_sq += w * w;
    }
}

static void add_pair(struct jackknife *jackknife, const struct reservoir_group *g,
                     const struct reservoir_group *h)
{
    struct pair *pair = &jackknife->pairs[jackknife->n_pairs];
    struct omission *omissions = pair->omissions;
    double least = LEAST_SHARE * jackknife->m->weight;

    *pair = (struct pair){.rows = {*g, *h}, .row = jackknife->n_rows, .k = g->n + h->n};
    omissions[OMIT_G] = (struct omission){.from = 0, .k = g->n};
    omissions[OMIT_H] = (struct omission){.from = g->n, .k = h->n};
    omissions[OMIT_BOTH] = (struct omission){.from = 0, .k = pair->k};
    weigh(jackknife->m->reservoir, g, &omissions[OMIT_G]);
    weigh(jackknife->m->reservoir, h, &omissions[OMIT_H]);
    omissions[OMIT_BOTH].weight = omissions[OMIT_G].weight + omissions[OMIT_H].weight;
    omissions[OMIT_BOTH].weight_sq = omissions[OMIT_G].weight_sq + omissions[OMIT_H].weight_sq;
    if (!(omissions[OMIT_G].weight > least && omissions[OMIT_H].weight > least &&
          omissions[OMIT_BOTH].weight < jackknife->m->weight))
        return;
    jackknife->n_pairs++;
    jackknife->n_rows += pair->k;
    jackknife->k_max = pair->k > jackknife->k_max ? pair->k : jackknife->k_max;
}

void jackknife_find_pairs(struct jackknife *jackknife)
{
    struct reservoir_group rows[RESERVOIR_GROUPS];
    size_t n = reservoir_groups(jackknife->m->reservoir, JACKKNIFE_GROUP_ROWS, rows);

    for (size_t i = 0; i + 1 < n; i += 2)
        add_pair(jackknife, &rows[i], &rows[i + 1]);
}

void jackknife_weigh_rows(struct jackknife *jackknife)
{
    size_t kk = jackknife->k_max * jackknife->k_max;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        struct pair *pair = &jackknife->pairs[i];

        for (size_t group = 0; group < 2; group++) {
            for (size_t row = 0; row < pair->rows[group].n; row++)
                jackknife->root[pair->row + jackknife_row(pair, group, row)] =
                    sqrt(reservoir_weight(jackknife->m->reservoir, &pair->rows[group], row));
        }
        pair->n = jackknife->grams + 3 * i * kk;
        pair->h = pair->n + kk;
        pair->e = pair->h + kk;
    }
}
