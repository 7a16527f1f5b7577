#include "daemon/core/estimate/jackknife_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"

/* What a group with a smaller share of the weight does to an estimate is its rounding. */
#define LEAST_SHARE 1e-12

static void set_columns(struct pair *pair, enum omitted which, size_t from, size_t k, size_t sum)
{
    pair->omissions[which].from = from;
    pair->omissions[which].k = k;
    pair->omissions[which].sum = sum;
}

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

    *pair = (struct pair){.rows = {*g, *h}, .col = jackknife->n_cols, .k = g->n + h->n + 3};
    set_columns(pair, OMIT_G, 0, g->n + 1, 0);
    set_columns(pair, OMIT_BOTH, 1, g->n + h->n + 1, g->n);
    set_columns(pair, OMIT_H, g->n + 2, h->n + 1, h->n);
    weigh(jackknife->m->reservoir, g, &omissions[OMIT_G]);
    weigh(jackknife->m->reservoir, h, &omissions[OMIT_H]);
    omissions[OMIT_BOTH].weight = omissions[OMIT_G].weight + omissions[OMIT_H].weight;
    omissions[OMIT_BOTH].weight_sq = omissions[OMIT_G].weight_sq + omissions[OMIT_H].weight_sq;
    if (!(omissions[OMIT_G].weight > least && omissions[OMIT_H].weight > least &&
          omissions[OMIT_BOTH].weight < jackknife->m->weight))
        return;
    jackknife->n_pairs++;
    jackknife->n_cols += pair->k;
    jackknife->k_max = pair->k > jackknife->k_max ? pair->k : jackknife->k_max;
}

void jackknife_find_pairs(struct jackknife *jackknife)
{
    struct reservoir_group rows[RESERVOIR_GROUPS];
    size_t n = reservoir_groups(jackknife->m->reservoir, JACKKNIFE_GROUP_ROWS, rows);

    for (size_t i = 0; i + 1 < n; i += 2)
        add_pair(jackknife, &rows[i], &rows[i + 1]);
}

void jackknife_weigh_columns(struct jackknife *jackknife)
{
    size_t kk = jackknife->k_max * jackknife->k_max;

    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        struct pair *pair = &jackknife->pairs[i];

        for (size_t group = 0; group < 2; group++) {
            for (size_t row = 0; row < pair->rows[group].n; row++)
                jackknife->root[jackknife_row_column(pair, group, row)] =
                    sqrt(reservoir_weight(jackknife->m->reservoir, &pair->rows[group], row));
        }
        for (enum omitted which = 0; which < N_OMISSIONS; which++)
            jackknife->root[jackknife_sum_column(pair, which)] =
                1 / sqrt(jackknife->m->weight - pair->omissions[which].weight);
        pair->n = jackknife->grams + 3 * i * kk;
        pair->ff = pair->n + kk;
        pair->fa = pair->ff + kk;
    }
}

/* Rows of the reservoir, `width` values each, about `mean`. Their columns first..first+n-1, times
 * `scale`, become rows of A', or of the same matrix for Y. */
struct source {
    const double *values, *mean;
    size_t width, first, n;
    double scale;
};

/* The rows of one group, and their sum into two columns: that of the group and that of both. */
static void fill_group(const struct jackknife *jackknife, const struct pair *pair, size_t group,
                       const struct source *s, double *out)
{
    double *own = out + jackknife_sum_column(pair, group == 0 ? OMIT_G : OMIT_H);
    double *both = out + jackknife_sum_column(pair, OMIT_BOTH);

    for (size_t row = 0; row < pair->rows[group].n; row++) {
        const double *from = s->values + (pair->rows[group].at + row) * s->width + s->first;
        size_t col = jackknife_row_column(pair, group, row);
        double root = jackknife->root[col], *to = out + col;

        for (size_t c = 0; c < s->n; c++) {
            double z = s->scale * root * (from[c] - s->mean[s->first + c]);

            to[c * jackknife->n_cols] = z;
            own[c * jackknife->n_cols] += root * z;
            both[c * jackknife->n_cols] += root * z;
        }
    }
}

/* out is n x n_cols. */
static void fill_slice(const struct jackknife *jackknife, const struct source *s, double *out)
{
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        const struct pair *pair = &jackknife->pairs[i];

        for (enum omitted which = 0; which < N_OMISSIONS; which++) {
            for (size_t c = 0; c < s->n; c++)
                out[c * jackknife->n_cols + jackknife_sum_column(pair, which)] = 0;
        }
        fill_group(jackknife, pair, 0, s, out);
        fill_group(jackknife, pair, 1, s, out);
        for (enum omitted which = 0; which < N_OMISSIONS; which++) {
            size_t col = jackknife_sum_column(pair, which);

            for (size_t c = 0; c < s->n; c++)
                out[c * jackknife->n_cols + col] *= jackknife->root[col];
        }
    }
}

void jackknife_fill_features(const struct jackknife *jackknife, size_t first, size_t n,
                             double scale)
{
    struct source s = {.values = jackknife->m->reservoir->x,
                       .mean = jackknife->m->mean_x,
                       .width = jackknife->m->p,
                       .first = first,
                       .n = n,
                       .scale = scale};

    fill_slice(jackknife, &s, jackknife->slice);
}

/* V' = basis' B' with B the matrix A of the outputs. */
int jackknife_fill_outputs(struct jackknife *jackknife)
{
    const struct span *o = jackknife->outputs;
    struct source s = {.values = jackknife->m->reservoir->y,
                       .mean = jackknife->m->mean_y,
                       .width = jackknife->m->w,
                       .first = o->first,
                       .n = o->n_columns,
                       .scale = 1};
    double *y = malloc(o->n_columns * jackknife->n_cols * sizeof(double));

    if (!y)
        return -ENOMEM;
    fill_slice(jackknife, &s, y);
    linalg_cross_f64(o->n_columns, o->rank, jackknife->n_cols, o->basis, o->rank, y,
                     jackknife->n_cols, 0, jackknife->v, jackknife->n_cols);
    free(y);
    return 0;
}
