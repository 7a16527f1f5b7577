#include "tests/lib/core/sample.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/span.h"
#include "daemon/core/measure/measure.h"

void *must_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        abort();
    return memory;
}

void sample_init(struct sample *s, size_t n, size_t p, size_t c)
{
    memset(s, 0, sizeof *s);
    s->n = n;
    s->p = p;
    s->c = c;
    s->x = must_alloc(n * p * sizeof *s->x);
    s->y = must_alloc(n * c * sizeof *s->y);
}

void sample_release(struct sample *s)
{
    free(s->x);
    free(s->y);
    free(s->memory);
    memset(s, 0, sizeof *s);
}

void sample_fill(struct sample *s, struct random *r, double mean, double noise)
{
    double *a = must_alloc(s->p * s->c * sizeof *a);

    random_fill_gaussian(r, s->p * s->c, a);
    for (size_t i = 0; i < s->n; i++) {
        double *x = s->x + i * s->p, *y = s->y + i * s->c;

        for (size_t j = 0; j < s->p; j++) {
            double value = random_gaussian(r) * (2 * j < s->p ? 1 : 0.1);

            x[j] = mean + value;
            for (size_t k = 0; k < s->c; k++)
                y[k] += a[j * s->c + k] * value;
        }
        for (size_t k = 0; k < s->c; k++)
            y[k] += noise * random_gaussian(r);
    }
    free(a);
}

/* A product of p reflections I - 2 v v', applied to each row in turn. */
void sample_rotate(struct sample *s, struct random *r)
{
    double *v = must_alloc(s->p * sizeof *v);

    for (size_t k = 0; k < s->p; k++) {
        double norm = 0;

        random_fill_gaussian(r, s->p, v);
        for (size_t j = 0; j < s->p; j++)
            norm += v[j] * v[j];
        for (size_t i = 0; i < s->n; i++) {
            double *x = s->x + i * s->p, dot = 0;

            for (size_t j = 0; j < s->p; j++)
                dot += x[j] * v[j];
            for (size_t j = 0; j < s->p; j++)
                x[j] -= 2 * dot / norm * v[j];
        }
    }
    free(v);
}

/* A = 2 I + (uniform entries below 1 / c): diagonally dominant, so its condition number is < 3. */
void sample_mix_outputs(struct sample *s, struct random *r)
{
    size_t c = s->c;
    double *a = must_alloc(c * c * sizeof *a), *b = must_alloc(c * sizeof *b);
    double *y = must_alloc(c * sizeof *y);

    for (size_t i = 0; i < c * c; i++)
        a[i] = (i % (c + 1) == 0 ? 2 : 0) + random_uniform(r) / (double)c;
    random_fill_gaussian(r, c, b);
    for (size_t i = 0; i < s->n; i++) {
        memcpy(y, s->y + i * c, c * sizeof *y);
        for (size_t k = 0; k < c; k++) {
            s->y[i * c + k] = b[k];
            for (size_t l = 0; l < c; l++)
                s->y[i * c + k] += y[l] * a[l * c + k];
        }
    }
    free(a);
    free(b);
    free(y);
}

void sample_fill_population(struct sample *s, struct random *r, size_t n_large, double rest)
{
    random_fill_gaussian(r, s->n * s->p, s->x);
    for (size_t i = 0; i < s->n; i++) {
        double *x = s->x + i * s->p;

        for (size_t j = n_large; j < s->p; j++)
            x[j] *= sqrt(rest);
        memcpy(s->y + i * s->c, x, s->c * sizeof(double));
    }
    sample_mix_outputs(s, r);
}

/* The nearest number with `bits` bits of fraction (the leading one counted) whose last bit is not
 * below 2^smallest. nearbyint rounds to even, as hardware does. */
static double round_to(double value, int bits, int smallest)
{
    int exponent, last;

    if (value == 0)
        return value;
    frexp(value, &exponent);
    last = exponent - bits > smallest ? exponent - bits : smallest;
    return ldexp(nearbyint(ldexp(value, -last)), last);
}

static uint16_t half_bits(double value)
{
    double magnitude = fabs(value);
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    int exponent;

    if (magnitude < 0x1p-14)
        return (uint16_t)(sign | (uint16_t)(magnitude * 0x1p24));
    frexp(magnitude, &exponent);
    return (uint16_t)(sign | (exponent + 14) << 10 |
                      ((uint16_t)ldexp(magnitude, 11 - exponent) & 0x3FF));
}

double encode_value(enum dtype d, double value, void *to)
{
    float single;
    uint32_t bits;
    uint16_t half;

    switch (d) {
    case DTYPE_F64:
        memcpy(to, &value, 8);
        return value;
    case DTYPE_F16:
        value = round_to(value, 11, -24);
        half = half_bits(value);
        memcpy(to, &half, 2);
        return value;
    case DTYPE_BF16:
        single = (float)round_to(value, 8, -133);
        memcpy(&bits, &single, 4);
        half = (uint16_t)(bits >> 16);
        memcpy(to, &half, 2);
        return single;
    default:
        single = (float)value;
        memcpy(to, &single, 4);
        return single;
    }
}

void sample_encode(struct sample *s, enum dtype features, enum dtype outputs)
{
    size_t fs = dtype_size(features), os = dtype_size(outputs);

    free(s->memory);
    s->memory = must_alloc(fs * s->n * s->p + os * s->n * s->c + 2);
    s->features = s->memory + 1;
    s->outputs = s->features + fs * s->n * s->p;
    s->features_dtype = features;
    s->outputs_dtype = outputs;
    for (size_t i = 0; i < s->n * s->p; i++)
        s->x[i] = encode_value(features, s->x[i], s->features + fs * i);
    for (size_t i = 0; i < s->n * s->c; i++)
        s->y[i] = encode_value(outputs, s->y[i], s->outputs + os * i);
}

struct rows sample_rows(const struct sample *s, size_t from, size_t n)
{
    return (struct rows){
        .n = n,
        .features = s->features + from * s->p * dtype_size(s->features_dtype),
        .outputs = s->outputs + from * s->c * dtype_size(s->outputs_dtype),
        .features_dtype = s->features_dtype,
        .outputs_dtype = s->outputs_dtype,
    };
}

static void fold_batch(struct fold *f, struct moments *m, struct rows *batch, double half_life_rows)
{
    for (size_t at = 0; at < batch->n;) {
        size_t n = batch->n - at, most = fold_capacity(f);

        n = n < most ? n : most;
        fold_begin(f, m, half_life_rows);
        fold_add(f, batch, at, n);
        fold_run(f);
        at += n;
    }
}

void sample_fold(const struct sample *s, struct moments *m, size_t from, size_t to, size_t batch,
                 double half_life_rows)
{
    struct fold *f = fold_new(s->p, s->c, 1);

    if (!f)
        abort();
    for (size_t at = from; at < to; at += batch) {
        struct rows rows = sample_rows(s, at, to - at < batch ? to - at : batch);

        fold_batch(f, m, &rows, half_life_rows);
    }
    fold_free(f);
}

struct point sample_measure(const struct sample *s, const struct moments *m)
{
    struct measure_plan plan = {.precision = {s->features_dtype, s->outputs_dtype},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct point point;

    memset(&point, 0, sizeof point);
    if (measure_point(m, &plan, &point, &none) < 0)
        abort();
    return point;
}

struct point sample_point(const struct sample *s, size_t batch)
{
    struct moments m;
    struct point point;

    if (moments_init(&m, s->p, s->c, 0) < 0)
        abort();
    sample_fold(s, &m, 0, s->n, batch, 0);
    point = sample_measure(s, &m);
    moments_release(&m);
    return point;
}

struct reference sample_reference(const struct sample *s, const double *weights)
{
    struct reference out;

    reference_measure(s->n, s->p, s->x, s->c, s->y, weights, span_cutoff(s->outputs_dtype), &out);
    return out;
}

struct reference sample_reference_kept(const struct sample *s, const double *weights)
{
    struct reference out = sample_reference(s, weights);
    double *leverage = must_alloc(s->n * sizeof *leverage);
    double *overfit = must_alloc(s->n * sizeof *overfit), sum = 0;
    long double weighting = reference_rows(s->n, s->p, s->x, s->c, s->y, weights,
                                           span_cutoff(s->outputs_dtype), leverage, overfit);

    for (size_t i = 0; i < s->n; i++)
        sum += overfit[i];
    reference_debias(&out, weighting, sum);
    free(leverage);
    free(overfit);
    return out;
}

static bool same(const double *a, const double *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static bool same_tiles(const struct tiles *a, const struct tiles *b)
{
    for (size_t k = 0; k < a->n_tiles; k++) {
        struct tile s = tiles_at(a, k), t = tiles_at(b, k);

        for (size_t i = 0; i < s.n_rows; i++) {
            size_t at = i * s.n_cols, first = s.row == s.col ? i : 0;

            if (!same(s.values + at + first, t.values + at + first, s.n_cols - first))
                return false;
        }
    }
    return true;
}

bool moments_identical(const struct moments *a, const struct moments *b)
{
    bool equal = a->p == b->p && a->c == b->c && a->n_rows == b->n_rows;

    equal = equal && same(&a->weight, &b->weight, 1) && same(&a->weight_sq, &b->weight_sq, 1);
    equal = equal && same(a->mean_x, b->mean_x, a->p) && same(a->mean_y, b->mean_y, a->c);
    equal = equal && same(a->shift, b->shift, a->p) && same(&a->sum_s2, &b->sum_s2, 1);
    equal = equal && same(a->sum_sx, b->sum_sx, a->p);
    if (!equal || a->weight == 0)
        return equal;
    for (size_t i = 0; equal && i < a->c; i++)
        equal = same(a->yy + i * a->c + i, b->yy + i * a->c + i, a->c - i);
    return equal && same(a->xy, b->xy, a->p * a->c) && same_tiles(&a->xx, &b->xx);
}
