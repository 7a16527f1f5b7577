#include <math.h>

#include "daemon/core/moments/fold_parts.h"
#include "daemon/core/matrix/convert.h"

static bool check_frame(struct rows *rows, const char *what, enum dtype d, const void *values,
                        size_t n_columns)
{
    size_t n = rows->n * n_columns, bad = convert_find_nonfinite(d, values, n);

    if (bad == n)
        return true;
    err_set(&rows->why, -1, "%s are not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

/* The caller has checked labels: they lie below K. */
static bool check_targets(struct rows *rows, size_t n_targets)
{
    return n_targets == 0 ||
           check_frame(rows, "targets", rows->targets_dtype, rows->targets, n_targets);
}

uint32_t fold_label_of(const struct rows *rows, size_t i)
{
    double label;

    convert_to_double(rows->targets_dtype,
                      (const char *)rows->targets + i * dtype_size(rows->targets_dtype), 1, &label);
    return label < 0 ? CLASSES_NONE : (uint32_t)label;
}

static double weight_sent(const struct rows *rows, size_t i)
{
    double weight = 1;

    if (rows->weights)
        convert_to_double(rows->weights_dtype,
                          (const char *)rows->weights + i * dtype_size(rows->weights_dtype), 1,
                          &weight);
    return weight;
}

double fold_weight_of(const struct rows *rows, size_t i)
{
    bool has_labels = rows->targets && dtype_is_label(rows->targets_dtype);

    return has_labels && fold_label_of(rows, i) == CLASSES_NONE ? 0 : weight_sent(rows, i);
}

/* n = (sum w)^2 / sum w^2 needs the squares of the largest weights. */
static bool check_largest_weight(struct rows *rows, double largest, size_t row)
{
    if (largest > FOLD_WEIGHT_MAX)
        err_set(&rows->why, -1, "the weight at row %zu is %g, and may be %g at most", row, largest,
                FOLD_WEIGHT_MAX);
    else if (largest > 0 && largest < FOLD_WEIGHT_MIN)
        err_set(&rows->why, -1,
                "the largest weight, %g at row %zu, is below %g: scale them, for only their ratios "
                "count",
                largest, row, FOLD_WEIGHT_MIN);
    else
        return true;
    return false;
}

static bool check_weights(struct rows *rows)
{
    double largest = 0;
    size_t at = 0;

    if (!rows->weights)
        return true;
    if (!check_frame(rows, "weights", rows->weights_dtype, rows->weights, 1))
        return false;
    for (size_t i = 0; i < rows->n; i++) {
        double weight = weight_sent(rows, i);

        if (weight < 0) {
            err_set(&rows->why, -1, "the weight at row %zu is negative", i);
            return false;
        }
        if (weight > largest) {
            largest = weight;
            at = i;
        }
    }
    return check_largest_weight(rows, largest, at);
}

void fold_check_batch(struct fold *fold, struct rows *rows)
{
    if (rows->checked)
        return;
    rows->refused =
        !check_frame(rows, "features", rows->features_dtype, rows->features, fold->p) ||
        !check_frame(rows, "outputs", rows->outputs_dtype, rows->outputs, fold->moments->c) ||
        !check_targets(rows, fold->moments->k) || !check_weights(rows);
    rows->checked = true;
}

void fold_drop_refused(struct fold *fold)
{
    size_t kept = 0;

    fold->n = 0;
    for (size_t i = 0; i < fold->n_ranges; i++) {
        if (fold->ranges[i].rows->refused)
            continue;
        fold->n += fold->ranges[i].n;
        fold->ranges[kept++] = fold->ranges[i];
    }
    fold->n_ranges = kept;
}

/* The newest row weighs 1, a row that is h rows older half as much; times what the trainer says. */
void fold_weigh_rows(struct fold *fold)
{
    size_t at = 0;

    fold->weight = 0;
    fold->weight_sq = 0;
    for (size_t k = 0; k < fold->n_ranges; k++) {
        const struct row_range *range = &fold->ranges[k];

        for (size_t i = 0; i < range->n; i++, at++) {
            double age = (double)(fold->n - 1 - at),
                   w = fold_weight_of(range->rows, range->from + i);

            if (fold->half_life_rows > 0)
                w *= exp2(-age / fold->half_life_rows);
            fold->root[at] = sqrt(w);
            fold->weight += w;
            fold->weight_sq += w * w;
        }
    }
}

void fold_find_classes(struct fold *fold, double decay)
{
    struct classes *classes = fold->moments->classes;
    size_t at = 0;

    classes_forget(classes, decay);
    for (size_t k = 0; k < fold->n_ranges; k++) {
        const struct row_range *range = &fold->ranges[k];

        for (size_t i = 0; i < range->n; i++, at++) {
            fold->slot[at] = CLASSES_NONE;
            if (fold->root[at] > 0)
                fold->slot[at] = classes_slot(classes, fold_label_of(range->rows, range->from + i));
        }
    }
}
