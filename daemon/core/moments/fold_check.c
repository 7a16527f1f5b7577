#include <math.h>

#include "daemon/core/moments/fold_parts.h"
#include "daemon/core/matrix/convert.h"

static bool check_frame(struct rows *r, const char *what, enum dtype d, const void *values,
                        size_t n_columns)
{
    size_t n = r->n * n_columns, bad = convert_find_nonfinite(d, values, n);

    if (bad == n)
        return true;
    err_set(&r->why, -1, "%s are not finite at row %zu, column %zu", what, bad / n_columns,
            bad % n_columns);
    return false;
}

/* Labels are the caller's promise: they lie in 0..K-1. */
static bool check_targets(struct rows *r, size_t n_targets)
{
    return n_targets == 0 || dtype_is_label(r->targets_dtype) ||
           check_frame(r, "targets", r->targets_dtype, r->targets, n_targets);
}

double fold_weight_of(const struct rows *r, size_t i)
{
    double weight = 1;

    if (r->weights)
        convert_to_double(r->weights_dtype,
                          (const char *)r->weights + i * dtype_size(r->weights_dtype), 1, &weight);
    return weight;
}

static bool check_weights(struct rows *r)
{
    if (!r->weights)
        return true;
    if (!check_frame(r, "weights", r->weights_dtype, r->weights, 1))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (fold_weight_of(r, i) < 0) {
            err_set(&r->why, -1, "the weight at row %zu is negative", i);
            return false;
        }
    }
    return true;
}

void fold_check_batch(struct fold *f, struct rows *r)
{
    if (r->checked)
        return;
    r->refused = !check_frame(r, "features", r->features_dtype, r->features, f->p) ||
                 !check_frame(r, "outputs", r->outputs_dtype, r->outputs, f->m->c) ||
                 !check_targets(r, f->m->k) || !check_weights(r);
    r->checked = true;
}

void fold_drop_refused(struct fold *f)
{
    size_t kept = 0;

    f->n = 0;
    for (size_t i = 0; i < f->n_segments; i++) {
        if (f->segments[i].rows->refused)
            continue;
        f->n += f->segments[i].n;
        f->segments[kept++] = f->segments[i];
    }
    f->n_segments = kept;
}

/* The newest row weighs 1, one that is h rows older half as much; times what the trainer says. */
void fold_weigh_rows(struct fold *f)
{
    size_t at = 0;

    f->weight = 0;
    f->weight_sq = 0;
    for (size_t k = 0; k < f->n_segments; k++) {
        const struct segment *s = &f->segments[k];

        for (size_t i = 0; i < s->n; i++, at++) {
            double age = (double)(f->n - 1 - at), w = fold_weight_of(s->rows, s->from + i);

            if (f->half_life_rows > 0)
                w *= exp2(-age / f->half_life_rows);
            f->root[at] = sqrt(w);
            f->weight += w;
            f->weight_sq += w * w;
        }
    }
}
