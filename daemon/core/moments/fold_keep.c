#include "daemon/core/moments/fold_parts.h"

/* Copies columns col..col+n-1, as they came, to the reservoir, for those rows that it takes. */
static void copy_columns(const struct fold *fold, enum part part, size_t col, size_t n, double *to,
                         size_t width)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                fold_read(fold, part, &fold->ranges[k], i, col, n, to + place * width + col);
        }
    }
}

static void copy_weights(const struct fold *fold)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                fold->moments->reservoir->weight[place] =
                    fold_weight_of(fold->ranges[k].rows, fold->ranges[k].from + i);
        }
    }
}

static void copy_labels(const struct fold *fold)
{
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        for (size_t i = 0; i < fold->ranges[k].n; i++, at++) {
            size_t place = reservoir_place(fold->moments->reservoir, at);

            if (place != RESERVOIR_NONE)
                fold->moments->classes->kept[place] =
                    fold_label_of(fold->ranges[k].rows, fold->ranges[k].from + i);
        }
    }
}

void fold_keep_features(const struct fold *fold, size_t col, size_t n)
{
    copy_columns(fold, PART_FEATURES, col, n, fold->moments->reservoir->x, fold->p);
}

void fold_keep_outputs(const struct fold *fold)
{
    const struct moments *m = fold->moments;

    if (m->c > 0)
        copy_columns(fold, PART_OUTPUTS, 0, m->c, m->reservoir->y, m->w);
    if (m->k > 0)
        copy_columns(fold, PART_TARGETS, 0, m->k, m->reservoir->y + m->c, m->w);
    if (m->classes)
        copy_labels(fold);
    copy_weights(fold);
}

void fold_keep_longest(const struct fold *fold)
{
    struct moments *m = fold->moments;
    size_t at = 0;

    for (size_t k = 0; k < fold->n_ranges; k++) {
        const struct row_range *range = &fold->ranges[k];

        for (size_t i = 0; i < range->n; i++, at++) {
            double square = fold->root[at] * fold->rs[at]; /* w s */
            size_t place =
                square > 0 ? reservoir_offer(m->reservoir, at, fold->n, square) : RESERVOIR_NONE;

            if (place == RESERVOIR_NONE)
                continue;
            fold_read(fold, PART_FEATURES, range, i, 0, m->p, m->reservoir->x + place * m->p);
            if (m->c > 0)
                fold_read(fold, PART_OUTPUTS, range, i, 0, m->c, m->reservoir->y + place * m->w);
            m->reservoir->weight[place] = fold_weight_of(range->rows, range->from + i);
        }
    }
}
