/* What a checkpoint costs on one thread: the point alone, with neural collapse, with the feature
 * decomposition, and with its leading 32 eigenvalues. tests/bench/spectrum_numpy.py does the same
 * work in numpy, from the same kind of moments. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/lib/random.h"

#define SECONDS 0.5

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Rows of c classes that lean towards a direction of their own; more rows than features. */
static void fill(struct moments *m, size_t p, size_t c)
{
    size_t n = p + p / 4 + 64;
    float *x = malloc(n * p * sizeof *x), *y = malloc(n * c * sizeof *y);
    int *labels = malloc(n * sizeof *labels);
    struct fold *f = fold_new(p, c, 1);
    struct rows rows = {.n = n,
                        .features = x,
                        .outputs = y,
                        .targets = labels,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32,
                        .targets_dtype = DTYPE_I32};
    struct random r;

    if (!x || !y || !labels || !f || moments_init(m, p, c, 0) < 0)
        abort();
    m->classes = classes_new(p, c, c, 0);
    random_seed(&r, p + c);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (int)random_below(&r, c);
        for (size_t j = 0; j < p; j++)
            x[i * p + j] = (float)(2 * random_uniform(&r) - 1 + 2 * (j == (size_t)labels[i]));
        for (size_t j = 0; j < c; j++)
            y[i * c + j] = x[i * p + j] + (float)random_uniform(&r);
    }
    for (size_t at = 0; at < n; at += fold_capacity(f)) {
        fold_begin(f, m, 0);
        fold_add(f, &rows, at, n - at < fold_capacity(f) ? n - at : fold_capacity(f));
        fold_run(f);
    }
    fold_free(f);
    free(x);
    free(y);
    free(labels);
}

/* Milliseconds of one measurement: the fastest of as many as fit into SECONDS. */
static double time_ms(const struct moments *m, const struct measure_plan *plan)
{
    double began = now_s(), best = 1e9;

    do {
        double start = now_s();
        struct spectrum *spectrum;
        struct point point;

        if (measure_point(m, plan, &point, &spectrum) < 0)
            abort();
        best = now_s() - start < best ? now_s() - start : best;
        spectrum_free(spectrum);
    } while (now_s() - began < SECONDS);
    return best * 1e3;
}

static void run(size_t p, size_t c)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32, DTYPE_I32},
                                .projector.kind = PROJECTOR_SPAN};
    struct moments m, without;
    double ms[4];

    fill(&m, p, c);
    ms[1] = time_ms(&m, &plan);
    without = m;
    without.classes = NULL;
    ms[0] = time_ms(&without, &plan);
    plan.spectrum.wanted = true;
    ms[2] = time_ms(&m, &plan);
    plan.spectrum.leading = 32;
    ms[3] = time_ms(&m, &plan);
    printf("%6zu %5zu %12.2f %12.2f %12.1f %12.1f\n", p, c, ms[0], ms[1], ms[2], ms[3]);
    classes_free(m.classes);
    moments_release(&m);
}

int main(int argc, char **argv)
{
    static const size_t widths[] = {128, 512, 1024, 2048}, classes[] = {10, 100};

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("milliseconds on one thread, %s\n%6s %5s %12s %12s %12s %12s\n", linalg_description(),
           "p", "C", "point", "+ nc", "+ spectrum", "leading 32");
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 2; k++)
            run(widths[i], classes[k]);
    }
    return 0;
}
