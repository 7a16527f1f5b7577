#include "daemon/core/estimate/kept.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* A row that alone holds a direction of the outputs: without it nothing is explained there. */
#define LEVERAGE_MAX (1 - 1e-9)

static void add(struct kept *kept, const struct reservoir *reservoir,
                const struct reservoir_group *rows, size_t i)
{
    kept->place[kept->n] = rows->at + i;
    kept->weight[kept->n] = reservoir_weight(reservoir, rows, i);
    kept->n++;
}

static bool is_longest(const struct reservoir *reservoir, uint64_t row)
{
    for (size_t i = 0; i < reservoir->n_longest; i++) {
        if (reservoir->longest_row[i] == row)
            return true;
    }
    return false;
}

static double sum_weights_sq(const struct kept *kept, size_t from, size_t to)
{
    return linalg_sum_squares(to - from, kept->weight + from);
}

/* All rows, or the longest and those of the sample that are not among them. */
static void collect(struct kept *kept, const struct moments *m)
{
    const struct reservoir *reservoir = m->reservoir;
    struct reservoir_group runs[RESERVOIR_RUNS];
    size_t n_runs = reservoir_runs(reservoir, runs);
    bool all = reservoir_has_all(reservoir);

    for (size_t i = 0; n_runs > 0 && !all && i < reservoir->n_longest; i++) {
        struct reservoir_group row = reservoir_longest(reservoir, i);

        add(kept, reservoir, &row, 0);
    }
    kept->n_longest = kept->n;
    for (size_t g = 0; g < n_runs; g++) {
        for (size_t i = 0; i < runs[g].n; i++) {
            if (all || !is_longest(reservoir, reservoir->n_seen - 1 - runs[g].age + i))
                add(kept, reservoir, &runs[g], i);
        }
    }
    kept->scale = all ? 1
                      : (m->weight_sq - sum_weights_sq(kept, 0, kept->n_longest)) /
                            sum_weights_sq(kept, kept->n_longest, kept->n);
    if (!(kept->scale >= 0) || isinf(kept->scale)) /* the sample weighs nothing */
        kept->n = 0;
}

int kept_init(struct kept *kept, const struct moments *m)
{
    size_t n = m->reservoir ? reservoir_capacity(m->reservoir) + RESERVOIR_LONGEST : 1;

    *kept = (struct kept){
        .place = malloc(n * sizeof(size_t)),
        .weight = malloc(n * sizeof(double)),
        .leverage = calloc(n, sizeof(double)),
        .overfit = calloc(n, sizeof(double)),
    };
    if (!kept->place || !kept->weight || !kept->leverage || !kept->overfit) {
        kept_release(kept);
        return -ENOMEM;
    }
    if (m->reservoir)
        collect(kept, m);
    return 0;
}

void kept_release(struct kept *kept)
{
    free(kept->place);
    free(kept->weight);
    free(kept->leverage);
    free(kept->overfit);
    memset(kept, 0, sizeof *kept);
}

/* What the i-th row counts for in a sum over the window. */
static double count(const struct kept *kept, size_t i)
{
    return i < kept->n_longest ? 1 : kept->scale;
}

static double squared_distance(size_t n, const double *x, const double *mean)
{
    double sum = 0;

    for (size_t j = 0; j < n; j++)
        sum += (x[j] - mean[j]) * (x[j] - mean[j]);
    return sum;
}

struct kept_sums kept_sum(const struct kept *kept, const struct moments *m, double fourth)
{
    double once = 0, twice = 0, cross = 0, outputs = 0;

    if (kept->n == 0)
        return (struct kept_sums){(double)NAN, (double)NAN, (double)NAN};
    for (size_t i = 0; i < kept->n; i++) {
        const struct reservoir *reservoir = m->reservoir;
        double w = kept->weight[i], c = count(kept, i) * w;
        double s = squared_distance(m->p, reservoir->x + kept->place[i] * m->p, m->mean_x);
        double v = squared_distance(m->c, reservoir->y + kept->place[i] * m->w, m->mean_y);

        once += c * s * s;
        twice += c * w * s * s;
        cross += c * w * s * v;
        outputs += c * w * v * v;
    }
    return (struct kept_sums){
        .weighting = once > 0 ? twice / once * m->weight / m->weight_sq : 1,
        .cross = once > 0 ? cross * fourth / once : cross,
        .outputs = once > 0 ? outputs * fourth / once : outputs,
    };
}

/* ---- leverage and residuals ---- */

/* V' = basis' Y', r x n: the rows in the outputs' space, times sqrt(w). Returns it (free with
 * free), or NULL. */
static double *project(const struct kept *kept, const struct moments *m, const struct span *outputs)
{
    size_t n = kept->n, c = outputs->n_columns;
    double *y = malloc(c * n * sizeof *y), *v = malloc(outputs->rank * n * sizeof *v);

    for (size_t i = 0; y && i < n; i++) {
        const double *row = m->reservoir->y + kept->place[i] * m->w + outputs->first;
        double root = sqrt(kept->weight[i]);

        for (size_t j = 0; j < c; j++)
            y[j * n + i] = root * (row[j] - m->mean_y[outputs->first + j]);
    }
    if (y && v)
        linalg_cross_f64(c, outputs->rank, n, outputs->basis, outputs->rank, y, n, 0, v, n);
    else
        free(v);
    v = y ? v : NULL;
    free(y);
    return v;
}

/* own += w x_i'e_i over some features; `inside` are their rows of X'Q, `fitted` is scratch. */
static void add_residuals(const struct kept *kept, const struct moments *m, size_t first,
                          size_t n_cols, const double *fitted, double *own)
{
    for (size_t i = 0; i < kept->n; i++) {
        const double *x = m->reservoir->x + kept->place[i] * m->p + first;
        double root = sqrt(kept->weight[i]);

        for (size_t j = 0; j < n_cols; j++) {
            double z = root * (x[j] - m->mean_x[first + j]);

            own[i] += z * (z - fitted[j * kept->n + i]);
        }
    }
}

/* own = w x_i'e_i. Returns 0 or -ENOMEM. */
static int fill_residuals(const struct kept *kept, const struct moments *m,
                          const struct span *outputs, const double *v, double *own)
{
    size_t n = kept->n, r = outputs->rank, t = m->p < TILE_ORDER ? m->p : TILE_ORDER;
    double *inside = malloc(t * r * sizeof *inside), *fitted = malloc(t * n * sizeof *fitted);
    bool ok = inside && fitted;

    memset(own, 0, n * sizeof *own);
    for (size_t first = 0; ok && first < m->p; first += t) {
        size_t n_cols = m->p - first < t ? m->p - first : t;

        span_rows(outputs, m, first, n_cols, inside);
        linalg_product_f64(n_cols, r, n, inside, r, v, n, fitted, n);
        add_residuals(kept, m, first, n_cols, fitted, own);
    }
    free(inside);
    free(fitted);
    return ok ? 0 : -ENOMEM;
}

/* The parts of all rows, from w x'e and V. A row that the others say nothing of explains itself
 * alone: x'e / (1 - h) is then its own square. */
static double sum_parts(struct kept *kept, const struct moments *m, size_t r, const double *v,
                        const double *own)
{
    double sum = 0;

    for (size_t i = 0; i < kept->n; i++) {
        size_t at = kept->place[i];
        double h;

        for (size_t k = 0; k < r; k++)
            kept->leverage[at] += v[k * kept->n + i] * v[k * kept->n + i];
        h = kept->leverage[at] + kept->weight[i] / m->weight;
        if (h < LEVERAGE_MAX)
            kept->overfit[at] = own[i] * h / (1 - h);
        else
            kept->overfit[at] =
                kept->weight[i] * squared_distance(m->p, m->reservoir->x + at * m->p, m->mean_x) -
                own[i];
        sum += count(kept, i) * kept->overfit[at];
    }
    return sum;
}

int kept_overfit(struct kept *kept, const struct moments *m, const struct span *outputs,
                 double *sum)
{
    double *v, *own;
    int rc = -ENOMEM;

    *sum = (double)NAN;
    if (kept->n == 0)
        return 0;
    v = project(kept, m, outputs);
    own = malloc(kept->n * sizeof *own);
    if (v && own)
        rc = fill_residuals(kept, m, outputs, v, own);
    if (rc == 0)
        *sum = sum_parts(kept, m, outputs->rank, v, own);
    free(v);
    free(own);
    return rc;
}
