/* What error bars cost, as a share of what it cost to fold the window's rows: both on one thread,
 * measured in turns. They leave out 512 rows at most, so the share falls with the rows of the
 * window: 512 / n and what leaving out costs besides products with X'X. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/lib/random.h"

#define SECONDS 1.0

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct window {
    size_t n, p, c;
    float *x, *y;
    struct fold *fold;
    struct moments moments;
    struct reservoir *reservoir;
};

static void draw(struct window *w, uint64_t seed)
{
    struct random rng;

    random_seed(&rng, seed);
    w->x = malloc(w->n * w->p * sizeof(float));
    w->y = malloc(w->n * w->c * sizeof(float));
    for (size_t i = 0; i < w->n * w->p; i++)
        w->x[i] = (float)random_uniform(&rng);
    for (size_t i = 0; i < w->n * w->c; i++)
        w->y[i] = (float)random_uniform(&rng);
    w->fold = fold_new(w->p, w->c, 1);
    moments_init(&w->moments, w->p, w->c, 0);
    w->reservoir = reservoir_new(w->p, w->c, 0);
}

static void release(struct window *w)
{
    free(w->x);
    free(w->y);
    fold_free(w->fold);
    moments_release(&w->moments);
    reservoir_free(w->reservoir);
}

static double fold_s(struct window *w, struct reservoir *reservoir)
{
    struct rows rows = {.n = w->n,
                        .features = w->x,
                        .outputs = w->y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};
    double start = now_s();

    w->moments.reservoir = reservoir;
    moments_reset(&w->moments);
    for (size_t at = 0, n; at < w->n; at += n) {
        n = w->n - at < fold_capacity(w->fold) ? w->n - at : fold_capacity(w->fold);
        fold_begin(w->fold, &w->moments, 0);
        fold_add(w->fold, &rows, at, n);
        fold_run(w->fold);
    }
    return now_s() - start;
}

static double measure_s(struct window *w, struct reservoir *reservoir)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct point point = {0};
    double start = now_s();

    w->moments.reservoir = reservoir;
    measure_point(&w->moments, &plan, &point, &none);
    return now_s() - start;
}

struct spent {
    double fold, keep, measure, errors;
};

static struct spent spend(struct window *w)
{
    struct spent sum = {0};
    double start = now_s();
    int passes = 0;

    while (passes < 3 || now_s() - start < SECONDS) {
        double plain = fold_s(w, NULL);

        sum.fold += plain;
        sum.keep += fold_s(w, w->reservoir) - plain;
        plain = measure_s(w, NULL);
        sum.measure += plain;
        sum.errors += measure_s(w, w->reservoir) - plain;
        passes++;
    }
    return (struct spent){sum.fold / passes, sum.keep / passes, sum.measure / passes,
                          sum.errors / passes};
}

int main(int argc, char **argv)
{
    static const size_t shapes[][3] = {{1024, 128, 97},    {16384, 128, 97},  {1024, 1024, 100},
                                       {16384, 1024, 100}, {1024, 4096, 100}, {8192, 4096, 100}};

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("%6s %6s %5s %9s %9s %10s %10s %12s\n", "n", "p", "C", "fold ms", "keep ms",
           "measure ms", "errors ms", "of the fold");
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        struct window w = {.n = shapes[k][0], .p = shapes[k][1], .c = shapes[k][2]};
        struct spent s;

        draw(&w, k + 1);
        s = spend(&w);
        printf("%6zu %6zu %5zu %9.1f %9.1f %10.1f %10.1f %12.2f\n", w.n, w.p, w.c, s.fold * 1e3,
               s.keep * 1e3, s.measure * 1e3, s.errors * 1e3, (s.keep + s.errors) / s.fold);
        release(&w);
    }
    return 0;
}
