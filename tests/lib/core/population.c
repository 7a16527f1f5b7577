#include "tests/lib/core/population.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "tests/lib/core/sample.h"

const char *const population_names[POPULATION_COUNT] = {
    [POPULATION_GAUSSIAN] = "Gaussian", [POPULATION_RELU] = "ReLU",
    [POPULATION_CLUSTERS] = "clusters", [POPULATION_LOGNORMAL] = "log-normal(.7)",
    [POPULATION_T5] = "elliptical t5",  [POPULATION_T3] = "elliptical t3",
    [POPULATION_OUTLIERS] = "outliers",
};

/* The variance of max(0, z). */
#define RELU_VARIANCE (0.5 - 0.5 / M_PI)

/* S, up to a factor: rows of unequal length have that of Gaussian ones. */
static void fill_covariance(const struct population *q, double *s)
{
    size_t p = q->p, c = q->c;

    memset(s, 0, p * p * sizeof *s);
    for (size_t j = 0; j < p; j++)
        s[j * (p + 1)] = q->sd[j] * q->sd[j] * (q->kind == POPULATION_RELU ? RELU_VARIANCE : 1);
    for (size_t i = 0; q->kind == POPULATION_CLUSTERS && i < p * p; i++) {
        double both = 0, left = 0, right = 0;

        for (size_t k = 0; k < c; k++) {
            both += q->mean[k * p + i / p] * q->mean[k * p + i % p] / (double)c;
            left += q->mean[k * p + i / p] / (double)c;
            right += q->mean[k * p + i % p] / (double)c;
        }
        s[i] += both - left * right;
    }
}

/* 1 - tr(G^-1 B'B) / (sqrt(c) ||S||), B = S W, G = W'B. */
static double richness(const struct population *q)
{
    size_t p = q->p, c = q->c;
    double *s = must_alloc(p * p * sizeof *s), *b = must_alloc(p * c * sizeof *b);
    double *solved = must_alloc(p * c * sizeof *b), *g = must_alloc(c * c * sizeof *g), d;

    fill_covariance(q, s);
    linalg_product_f64(p, p, c, s, p, q->head, c, b, c);
    linalg_cross_f64(p, c, c, q->head, c, b, c, 0, g, c);
    memcpy(solved, b, p * c * sizeof *b);
    if (linalg_cholesky(c, g) < 0)
        abort();
    linalg_triangle_solve(true, c, g, p, solved);
    linalg_triangle_solve(false, c, g, p, solved);
    d = 1 - linalg_dot(p * c, b, solved) / sqrt((double)c * linalg_sum_squares(p * p, s));
    free(s);
    free(b);
    free(solved);
    free(g);
    return d;
}

void population_init(struct population *q, enum population_kind kind, bool rich, size_t p, size_t c)
{
    struct random r;

    random_seed(&r, 11);
    *q = (struct population){.kind = kind,
                             .rich = rich,
                             .p = p,
                             .c = c,
                             .sd = must_alloc(p * sizeof(double)),
                             .mean = must_alloc(c * p * sizeof(double)),
                             .head = must_alloc(p * c * sizeof(double))};
    for (size_t j = 0; j < p; j++) {
        bool weak = rich && j + 1 >= c;

        q->sd[j] = rich ? weak ? .2 : 1 : exp(.3 * random_gaussian(&r));
        for (size_t k = 0; k < c; k++) {
            q->head[j * c + k] = random_gaussian(&r) * (weak ? .02 : 1);
            q->mean[k * p + j] = random_gaussian(&r) * (weak ? 0 : rich ? 2 : .5);
        }
    }
    q->d_lr = richness(q);
}

void population_release(struct population *q)
{
    free(q->sd);
    free(q->mean);
    free(q->head);
}

static double chi(struct random *r, int degrees)
{
    double sum = 0;

    for (int i = 0; i < degrees; i++)
        sum += pow(random_gaussian(r), 2);
    return sqrt(sum / degrees);
}

static double length_of(enum population_kind kind, struct random *r)
{
    switch (kind) {
    case POPULATION_LOGNORMAL:
        return exp(.7 * random_gaussian(r));
    case POPULATION_T5:
        return 1 / chi(r, 5);
    case POPULATION_T3:
        return 1 / chi(r, 3);
    case POPULATION_OUTLIERS:
        return random_uniform(r) < 1. / 200 ? 30 : 1;
    default:
        return 1;
    }
}

void population_draw(const struct population *q, struct random *r, size_t n, double *x, double *y)
{
    for (size_t i = 0; i < n; i++) {
        double length = length_of(q->kind, r);
        size_t class = random_below(r, q->c);

        for (size_t j = 0; j < q->p; j++) {
            double z = length * q->sd[j] * random_gaussian(r);

            if (q->kind == POPULATION_RELU)
                z = z > 0 ? z : 0;
            if (q->kind == POPULATION_CLUSTERS)
                z += q->mean[class * q->p + j];
            x[i * q->p + j] = z;
        }
    }
    linalg_product_f64(n, q->p, q->c, x, q->p, q->head, q->c, y, q->c);
}
