#include "daemon/core/measure/targets.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/estimate.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"

bool targets_exist(const struct moments *m)
{
    return m->classes ? !m->classes->is_lost && m->classes->n > 0 : m->k > 0;
}

size_t targets_count(const struct moments *m)
{
    return m->classes ? m->classes->n : m->k;
}

static void cross_class(const struct moments *m, size_t slot, double *out)
{
    double weight = m->weight * moments_class_share(m, slot);

    if (!moments_class_occurred(m, slot)) {
        memset(out, 0, m->p * sizeof *out);
        return;
    }
    moments_class_mean(m, slot, out);
    for (size_t i = 0; i < m->p; i++)
        out[i] *= weight;
}

void targets_cross(const struct moments *m, size_t from, size_t n, double *out)
{
    assert(n <= TARGETS_CHUNK && from + n <= targets_count(m));
    for (size_t c = 0; c < n; c++) {
        if (m->classes)
            cross_class(m, from + c, out + c * m->p);
        for (size_t i = 0; !m->classes && i < m->p; i++)
            out[c * m->p + i] = m->xy[i * m->w + m->c + from + c];
    }
}

double targets_mean(const struct moments *m, size_t column)
{
    return m->classes ? moments_class_share(m, column) : m->mean_y[m->c + column];
}

double targets_kept(const struct moments *m, size_t place, size_t column)
{
    if (m->classes)
        return m->classes->kept[place] == m->classes->sums[column].label;
    return m->reservoir->y[place * m->w + m->c + column];
}

/* ---- classes ------------------------------------------------------------------------------- */

/* Sums over classes of powers of their shares, and of the squared columns of X'T. */
struct class_totals {
    size_t n;
    double squares, cubes;
    double inside; /* sum |X't|^2 / (W pi) */
    double cross;  /* sum |X't|^2 */
};

static int total_classes(const struct moments *m, struct class_totals *out)
{
    double *column = malloc(m->p * sizeof *column);

    *out = (struct class_totals){0};
    if (!column)
        return -ENOMEM;
    for (size_t c = 0; c < m->classes->n; c++) {
        double share = moments_class_share(m, c), square;

        if (!moments_class_occurred(m, c))
            continue;
        cross_class(m, c, column);
        square = linalg_sum_squares(m->p, column);
        out->n++;
        out->squares += share * share;
        out->cubes += share * share * share;
        out->inside += square / (m->weight * share);
        out->cross += square;
    }
    free(column);
    return 0;
}

/* ||diag(pi) - pi pi'||_F^2 = sum pi^2 - 2 sum pi^3 + (sum pi^2)^2. */
static int measure_classes(const struct moments *m, double features, struct target_measures *out)
{
    struct class_totals totals;
    int rc = total_classes(m, &totals);
    double norm_sq;

    if (rc < 0)
        return rc;
    norm_sq = totals.squares - 2 * totals.cubes + totals.squares * totals.squares;
    out->energy = 1 - totals.squares;
    if (totals.n < 2)
        return 0;
    out->d_target = estimate_share(1 - totals.inside / sqrt((double)(totals.n - 1) * features));
    out->target_alignment = estimate_share(totals.cross / (m->weight * sqrt(features * norm_sq)));
    return 0;
}

/* tr Y'T / W: sum over classes of the mean of their own output less what means alone make. */
static double own_outputs(const struct moments *m)
{
    double sum = 0;

    for (size_t c = 0; c < m->classes->n; c++) {
        const struct class_sums *sums = &m->classes->sums[c];

        sum += sums->own * m->classes->scale / m->weight -
               m->mean_y[sums->label] * moments_class_share(m, c);
    }
    return sum;
}

/* ---- values -------------------------------------------------------------------------------- */

static double cross_values(const struct moments *m)
{
    double sum = 0;

    for (size_t i = 0; i < m->p; i++)
        sum += linalg_sum_squares(m->k, m->xy + i * m->w + m->c);
    return sum;
}

static double norm_values(const struct moments *m)
{
    double sum = 0;

    for (size_t i = m->c; i < m->w; i++) {
        const double *row = m->yy + i * m->w + i;

        sum += row[0] * row[0] + 2 * linalg_sum_squares(m->w - i - 1, row + 1);
    }
    return sum;
}

static int span_values(const struct moments *m, enum dtype sent, double features, double *d_target)
{
    struct span span;
    double q;
    int rc = span_init(&span, m, m->c, m->k, sent);

    if (rc == 0)
        rc = span_variation(&span, m, &q);
    if (rc == 0 && span.rank > 0)
        *d_target = estimate_share(1 - q / sqrt((double)span.rank * features));
    span_release(&span);
    return rc;
}

static int measure_values(const struct moments *m, enum dtype sent, double features,
                          bool at_any_cost, struct target_measures *out)
{
    double p = (double)m->p, k = (double)m->k, norm_sq = norm_values(m);

    out->energy = 0;
    for (size_t i = m->c; i < m->w; i++)
        out->energy += m->yy[i * (m->w + 1)] / m->weight;
    if (norm_sq > 0)
        out->target_alignment = estimate_share(cross_values(m) / sqrt(features * norm_sq));
    if (p * k * k + 10 * k * k * k > (at_any_cost ? TARGETS_MOST : TARGETS_CHEAP))
        return 0;
    return span_values(m, sent, features, &out->d_target);
}

/* ---- the head's own error ------------------------------------------------------------------ */

static size_t declared(const struct moments *m)
{
    return m->classes ? m->classes->k : m->k;
}

static double own_values(const struct moments *m)
{
    double sum = 0;

    for (size_t i = 0; i < m->k; i++)
        sum += m->yy[i * m->w + m->c + i] / m->weight;
    return sum;
}

/* sum_j (k_j - mean t_j)^2. A class that did not occur has the mean 0. */
static double means_apart(const struct moments *m)
{
    double sum = 0;

    for (size_t j = 0; m->classes && j < m->c; j++)
        sum += m->mean_y[j] * m->mean_y[j];
    for (size_t c = 0; c < targets_count(m); c++) {
        double t = targets_mean(m, c), y = m->mean_y[m->classes ? m->classes->sums[c].label : c];

        sum += m->classes ? t * (t - 2 * y) : (y - t) * (y - t);
    }
    return sum;
}

static double head_error(const struct moments *m, double energy)
{
    double outputs = 0;

    for (size_t j = 0; j < m->c; j++)
        outputs += m->yy[j * (m->w + 1)] / m->weight;
    return outputs - 2 * (m->classes ? own_outputs(m) : own_values(m)) + energy + means_apart(m);
}

int targets_measure(const struct moments *m, enum dtype sent, double features, bool from_head,
                    bool at_any_cost, struct target_measures *out)
{
    const double none = (double)NAN;
    int rc;

    assert(targets_exist(m) && m->weight > 0 && features > 0);
    *out = (struct target_measures){none, none, none, none};
    rc = m->classes ? measure_classes(m, features, out)
                    : measure_values(m, sent, features, at_any_cost, out);
    if (rc == 0 && !from_head && m->c > 0 && m->c == declared(m))
        out->head_error = head_error(m, out->energy);
    return rc;
}
