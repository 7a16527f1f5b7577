/* How often value +- 2 standard errors holds what it should, by the order in which rows come: d_lr
 * its own mean at this n, d_debiased the population's value; and how often `dependent_rows` is set.
 * Ten classes of unequal spread in p = 64, outputs that are ten of the features. The rows are
 * independent, or sorted by class within batches, or sequences of tokens that share a part. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/host/blas.h"
#include "tests/lib/core/sample.h"

#define P       64
#define C       10
#define N_DRAWS 200

enum order {
    ORDER_NONE,      /* independent */
    ORDER_SORTED,    /* by class within batches */
    ORDER_SEQUENCES, /* the class and a share of the rest are a sequence's */
    ORDER_DECAYS,    /* each row is .8 of the one before */
};

struct regime {
    const char *name;
    enum order order;
    size_t length; /* of a batch or of a sequence */
    double shared; /* of the variance, within a sequence */
};

static const struct regime regimes[] = {
    {"independent", ORDER_NONE, 1, 0},
    {"sorted in batches of 128", ORDER_SORTED, 128, 0},
    {"sorted in batches of 512", ORDER_SORTED, 512, 0},
    {"sorted in batches of 1024", ORDER_SORTED, 1024, 0},
    {"sorted in batches of 4096", ORDER_SORTED, 4096, 0},
    {"sequences of 4, .9 shared", ORDER_SEQUENCES, 4, .9},
    {"sequences of 16, .9 shared", ORDER_SEQUENCES, 16, .9},
    {"sequences of 128, .9 shared", ORDER_SEQUENCES, 128, .9},
    {"sequences of 128, .5 shared", ORDER_SEQUENCES, 128, .5},
    {"sequences of 128, .2 shared", ORDER_SEQUENCES, 128, .2},
    {"each .8 of the one before", ORDER_DECAYS, 0, 0},
};

/* Class k has its mean at 1 + k / 2 on axis k. */
static double class_mean(size_t k)
{
    return 1 + (double)k / 2;
}

/* Rows about their class, whose other variance is 1. */
static double truth(void)
{
    double trace = 0, squares = P - C;

    for (size_t i = 0; i < C; i++) {
        trace += 1 + class_mean(i) * class_mean(i) * (1. / C - 1. / (C * C));
        for (size_t j = 0; j < C; j++) {
            double s = -class_mean(i) * class_mean(j) / (C * C);

            s += i == j ? 1 + class_mean(i) * class_mean(i) / C : 0;
            squares += s * s;
        }
    }
    return 1 - trace / sqrt(C * squares);
}

static int compare(const void *a, const void *b)
{
    const size_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The class of each row. */
static void draw_classes(const struct regime *regime, struct random *r, size_t n, size_t *classes)
{
    for (size_t i = 0; i < n; i++)
        classes[i] = random_below(r, C);
    for (size_t at = 0; regime->order == ORDER_SORTED && at < n; at += regime->length)
        qsort(classes + at, n - at < regime->length ? n - at : regime->length, sizeof *classes,
              compare);
}

static void draw(const struct regime *regime, struct random *r, struct sample *s)
{
    size_t *classes = must_alloc(s->n * sizeof *classes);
    double common[P] = {0};
    bool sequences = regime->order == ORDER_SEQUENCES;

    draw_classes(regime, r, s->n, classes);
    for (size_t i = 0; i < s->n; i++) {
        double *x = s->x + i * P;
        bool begins = sequences && i % regime->length == 0;

        if (begins)
            random_fill_gaussian(r, P, common);
        if (sequences && !begins)
            classes[i] = classes[i - 1];
        for (size_t j = 0; j < P; j++) {
            if (regime->order == ORDER_DECAYS)
                x[j] = common[j] = (i ? .8 * common[j] : 0) + (i ? .6 : 1) * random_gaussian(r);
            else
                x[j] = sqrt(regime->shared) * common[j] +
                       sqrt(1 - regime->shared) * random_gaussian(r);
        }
        if (regime->order != ORDER_DECAYS)
            x[classes[i]] += class_mean(classes[i]);
        memcpy(s->y + i * C, x, C * sizeof *x);
    }
    free(classes);
}

static struct point measure(const struct sample *s)
{
    struct moments m;
    struct point out;

    moments_init(&m, P, C, 0);
    m.reservoir = reservoir_new(P, C, 0);
    sample_fold(s, &m, 0, s->n, 512, 0);
    out = sample_measure(s, &m);
    reservoir_free(m.reservoir);
    moments_release(&m);
    return out;
}

struct draws {
    double value[N_DRAWS], error[N_DRAWS];
};

static double mean_of(const double *values)
{
    double sum = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        sum += values[i] / N_DRAWS;
    return sum;
}

static double deviation_of(const double *values)
{
    double mean = mean_of(values), sum = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        sum += (values[i] - mean) * (values[i] - mean);
    return sqrt(sum / (N_DRAWS - 1));
}

static double coverage(const struct draws *d, double truth_)
{
    size_t inside = 0;

    for (size_t i = 0; i < N_DRAWS; i++)
        inside += fabs(d->value[i] - truth_) <= 2 * d->error[i];
    return (double)inside / N_DRAWS;
}

static void run(const struct regime *regime, size_t n)
{
    struct draws plain, debiased;
    struct random r;
    size_t n_flagged = 0;
    double true_value = regime->order == ORDER_DECAYS ? 1 - sqrt((double)C / P) : truth();

    random_seed(&r, n + regime->length);
    for (size_t i = 0; i < N_DRAWS; i++) {
        struct sample s;
        struct point point;

        sample_init(&s, n, P, C);
        draw(regime, &r, &s);
        sample_encode(&s, DTYPE_F32, DTYPE_F32);
        point = measure(&s);
        plain.value[i] = point.value[METRIC_D_LR];
        plain.error[i] = point.value[METRIC_D_LR_SE];
        debiased.value[i] = point.value[METRIC_D_DEBIASED];
        debiased.error[i] = point.value[METRIC_D_DEBIASED_SE];
        n_flagged += (point.flags & FLAG_DEPENDENT_ROWS) != 0;
        sample_release(&s);
    }
    printf("%-28s %6zu %8.3f %8.2f %10.3f %8.2f %8.3f\n", regime->name, n,
           coverage(&plain, mean_of(plain.value)), mean_of(plain.error) / deviation_of(plain.value),
           coverage(&debiased, true_value), mean_of(debiased.error) / deviation_of(debiased.value),
           (double)n_flagged / N_DRAWS);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const size_t rows[] = {1024, 4096, 32768};

    (void)argc;
    blas_start_again(argv);
    linalg_init();
    printf("%-28s %6s %8s %8s %10s %8s %8s\n", "rows", "n", "d_lr", "se/sd", "d_debiased", "se/sd",
           "flagged");
    for (size_t i = 0; i < sizeof regimes / sizeof regimes[0]; i++) {
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
            run(&regimes[i], rows[k]);
    }
    return 0;
}
