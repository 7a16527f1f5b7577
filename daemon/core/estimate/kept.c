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

/* Of rows i with s_i, v_i, each of which counts c_i: weights, and sums with them. */
struct counted {
    double s, v;          /* sum c w s, w v */
    double fourth;        /* c w s^2 */
    double w2, s2, v2;    /* c w^2, w^2 s, w^2 v */
    double s_s, s_v, v_v; /* c w^2 s^2, w^2 s v, w^2 v^2 */
};

static void count_row(struct counted *sums, double c, double w, double s, double v)
{
    sums->s += c * w * s;
    sums->v += c * w * v;
    sums->fourth += c * w * s * s;
    sums->w2 += c * w * w;
    sums->s2 += c * w * w * s;
    sums->v2 += c * w * w * v;
    sums->s_s += c * w * w * s * s;
    sums->s_v += c * w * w * s * v;
    sums->v_v += c * w * w * v * v;
}

/* Of rows from..to-1, each of which stands for `c`. */
static struct counted count_rows(const struct kept *kept, const struct moments *m, size_t from,
                                 size_t to, double c)
{
    struct counted sums = {0};

    for (size_t i = from; i < to; i++) {
        const double *x = m->reservoir->x + kept->place[i] * m->p;
        const double *y = m->reservoir->y + kept->place[i] * m->w;

        count_row(&sums, c, kept->weight[i], squared_distance(m->p, x, m->mean_x),
                  squared_distance(m->c, y, m->mean_y));
    }
    return sums;
}

static double outputs_trace(const struct moments *m)
{
    double sum = 0;

    for (size_t i = 0; i < m->c; i++)
        sum += m->yy[i * (m->w + 1)];
    return sum;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 1;
}

/* The sums with v, by its regression on s in the sample (Cochran 1977, chapter 7): v = a + b s + e.
 * Of the rows that the sample stands for sum s, sum v and sum s^2 are known, so only b and the
 * spread of e come from it. For a sample that is all rows these are the sums themselves. */
static void add_sampled(const struct counted *sample, double s, double v, double fourth,
                        struct kept_sums *out)
{
    double s2 = sample->s2 * ratio(s, sample->s), v2 = sample->v2 * ratio(v, sample->v);
    double spread = sample->s_s - sample->s2 * sample->s2 / sample->w2;
    double both = sample->s_v - sample->s2 * sample->v2 / sample->w2;
    double b = spread > 0 ? both / spread : 0;
    double of_e = sample->v_v - sample->v2 * sample->v2 / sample->w2 - b * both;

    spread = fmax(sample->s_s * ratio(fourth, sample->fourth) - s2 * s2 / sample->w2, 0);
    out->cross += s2 * v2 / sample->w2 + b * spread;
    out->outputs += v2 * v2 / sample->w2 + b * b * spread + of_e;
}

struct kept_sums kept_sum(const struct kept *kept, const struct moments *m, double trace,
                          double fourth)
{
    struct counted longest = count_rows(kept, m, 0, kept->n_longest, 1);
    struct counted sample = count_rows(kept, m, kept->n_longest, kept->n, kept->scale);
    double once = longest.fourth + sample.fourth;
    struct kept_sums out = {
        .weighting = once > 0 ? (longest.s_s + sample.s_s) / once * m->weight / m->weight_sq : 1,
        .cross = longest.s_v,
        .outputs = longest.v_v,
    };

    if (kept->n == 0)
        return (struct kept_sums){(double)NAN, (double)NAN, (double)NAN};
    if (sample.w2 > 0)
        add_sampled(&sample, trace - longest.s, outputs_trace(m) - longest.v,
                    fourth - longest.fourth, &out);
    return out;
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
