/* A language model's head in full size: p = 4096 features, C = 50,257 outputs, measured from the
 * head's weights. Seconds are those of one thread's processor time; `peak` is the most memory that
 * the process held so far. What a trainer does once a checkpoint, the triangle of its weights,
 * comes first; then what the daemon does. */
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/core/moments/head.h"
#include "daemon/host/blas.h"
#include "tests/lib/random.h"

#define P          4096
#define C          50257
#define N          16384
#define BLOCK_ROWS 1024
/* Slices of the size that clients send. */
#define SLICE_BYTES (4u << 20)

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void report(const char *what, double began)
{
    struct rusage use;
    double seconds = now_s() - began;

    getrusage(RUSAGE_SELF, &use);
    printf("%-44s %8.2f s %8.0f MiB peak\n", what, seconds, (double)use.ru_maxrss / 1024);
    fflush(stdout);
}

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* The triangle R with R'R = W'W for weights that are independent and uniform, block by block: the
 * Cholesky factor of W'W, which is as good as the QR decomposition for weights so well conditioned.
 * Packed to single precision, as it travels. */
static float *make_triangle(void)
{
    double *g = must(calloc((size_t)P * P, sizeof *g));
    double *w = must(malloc(sizeof *w * BLOCK_ROWS * P));
    float *packed = must(malloc(sizeof *packed * P * (P + 1) / 2)), *to = packed;
    struct random r;

    random_seed(&r, 1);
    for (size_t at = 0; at < C; at += BLOCK_ROWS) {
        size_t n = C - at < BLOCK_ROWS ? C - at : BLOCK_ROWS;

        for (size_t i = 0; i < n * P; i++)
            w[i] = random_uniform(&r) - 0.5;
        linalg_gram_f64(n, P, w, P, 1, g, P);
    }
    if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'U', P, g, P) != 0)
        abort();
    for (size_t i = 0; i < P; i++) {
        for (size_t j = i; j < P; j++)
            *to++ = (float)g[i * P + j];
    }
    free(g);
    free(w);
    return packed;
}

/* Rows whose variances fall as 1/j^2, about a mean: 99 % of the energy lies in some 60 directions.
 * One block at a time, as they come off the wire. */
static void fold_rows(struct moments *m)
{
    float *x = must(malloc(sizeof *x * BLOCK_ROWS * P));
    struct fold *f = must(fold_new(P, 0, 1));
    double folding = 0;
    struct random r;

    random_seed(&r, 2);
    for (size_t at = 0; at < N; at += BLOCK_ROWS) {
        struct rows rows = {.n = BLOCK_ROWS, .features = x, .features_dtype = DTYPE_F32};
        double began;

        for (size_t i = 0; i < (size_t)BLOCK_ROWS * P; i++)
            x[i] = (float)(1 + (random_uniform(&r) - 0.5) / (double)(1 + i % P));
        began = now_s();
        fold_begin(f, m, 0);
        fold_add(f, &rows, 0, BLOCK_ROWS);
        fold_run(f);
        folding += now_s() - began;
    }
    report("fold of 1,024 rows, the mean of 16", now_s() - folding / (N / BLOCK_ROWS));
    fold_free(f);
    free(x);
}

/* Slices as a client makes them; returns how many. */
static size_t take_head(struct head *h, const float *packed)
{
    size_t n_slices = 0;
    struct err why;

    for (size_t row = 0; row < P; n_slices++) {
        struct head_slice s = {
            .first = row, .dtype = DTYPE_F32, .weights = DTYPE_F32, .values = packed};
        size_t n_values = 0;

        while (row < P && (n_values + P - row) * sizeof *packed <= SLICE_BYTES) {
            n_values += P - row++;
            s.n++;
        }
        packed += n_values;
        if (head_take(h, &s, &why) < 0)
            abort();
    }
    return n_slices;
}

static void measure(const struct moments *m, const struct head *h, struct projector q,
                    const char *name)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32}, .projector = q, .head = h};
    struct spectrum *none;
    struct point point;
    double began = now_s();
    char what[80];

    if (measure_point(m, &plan, &point, &none) < 0)
        abort();
    snprintf(what, sizeof what, "%s: rank %u, d_lr %.4f, cka %.4f", name, point.rank,
             point.value[METRIC_D_LR], point.value[METRIC_CKA_LINEAR]);
    report(what, began);
}

int main(int argc, char **argv)
{
    struct head *h;
    struct moments m;
    float *packed;
    double began = now_s();

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("p = %d, C = %d, %d rows, %s\n", P, C, N, linalg_description());
    packed = make_triangle();
    report("triangle of the weights, in double", began);
    if (moments_init(&m, P, 0, 0) < 0)
        abort();
    m.reservoir = must(reservoir_new(P, 0, 0));
    fold_rows(&m);
    h = must(head_new(P, C));
    began = now_s();
    printf("%zu slices of the head\n", take_head(h, packed));
    report("head taken", began);
    free(packed);
    measure(&m, h, (struct projector){.kind = PROJECTOR_TOP, .k = 32}, "top 32");
    measure(&m, h, (struct projector){.kind = PROJECTOR_TOP, .energy = PROJECTOR_ENERGY},
            "top, 99 % of the energy");
    measure(&m, h, (struct projector){.kind = PROJECTOR_RIDGE, .lambda = PROJECTOR_LAMBDA},
            "ridge");
    printf("counted for the layer: %.0f MiB\n",
           (moments_size_bytes(P, 0) + reservoir_size_bytes(P, 0) + fold_size_bytes(P, 0, 2) +
            head_size_bytes(P, 0)) /
               0x1p20);
    head_free(h);
    reservoir_free(m.reservoir);
    moments_release(&m);
    return 0;
}
