/* How fast rows enter the moments, as a ratio to what BLAS alone needs for the same X'X, measured
 * side by side in one run: one thread against cblas_ssyrk on one thread, and two workers against
 * two ssyrk calls at once. 1.0 would mean that centring, X'Y, the fourth moment and double
 * accumulation cost nothing. */
#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
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

struct problem {
    size_t n, p, c;
    float *x, *y, *gram;
    struct fold *fold;
    struct moments moments;
};

struct worker {
    struct fold *fold;
    size_t number;
};

static void *run_worker(void *arg)
{
    struct worker *w = arg;

    fold_work(w->fold, w->number);
    return NULL;
}

static void fold_once(struct problem *q, size_t n_workers)
{
    struct rows rows = {.n = q->n,
                        .features = q->x,
                        .outputs = q->y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};
    struct worker second = {q->fold, 1};
    pthread_t thread;

    for (size_t at = 0, n; at < q->n; at += n) {
        n = q->n - at < fold_capacity(q->fold) ? q->n - at : fold_capacity(q->fold);
        fold_begin(q->fold, &q->moments, 0);
        fold_add(q->fold, &rows, at, n);
        while (fold_next_phase(q->fold)) {
            if (n_workers == 2)
                pthread_create(&thread, NULL, run_worker, &second);
            fold_work(q->fold, 0);
            if (n_workers == 2)
                pthread_join(thread, NULL);
        }
    }
}

static void *syrk_once(void *arg)
{
    struct problem *q = arg;

    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)q->p, (int)q->n, 1, q->x, (int)q->p, 0,
                q->gram, (int)q->p);
    return NULL;
}

/* Seconds a pass over the rows; both sides alternate, so that neither has the quieter machine. */
static void measure(struct problem *q, size_t n_workers, double *fold_s, double *syrk_s)
{
    double spent = 0;
    int passes = 0;

    *fold_s = *syrk_s = 0;
    while (spent < SECONDS || passes < 3) {
        double a = now_s(), b, c;

        fold_once(q, n_workers);
        b = now_s();
        syrk_once(q);
        c = now_s();
        *fold_s += b - a;
        *syrk_s += (c - b) / (double)n_workers; /* two cores would halve it */
        spent += c - a;
        passes++;
    }
    *fold_s /= passes;
    *syrk_s /= passes;
}

int main(int argc, char **argv)
{
    static const size_t shapes[][3] = {
        {4096, 128, 97}, {4096, 512, 10}, {4096, 1024, 100}, {2048, 2048, 100}, {2048, 4096, 100}};

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("%6s %6s %5s %8s %10s %12s %10s\n", "n", "p", "C", "workers", "GFLOP/s", "rows/s",
           "vs ssyrk");
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        struct problem q = {.n = shapes[k][0], .p = shapes[k][1], .c = shapes[k][2]};
        struct random rng;

        random_seed(&rng, k + 1);
        q.x = malloc(q.n * q.p * sizeof(float));
        q.y = malloc(q.n * q.c * sizeof(float));
        q.gram = malloc(q.p * q.p * sizeof(float));
        for (size_t i = 0; i < q.n * q.p; i++)
            q.x[i] = (float)random_uniform(&rng);
        for (size_t i = 0; i < q.n * q.c; i++)
            q.y[i] = (float)random_uniform(&rng);
        for (size_t n_workers = 1; n_workers <= 2; n_workers++) {
            double fold_s, syrk_s;

            moments_init(&q.moments, q.p, q.c, 0);
            q.fold = fold_new(q.p, q.c, n_workers);
            measure(&q, n_workers, &fold_s, &syrk_s);
            printf("%6zu %6zu %5zu %8zu %10.1f %12.0f %10.2f\n", q.n, q.p, q.c, n_workers,
                   (double)q.n * (double)q.p * (double)q.p / fold_s * 1e-9, (double)q.n / fold_s,
                   syrk_s / fold_s);
            fold_free(q.fold);
            moments_release(&q.moments);
        }
        free(q.x);
        free(q.y);
        free(q.gram);
    }
    return 0;
}
