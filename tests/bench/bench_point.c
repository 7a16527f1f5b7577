/* What a point costs on one thread when its rows are folded: without its error bars, with them, and
 * with the decomposition. The peer of a point is the plain computation from the rows (BLAS's
 * products in single precision, then D_LR), that of the decomposition LAPACK's dsyevd of the same
 * matrix with all vectors. Rows are white noise, which is the hardest input of the largest
 * eigenvalue. Both sides take turns; a figure is the median, low and high its quartiles.
 *
 *     bench_point [--json] [p [C [n]]]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/lib/random.h"

#define SECONDS   1.5
#define MAX_TURNS 400

struct window {
    size_t n, p, c;
    float *x, *y;
    struct moments moments;
};

struct turns {
    size_t n;
    double ours[MAX_TURNS], peer[MAX_TURNS];
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fold(struct window *w)
{
    struct fold *f = fold_new(w->p, w->c, 1);
    struct rows rows = {.n = w->n,
                        .features = w->x,
                        .outputs = w->y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};

    for (size_t at = 0, n; at < w->n; at += n) {
        n = w->n - at < fold_capacity(f) ? w->n - at : fold_capacity(f);
        fold_begin(f, &w->moments, 0);
        fold_add(f, &rows, at, n);
        fold_run(f);
    }
    fold_free(f);
}

/* Outputs are noisy copies of the first features. */
static void draw(struct window *w)
{
    struct random random;

    random_seed(&random, w->p + w->c);
    w->x = malloc(w->n * w->p * sizeof(float));
    w->y = malloc(w->n * w->c * sizeof(float));
    if (!w->x || !w->y || moments_init(&w->moments, w->p, w->c, 0) < 0)
        abort();
    for (size_t i = 0; i < w->n * w->p; i++)
        w->x[i] = (float)random_uniform(&random);
    for (size_t i = 0; i < w->n * w->c; i++)
        w->y[i] = w->x[i / w->c * w->p + i % w->c % w->p] + (float)random_uniform(&random);
    w->moments.reservoir = reservoir_new(w->p, w->c, 0);
    fold(w);
}

static void release(struct window *w)
{
    free(w->x);
    free(w->y);
    reservoir_free(w->moments.reservoir);
    moments_release(&w->moments);
}

static double measure_s(const struct moments *m, bool decomposed)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32},
                                .projector.kind = PROJECTOR_AUTO,
                                .spectrum.wanted = decomposed};
    struct spectrum *spectrum;
    struct point point = {0};
    double start = now_s();

    if (measure_point(m, &plan, &point, &spectrum) < 0)
        abort();
    start = now_s() - start;
    spectrum_free(spectrum);
    return start;
}

/* X'X, X'Y and Y'Y of the rows as they are, and what a point needs of them. */
static double recompute_s(const struct window *w)
{
    size_t p = w->p, c = w->c;
    float *xx = malloc(p * p * sizeof *xx), *xy = malloc(p * c * sizeof *xy);
    float *yy = malloc(c * c * sizeof *yy);
    double *g = malloc((c * c + c) * sizeof *g), start = now_s(), sum = 0;

    if (!xx || !xy || !yy || !g)
        abort();
    linalg_gram_f32(w->n, p, w->x, p, xx, p);
    linalg_cross_f32(w->n, p, c, w->x, p, w->y, c, xy, c);
    linalg_gram_f32(w->n, c, w->y, c, yy, c);
    for (size_t i = 0; i < c * c; i++)
        g[i] = (double)yy[i];
    if (linalg_eigh(c, g, g + c * c) < 0)
        abort();
    for (size_t i = 0; i < p; i++) {
        for (size_t j = i; j < p; j++)
            sum += (double)xx[i * p + j] * (double)xx[i * p + j];
    }
    start = sum > 0 ? now_s() - start : 0;
    free(xx);
    free(xy);
    free(yy);
    free(g);
    return start;
}

static double dsyevd_s(const struct moments *m)
{
    size_t p = m->p;
    double *a = malloc((p * p + p) * sizeof *a), start;

    if (!a)
        abort();
    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++)
            memcpy(a + (t.row + i) * p + t.col, t.values + i * t.n_cols, t.n_cols * sizeof *a);
    }
    start = now_s();
    if (linalg_eigh(p, a, a + p * p) < 0)
        abort();
    start = now_s() - start;
    free(a);
    return start;
}

enum work {
    WORK_PLAIN,
    WORK_ERRORS,
    WORK_DECOMPOSED,
    N_WORKS,
};

static const char *const names[N_WORKS] = {"point without errors", "point", "point and spectrum"};

static void take_turns(struct window *w, enum work work, struct turns *turns)
{
    struct moments plain = w->moments;
    const struct moments *m = work == WORK_PLAIN ? &plain : &w->moments;
    double began = now_s();

    plain.reservoir = NULL;
    turns->n = 0;
    do {
        turns->ours[turns->n] = measure_s(m, work == WORK_DECOMPOSED);
        turns->peer[turns->n++] = work == WORK_DECOMPOSED ? dsyevd_s(m) : recompute_s(w);
    } while (turns->n < MAX_TURNS && (turns->n < 3 || now_s() - began < SECONDS));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const struct window *w, enum work work, struct turns *turns, bool json)
{
    size_t n = turns->n;
    double ratio[MAX_TURNS], *ours = turns->ours, *peer = turns->peer;

    for (size_t i = 0; i < n; i++)
        ratio[i] = peer[i] / ours[i];
    qsort(ours, n, sizeof *ours, compare);
    qsort(peer, n, sizeof *peer, compare);
    qsort(ratio, n, sizeof *ratio, compare);
    printf(json ? "{\"work\": \"%s\", \"p\": %zu, \"c\": %zu, \"n\": %zu, \"unit\": \"ms\", "
                  "\"value\": %.4f, \"peer\": %.4f, \"ratio\": %.3f, \"low\": %.3f, "
                  "\"high\": %.3f}\n"
                : "%-22s %6zu %5zu %6zu %10.3f %10.3f %8.2f  (%.2f to %.2f)\n",
           names[work], w->p, w->c, w->n, ours[n / 2] * 1e3, peer[n / 2] * 1e3, ratio[n / 2],
           ratio[n / 4], ratio[n * 3 / 4]);
    fflush(stdout);
}

static void run(size_t p, size_t c, size_t n, bool json)
{
    static struct turns turns;
    struct window w = {.n = n, .p = p, .c = c};

    draw(&w);
    for (enum work work = 0; work < N_WORKS; work++) {
        take_turns(&w, work, &turns);
        print(&w, work, &turns, json);
    }
    release(&w);
}

int main(int argc, char **argv)
{
    static const size_t shapes[][3] = {{256, 10, 4096}, {1024, 100, 8192}, {2048, 100, 8192}};
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char **given = argv + 1 + json;
    int n_given = argc - 1 - json;

    blas_start_again(argv);
    linalg_init();
    if (!json)
        printf("milliseconds on one thread, %s\n%-22s %6s %5s %6s %10s %10s %8s\n",
               linalg_kernels(), "", "p", "C", "n", "ours", "peer", "ratio");
    for (size_t k = 0; n_given == 0 && k < sizeof shapes / sizeof shapes[0]; k++)
        run(shapes[k][0], shapes[k][1], shapes[k][2], json);
    if (n_given > 0)
        run(strtoul(given[0], NULL, 10), n_given > 1 ? strtoul(given[1], NULL, 10) : 10,
            n_given > 2 ? strtoul(given[2], NULL, 10) : 4096, json);
    return 0;
}
