#include "daemon/core/estimate/kept.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/passes.h"

/* A row that alone holds a direction of the outputs: without it nothing is explained there. */
#define LEVERAGE_MAX (1 - 1e-9)

/* Rows whose products with the features are made at a time: they stay in cache. */
#define CHUNK_ROWS 128

static void add(struct kept *kept, const struct reservoir *reservoir,
                const struct reservoir_group *rows, size_t i)
{
    kept->place[kept->n] = rows->at + i;
    kept->weight[kept->n] = reservoir_weight(reservoir, rows, i);
    kept->number[rows->at + i] = kept->n;
    kept->n++;
}

/* Which of the longest a row is, by its number in the window; n_longest: none. */
static size_t find_longest(const struct reservoir *reservoir, uint64_t row)
{
    size_t i = 0;

    while (i < reservoir->n_longest && reservoir->longest_row[i] != row)
        i++;
    return i;
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
            size_t longest = all ? reservoir->n_longest
                                 : find_longest(reservoir, reservoir->n_seen - 1 - runs[g].age + i);

            if (longest == reservoir->n_longest)
                add(kept, reservoir, &runs[g], i);
            else
                kept->number[runs[g].at + i] = longest;
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
        .number = calloc(n, sizeof(size_t)),
        .leverage = calloc(n, sizeof(double)),
        .overfit = calloc(n, sizeof(double)),
    };
    if (!kept->place || !kept->weight || !kept->number || !kept->leverage || !kept->overfit) {
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
    free(kept->number);
    free(kept->leverage);
    free(kept->overfit);
    free(kept->inside);
    free(kept->along);
    free(kept->gram);
    memset(kept, 0, sizeof *kept);
}

/* What the i-th row counts for in a sum over the window. */
static double count(const struct kept *kept, size_t i)
{
    return i < kept->n_longest ? 1 : kept->scale;
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

        count_row(&sums, c, kept->weight[i], passes_distance(m->p, x, m->mean_x),
                  passes_distance(m->c, y, m->mean_y));
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

/* Rows from..from+n-1 about their mean, times sqrt(w), n x width; and the squares of their lengths.
 */
static void read_rows(const struct kept *kept, size_t from, size_t n, const double *values,
                      size_t stride, size_t width, const double *mean, double *out, double *squares)
{
    for (size_t i = 0; i < n; i++, out += width)
        squares[i] = passes_centre_row(width, sqrt(kept->weight[from + i]),
                                       values + kept->place[from + i] * stride, mean, out);
}

/* Of n rows at a time. In single precision both sides are divided by |X|, so that no element
 * exceeds 1, whatever the features' unit. */
struct projection {
    double length;                      /* |X|; 0: in double precision */
    double *features;                   /* CHUNK_ROWS x p */
    double *outputs;                    /* CHUNK_ROWS x n_columns */
    double *sides;                      /* X'Q, p x r */
    float *narrow;                      /* CHUNK_ROWS x p, or NULL, as what follows */
    float *narrow_sides, *narrow_along; /* p x r, CHUNK_ROWS x r */
};

static void projection_release(struct projection *projection)
{
    free(projection->features);
    free(projection->narrow);
}

static int projection_init(struct projection *projection, const struct moments *m,
                           const struct span *outputs, double length)
{
    size_t p = m->p, c = outputs->n_columns, r = outputs->rank;

    *projection = (struct projection){.length = length};
    projection->features = malloc((CHUNK_ROWS * (p + c) + p * r) * sizeof(double));
    if (length > 0)
        projection->narrow = malloc((CHUNK_ROWS * (p + r) + p * r) * sizeof(float));
    if (!projection->features || (length > 0 && !projection->narrow)) {
        projection_release(projection);
        return -ENOMEM;
    }
    projection->outputs = projection->features + CHUNK_ROWS * p;
    projection->sides = projection->outputs + CHUNK_ROWS * c;
    span_rows(outputs, m, 0, p, projection->sides);
    if (length > 0) {
        projection->narrow_sides = projection->narrow + CHUNK_ROWS * p;
        projection->narrow_along = projection->narrow_sides + p * r;
        passes_narrow_scaled(p * r, 1 / length, projection->sides, projection->narrow_sides);
    }
    return 0;
}

/* sqrt(w) x'X'Q of the rows that are in `features`. */
static void multiply(const struct projection *projection, size_t n, size_t p, size_t r,
                     double *along)
{
    double length = projection->length;

    if (!projection->narrow) {
        linalg_product_f64(n, p, r, projection->features, p, projection->sides, r, along, r);
        return;
    }
    passes_narrow_scaled(n * p, 1 / length, projection->features, projection->narrow);
    linalg_product_f32(n, p, r, projection->narrow, p, projection->narrow_sides, r, 0,
                       projection->narrow_along, r);
    for (size_t i = 0; i < n * r; i++)
        along[i] = length * length * (double)projection->narrow_along[i];
}

/* The rows' own w x'e = w |x|^2 - (sqrt(w) Q_i)'(sqrt(w) x'X'Q), and what they are made of. */
static void fill_residuals(struct kept *kept, const struct moments *m, const struct span *outputs,
                           const struct projection *projection, double *own)
{
    size_t p = m->p, c = outputs->n_columns, r = outputs->rank;

    for (size_t at = 0, n; at < kept->n; at += n) {
        double *inside = kept->inside + at * r, *along = kept->along + at * r;

        n = kept->n - at < CHUNK_ROWS ? kept->n - at : CHUNK_ROWS;
        read_rows(kept, at, n, m->reservoir->y + outputs->first, m->w, c,
                  m->mean_y + outputs->first, projection->outputs, own + at);
        linalg_product_f64(n, c, r, projection->outputs, c, outputs->basis, r, inside, r);
        read_rows(kept, at, n, m->reservoir->x, p, p, m->mean_x, projection->features, own + at);
        multiply(projection, n, p, r, along);
        for (size_t i = 0; i < n; i++)
            own[at + i] -= linalg_dot(r, inside + i * r, along + i * r);
    }
}

/* Fills inside, along, gram and own. Returns 0 or -ENOMEM. */
static int project(struct kept *kept, const struct moments *m, const struct span *outputs,
                   double length, double *own)
{
    size_t r = outputs->rank;
    struct projection projection;

    assert(!kept->inside);
    kept->inside = malloc(kept->n * r * sizeof(double));
    kept->along = malloc(kept->n * r * sizeof(double));
    kept->gram = malloc(r * r * sizeof(double));
    if (!kept->inside || !kept->along || !kept->gram ||
        projection_init(&projection, m, outputs, length) < 0)
        return -ENOMEM;
    linalg_gram_f64(m->p, r, projection.sides, r, 0, kept->gram, r);
    fill_residuals(kept, m, outputs, &projection, own);
    projection_release(&projection);
    return 0;
}

/* The parts of all rows, from w x'e. A row that the others say nothing of explains itself alone:
 * x'e / (1 - h) is then its own square. */
static double sum_parts(struct kept *kept, const struct moments *m, size_t r, const double *own)
{
    double sum = 0;

    for (size_t i = 0; i < kept->n; i++) {
        size_t at = kept->place[i];
        double h;

        kept->leverage[at] = linalg_sum_squares(r, kept->inside + i * r);
        h = kept->leverage[at] + kept->weight[i] / m->weight;
        if (h < LEVERAGE_MAX)
            kept->overfit[at] = own[i] * h / (1 - h);
        else
            kept->overfit[at] =
                kept->weight[i] * passes_distance(m->p, m->reservoir->x + at * m->p, m->mean_x) -
                own[i];
        sum += count(kept, i) * kept->overfit[at];
    }
    return sum;
}

int kept_overfit(struct kept *kept, const struct moments *m, const struct span *outputs,
                 enum dtype features, double trace, double *sum)
{
    double length = features == DTYPE_F64 ? 0 : sqrt(trace);
    double *own;
    int rc;

    *sum = (double)NAN;
    if (kept->n == 0)
        return 0;
    own = malloc(kept->n * sizeof *own);
    if (!own)
        return -ENOMEM;
    rc = project(kept, m, outputs, length, own);
    if (rc == 0)
        *sum = sum_parts(kept, m, outputs->rank, own);
    free(own);
    return rc;
}
