/* How fast rows enter the moments, as the daemon folds them (fold_line.h), beside what BLAS alone
 * needs for their products: passes over the same rows that take turns, by one thread, and by two of
 * which BLAS has half of the rows on each. Two peers, for X'Y alone costs 2 C / p of X'X:
 *
 *     of X       cblas_ssyrk of the features, p wide
 *     of [X Y]   cblas_ssyrk of features and outputs, p + C wide: X'X, X'Y and Y'Y in single
 *                precision and nothing else
 *
 *     bench_fold [--json] [p C]      this shape alone */
#include <cblas.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/fold_line.h"
#include "daemon/host/blas.h"
#include "tests/bench/bench.h"
#include "tests/lib/random.h"

/* Of one figure. */
#define SECONDS 0.5

struct problem;

typedef void share(struct problem *, size_t worker);

/* A second thread, which waits for a share of the work. */
struct helper {
    pthread_t thread;
    share *share; /* NULL: it ends */
    sem_t begin, end;
};

struct problem {
    size_t n, p, c, n_workers;
    float *x, *y, *both, *gram;
    struct fold_line *line;
    struct moments moments;
    struct helper helper;
};

static void *run_helper(void *argument)
{
    struct problem *q = argument;

    for (;;) {
        sem_wait(&q->helper.begin);
        if (!q->helper.share)
            return NULL;
        q->helper.share(q, 1);
        sem_post(&q->helper.end);
    }
}

static void give(struct problem *q, share *work)
{
    q->helper.share = work;
    sem_post(&q->helper.begin);
}

static void on_all(struct problem *q, share *work)
{
    if (q->n_workers == 2)
        give(q, work);
    work(q, 0);
    if (q->n_workers == 2)
        sem_wait(&q->helper.end);
}

/* One thread's own seconds do not run while others have its core. */
static double now_s(const struct problem *q)
{
    return q->n_workers == 1 ? bench_thread_s() : bench_wall_s();
}

static void fold_share(struct problem *q, size_t worker)
{
    fold_line_work(q->line, worker);
}

static double fold_rows(void *argument)
{
    struct problem *q = argument;
    struct rows rows = {.n = q->n,
                        .features = q->x,
                        .outputs = q->y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};
    double began = now_s(q);

    for (size_t at = 0, n, most = fold_line_capacity(q->line); at < q->n; at += n) {
        n = q->n - at < most ? q->n - at : most;
        fold_line_begin(q->line, &q->moments, 0);
        fold_line_add(q->line, &rows, at, n);
        on_all(q, fold_share);
    }
    return now_s(q) - began;
}

static void syrk(const struct problem *q, size_t worker, const float *x, size_t p)
{
    size_t n = q->n / q->n_workers;

    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)p, (int)n, 1, x + worker * n * p,
                (int)p, 0, q->gram + worker * p * p, (int)p);
}

static void features_share(struct problem *q, size_t worker)
{
    syrk(q, worker, q->x, q->p);
}

static void both_share(struct problem *q, size_t worker)
{
    syrk(q, worker, q->both, q->p + q->c);
}

static double syrk_features(void *argument)
{
    struct problem *q = argument;
    double began = now_s(q);

    on_all(q, features_share);
    return now_s(q) - began;
}

static double syrk_both(void *argument)
{
    struct problem *q = argument;
    double began = now_s(q);

    on_all(q, both_share);
    return now_s(q) - began;
}

static void measure(bool json, struct problem *q)
{
    static const char *const works[2][2] = {{"fold, of X", "fold, of [X Y]"},
                                            {"fold by two, of X", "fold by two, of [X Y]"}};
    bench_turn *const peers[] = {syrk_features, syrk_both};
    struct bench_shape shape = {.p = q->p, .c = q->c, .n = q->n};
    struct bench_turns turns;

    sem_init(&q->helper.begin, 0, 0);
    sem_init(&q->helper.end, 0, 0);
    pthread_create(&q->helper.thread, NULL, run_helper, q);
    for (int i = 0; i < 2; i++) {
        bench_take_turns(&turns, SECONDS, fold_rows, peers[i], q);
        bench_print_turns(json, works[q->n_workers - 1][i], shape, "us/row", 1e6 / (double)q->n,
                          &turns);
    }
    give(q, NULL);
    pthread_join(q->helper.thread, NULL);
}

static float *random_values(struct random *rng, size_t n)
{
    float *values = bench_alloc(n * sizeof *values);

    for (size_t i = 0; i < n; i++)
        values[i] = (float)random_uniform(rng);
    return values;
}

static void measure_shape(bool json, size_t n, size_t p, size_t c)
{
    struct problem q = {.n = n, .p = p, .c = c};
    struct random rng;

    random_seed(&rng, p + c);
    q.x = random_values(&rng, n * p);
    q.y = random_values(&rng, n * c);
    q.both = random_values(&rng, n * (p + c));
    q.gram = bench_alloc(2 * (p + c) * (p + c) * sizeof(float));
    for (q.n_workers = 1; q.n_workers <= 2; q.n_workers++) {
        moments_init(&q.moments, p, c, 0);
        q.line = fold_line_new(p, c, q.n_workers);
        measure(json, &q);
        fold_line_free(q.line);
        moments_release(&q.moments);
    }
    free(q.x);
    free(q.y);
    free(q.both);
    free(q.gram);
}

int main(int argc, char **argv)
{
    static const size_t shapes[][3] = {
        {4096, 128, 97}, {4096, 512, 10}, {4096, 1024, 100}, {2048, 2048, 100}, {2048, 4096, 100}};
    bool json = bench_wants_json(argc, argv);
    char **shape = argv + 1 + json;

    blas_start_again(argv);
    linalg_init();
    if (argc - json == 3) {
        measure_shape(json, 4096, strtoul(shape[0], NULL, 10), strtoul(shape[1], NULL, 10));
        return 0;
    }
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        measure_shape(json, shapes[k][0], shapes[k][1], shapes[k][2]);
    return 0;
}
