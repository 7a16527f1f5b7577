/* How the work of a fold and of a point grows with rows n, features p, outputs C and classes K: the
 * exponent of the size, fitted to the processor time of one thread over some sizes (least squares
 * of logarithms). Each turn folds and measures all sizes once, and has an exponent of its own.
 *
 *     bench_growth [--json]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/bench/bench.h"
#include "tests/lib/random.h"

#define TURNS   5
#define N_SIZES 4

struct sizes {
    size_t n, p, c, k;
};

struct window {
    float *x, *y;
    int *labels; /* NULL: no classes */
    struct rows rows;
    struct fold *fold;
    struct moments moments;
};

static void fill(struct window *w, const struct sizes *s)
{
    struct random random;

    random_seed(&random, s->p);
    for (size_t i = 0; i < s->n * s->p; i++)
        w->x[i] = (float)random_uniform(&random);
    for (size_t i = 0; i < s->n * s->c; i++)
        w->y[i] = (float)random_uniform(&random);
    for (size_t i = 0; w->labels && i < s->n; i++)
        w->labels[i] = (int)random_below(&random, s->k);
}

static void open_window(struct window *w, struct sizes s)
{
    *w = (struct window){.x = bench_alloc(s.n * s.p * sizeof *w->x),
                         .y = bench_alloc(s.n * s.c * sizeof *w->y),
                         .labels = s.k > 0 ? bench_alloc(s.n * sizeof *w->labels) : NULL,
                         .fold = fold_new(s.p, s.c, 1)};
    fill(w, &s);
    w->rows = (struct rows){.n = s.n,
                            .features = w->x,
                            .outputs = w->y,
                            .targets = w->labels,
                            .features_dtype = DTYPE_F32,
                            .outputs_dtype = DTYPE_F32,
                            .targets_dtype = DTYPE_I32};
    if (!w->fold || moments_init(&w->moments, s.p, s.c, 0) < 0)
        abort();
    if (s.k > 0)
        w->moments.classes = classes_new(s.p, s.k, s.k, 0);
}

static void close_window(struct window *w)
{
    classes_free(w->moments.classes);
    moments_release(&w->moments);
    fold_free(w->fold);
    free(w->x);
    free(w->y);
    free(w->labels);
}

static double fold_s(struct window *w)
{
    double start;

    moments_reset(&w->moments);
    start = bench_thread_s();
    for (size_t at = 0, n; at < w->rows.n; at += n) {
        n = w->rows.n - at;
        n = n < fold_capacity(w->fold) ? n : fold_capacity(w->fold);
        fold_begin(w->fold, &w->moments, 0);
        fold_add(w->fold, &w->rows, at, n);
        fold_run(w->fold);
    }
    return bench_thread_s() - start;
}

static double point_s(struct window *w)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32, DTYPE_I32},
                                .projector.kind = PROJECTOR_SPAN};
    double start = bench_thread_s();
    struct spectrum *none;
    struct point point = {0};

    if (measure_point(&w->moments, &plan, &point, &none) < 0)
        abort();
    return bench_thread_s() - start;
}

/* The slope of log(seconds) over log(size). */
static double exponent(const double sizes[N_SIZES], const double seconds[N_SIZES])
{
    double x = 0, y = 0, xx = 0, xy = 0;

    for (size_t i = 0; i < N_SIZES; i++) {
        x += log(sizes[i]) / N_SIZES;
        y += log(seconds[i]) / N_SIZES;
    }
    for (size_t i = 0; i < N_SIZES; i++) {
        xx += (log(sizes[i]) - x) * (log(sizes[i]) - x);
        xy += (log(sizes[i]) - x) * (log(seconds[i]) - y);
    }
    return xy / xx;
}

static void report(bool json, const char *work, double exponents[TURNS])
{
    struct bench_figure f = {.work = work, .unit = "exponent"};

    f.value = bench_quantile(exponents, TURNS, 0.5);
    f.low = bench_quantile(exponents, TURNS, 0.25);
    f.high = bench_quantile(exponents, TURNS, 0.75);
    bench_print(json, &f);
}

struct series {
    char letter;              /* what grows */
    const char *fold, *point; /* names of the figures; NULL: not said */
    struct sizes at[N_SIZES];
};

static double size_of(const struct series *series, size_t i)
{
    const struct sizes *s = &series->at[i];

    return (double)(series->letter == 'n'   ? s->n
                    : series->letter == 'p' ? s->p
                    : series->letter == 'C' ? s->c
                                            : s->k);
}

static void run(bool json, const struct series *series)
{
    double sizes[N_SIZES], seconds[N_SIZES], folds[TURNS], points[TURNS], measured[N_SIZES];
    struct window w[N_SIZES];

    for (size_t i = 0; i < N_SIZES; i++) {
        open_window(&w[i], series->at[i]);
        sizes[i] = size_of(series, i);
        fold_s(&w[i]);
    }
    for (size_t t = 0; t < TURNS; t++) {
        for (size_t i = 0; i < N_SIZES; i++) {
            seconds[i] = fold_s(&w[i]);
            measured[i] = series->point ? point_s(&w[i]) : 1;
        }
        folds[t] = exponent(sizes, seconds);
        points[t] = exponent(sizes, measured);
    }
    report(json, series->fold, folds);
    if (series->point)
        report(json, series->point, points);
    for (size_t i = 0; i < N_SIZES; i++)
        close_window(&w[i]);
}

int main(int argc, char **argv)
{
    static const struct series all[] = {
        {'n',
         "growth of a fold with n",
         NULL,
         {{2048, 512, 10, 0}, {4096, 512, 10, 0}, {8192, 512, 10, 0}, {16384, 512, 10, 0}}},
        {'p',
         "growth of a fold with p",
         "growth of a point with p",
         {{2048, 512, 10, 0}, {2048, 1024, 10, 0}, {2048, 2048, 10, 0}, {2048, 4096, 10, 0}}},
        {'C',
         "growth of a fold with C",
         "growth of a point with C",
         {{2048, 1024, 30, 0}, {2048, 1024, 100, 0}, {2048, 1024, 300, 0}, {2048, 1024, 1000, 0}}},
        {'K',
         "growth of a fold with K",
         NULL,
         {{8192, 512, 10, 10},
          {8192, 512, 10, 200},
          {8192, 512, 10, 3000},
          {8192, 512, 10, 50000}}},
    };
    bool json = bench_wants_json(argc, argv);

    blas_start_again(argv);
    linalg_init();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        run(json, &all[i]);
    return 0;
}
