/* What labels cost: rows of p features with K classes beside the same rows without labels, folded
 * on one thread, and the point of each. The last column is what the class sums may take. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/lib/random.h"

/* Each timing is the fastest of so many. */
#define REPEATS 3
#define OUTPUTS 10

struct sizes {
    size_t n, p, k;
};

struct data {
    float *x, *y;
    int *labels;
};

/* Of this thread's work: other processes do not count. */
static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *must(void *pointer)
{
    if (!pointer)
        abort();
    return pointer;
}

static struct data draw(const struct sizes *s)
{
    float *x = must(malloc(s->n * s->p * sizeof *x)), *y = must(malloc(s->n * OUTPUTS * sizeof *y));
    int *labels = must(malloc(s->n * sizeof *labels));
    struct random r;

    random_seed(&r, s->p);
    for (size_t i = 0; i < s->n; i++) {
        labels[i] = (int)random_below(&r, s->k);
        for (size_t j = 0; j < s->p; j++)
            x[i * s->p + j] =
                (float)(random_uniform(&r) + ((size_t)labels[i] % 97 == j % 97 ? 2 : 0));
        for (size_t j = 0; j < OUTPUTS; j++)
            y[i * OUTPUTS + j] = x[i * s->p + j] + (float)random_uniform(&r);
    }
    return (struct data){x, y, labels};
}

static double fold_s(struct fold *f, struct moments *m, struct rows *rows)
{
    double best = 1e9;

    for (size_t k = 0; k < REPEATS; k++) {
        double start = now_s();

        moments_reset(m);
        for (size_t at = 0; at < rows->n; at += fold_capacity(f)) {
            fold_begin(f, m, 0);
            fold_add(f, rows, at,
                     rows->n - at < fold_capacity(f) ? rows->n - at : fold_capacity(f));
            fold_run(f);
        }
        best = fmin(best, now_s() - start);
    }
    return best;
}

static double point_s(const struct moments *m)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32, DTYPE_I32},
                                .projector.kind = PROJECTOR_SPAN};
    double best = 1e9;

    for (size_t k = 0; k < REPEATS; k++) {
        double start = now_s();
        struct spectrum *none;
        struct point point;

        if (measure_point(m, &plan, &point, &none) < 0)
            abort();
        best = fmin(best, now_s() - start);
    }
    return best;
}

static void run(const struct sizes *s)
{
    struct fold *f = must(fold_new(s->p, OUTPUTS, 1));
    struct data data = draw(s);
    struct rows rows = {.n = s->n,
                        .features = data.x,
                        .outputs = data.y,
                        .targets = data.labels,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32,
                        .targets_dtype = DTYPE_I32};
    struct moments m;
    double without, with, plain;

    if (moments_init(&m, s->p, OUTPUTS, 0) < 0)
        abort();
    m.reservoir = must(reservoir_new(s->p, OUTPUTS, 0));
    without = fold_s(f, &m, &rows);
    plain = point_s(&m);
    m.classes = must(classes_new(s->p, s->k, s->k, reservoir_rows_max(s->p, OUTPUTS)));
    with = fold_s(f, &m, &rows);
    printf("%6zu %6zu %6zu %10.3f %10.3f %6.2f %10.1f %10.1f %8.0f\n", s->n, s->p, s->k, without,
           with, with / without, plain * 1e3, point_s(&m) * 1e3,
           classes_size_bytes(s->p, s->k, 0) / 0x1p20);
    fflush(stdout);
    classes_free(m.classes);
    reservoir_free(m.reservoir);
    moments_release(&m);
    fold_free(f);
    free(data.x);
    free(data.y);
    free(data.labels);
}

int main(int argc, char **argv)
{
    static const size_t classes[] = {10, 100, 1000, 10000, 50000};

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("one thread, %s\n%6s %6s %6s %10s %10s %6s %10s %10s %8s\n", linalg_description(), "n",
           "p", "K", "rows s", "+ labels", "ratio", "point ms", "+ labels", "MiB");
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        run(&(struct sizes){20000, 32, classes[i]});
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        run(&(struct sizes){4096, 4096, classes[i]});
    return 0;
}
