/* What d_lr and d_debiased are worth, by the number of rows and by how long the rows are: the root
 * of the mean squared distance from the population's value, and how often value +- 2 standard
 * errors holds it. Beside them the old correction, which counts all rows as equally long
 * (estimate.h without kept rows). Populations of which D is known, p = 64 and 256, C = 10.
 *
 * d_debiased may be null, and then the draw says nothing of it: "alike" is d_lr of the other draws.
 *
 *     build/tests/bench/bench_estimate [draws, 200] [seed, 0] [population, all] [p, both]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/host/blas.h"
#include "tests/lib/core/population.h"
#include "tests/lib/core/sample.h"

#define C 10

struct score {
    size_t n, n_errors; /* values, and those of them with a standard error */
    double squares;
    size_t covered;
};

static void count(struct score *score, double value, double error, double truth)
{
    if (isnan(value))
        return;
    score->n++;
    score->squares += (value - truth) * (value - truth);
    if (isnan(error))
        return;
    score->n_errors++;
    score->covered += fabs(value - truth) <= 2 * error;
}

static void print_score(const struct score *score)
{
    printf(" %8.4f", sqrt(score->squares / (double)score->n));
    if (score->n_errors > 0)
        printf(" %5.2f", (double)score->covered / (double)score->n_errors);
}

/* The point of some rows, with those that the daemon would keep beside the sums. */
static struct point measure(const struct sample *s, bool kept)
{
    struct moments m;
    struct point point;

    if (moments_init(&m, s->p, s->c, 0) < 0)
        abort();
    m.reservoir = kept ? reservoir_new(s->p, s->c, 0) : NULL;
    sample_fold(s, &m, 0, s->n, 1024, 0);
    point = sample_measure(s, &m);
    reservoir_free(m.reservoir);
    moments_release(&m);
    return point;
}

static void run(const struct population *q, size_t n, size_t n_draws, uint64_t seed)
{
    struct score plain = {0}, alike = {0}, old = {0}, debiased = {0};
    size_t biased = 0, outliers = 0;
    struct random r;

    random_seed(&r, n + q->p + (seed << 32));
    for (size_t i = 0; i < n_draws; i++) {
        struct sample s;
        struct point with, without;

        sample_init(&s, n, q->p, q->c);
        population_draw(q, &r, n, s.x, s.y);
        sample_encode(&s, DTYPE_F32, DTYPE_F32);
        with = measure(&s, true);
        without = measure(&s, false);
        count(&plain, with.value[METRIC_D_LR], with.value[METRIC_D_LR_SE], q->d_lr);
        if (!isnan(with.value[METRIC_D_DEBIASED]))
            count(&alike, with.value[METRIC_D_LR], (double)NAN, q->d_lr);
        count(&debiased, with.value[METRIC_D_DEBIASED], with.value[METRIC_D_DEBIASED_SE], q->d_lr);
        count(&old, without.value[METRIC_D_DEBIASED], (double)NAN, q->d_lr);
        biased += !!(with.flags & FLAG_BIASED);
        outliers += !!(with.flags & FLAG_OUTLIERS);
        sample_release(&s);
    }
    printf("%-15s %-4s %4zu %5zu %6.3f", population_names[q->kind], q->rich ? "rich" : "lazy", q->p,
           n, q->d_lr);
    print_score(&plain);
    print_score(&alike);
    print_score(&old);
    print_score(&debiased);
    printf("  %3zu %%  biased %3zu %%  outliers %3zu %%\n", 100 * (n_draws - debiased.n) / n_draws,
           100 * biased / n_draws, 100 * outliers / n_draws);
    fflush(stdout);
}

static void run_population(enum population_kind kind, size_t p, size_t n_draws, uint64_t seed)
{
    static const size_t rows[] = {64, 256, 1024, 4096};

    for (int rich = 0; rich < 2; rich++) {
        struct population q;

        population_init(&q, kind, rich, p, C);
        for (size_t i = 0; i < 4; i++)
            run(&q, rows[i], n_draws, seed);
        population_release(&q);
    }
}

static size_t argument(int argc, char **argv, int i, size_t otherwise)
{
    return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static const size_t features[] = {64, 256};
    size_t n_draws = argument(argc, argv, 1, 200), seed = argument(argc, argv, 2, 0);
    size_t kind = argument(argc, argv, 3, POPULATION_COUNT), p = argument(argc, argv, 4, 0);

    blas_start_again(argv);
    linalg_init();
    printf("%-20s %4s %5s %6s %8s %5s %8s %8s %8s %5s %6s\n", "rows", "p", "n", "true", "d_lr",
           "cover", "alike", "old", "debiased", "cover", "null");
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < POPULATION_COUNT; k++) {
            if ((kind == POPULATION_COUNT || k == kind) && (p == 0 || p == features[i]))
                run_population((enum population_kind)k, features[i], n_draws, seed);
        }
    }
    return 0;
}
