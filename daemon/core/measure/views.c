#include "daemon/core/measure/views.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/estimate.h"
#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/factor.h"
#include "daemon/core/measure/floor.h"
#include "daemon/core/measure/units.h"

/* As many doubles as a cache line holds. */
#define SIDE_COLUMNS 8

struct fit {
    const struct moments *m;
    struct precision precision;
    double ridge;
    double energy;  /* tr G */
    double *scale;  /* p: D; p of scratch */
    double *along;  /* that scratch */
    double *factor; /* p x p: R */
    double *sides;  /* C x p: D B, then Z, then A, each transposed */
};

static double outputs_energy(const struct moments *m)
{
    double sum = 0;

    for (size_t j = 0; j < m->c; j++)
        sum += m->yy[j * (m->w + 1)];
    return sum;
}

static int fit_init(struct fit *fit, const struct moments *m, struct precision precision)
{
    size_t p = m->p;

    *fit = (struct fit){.m = m,
                        .precision = precision,
                        .ridge = floor_eigenvalue(precision.features, p, (double)p),
                        .energy = outputs_energy(m),
                        .scale = malloc(2 * p * sizeof(double)),
                        .factor = malloc(p * p * sizeof(double)),
                        .sides = malloc(m->c * p * sizeof(double))};
    if (!fit->scale || !fit->factor || !fit->sides)
        return -ENOMEM;
    fit->along = fit->scale + p;
    return 0;
}

static void fit_release(struct fit *fit)
{
    free(fit->scale);
    free(fit->factor);
    free(fit->sides);
}

/* D B, transposed: some of its columns at a time, so that a cache line is written once. */
static void scale_sides(struct fit *fit)
{
    const struct moments *m = fit->m;
    size_t p = m->p, end;

    for (size_t first = 0; first < p; first = end) {
        end = p - first < SIDE_COLUMNS ? p : first + SIDE_COLUMNS;
        for (size_t k = 0; k < m->c; k++) {
            for (size_t i = first; i < end; i++)
                fit->sides[k * p + i] = fit->scale[i] * m->xy[i * m->w + k];
        }
    }
}

/* R and Z. Returns 0 or -EDOM. */
static int solve(struct fit *fit)
{
    const struct moments *m = fit->m;
    size_t p = m->p;

    tiles_diagonal(&m->xx, fit->scale);
    for (size_t i = 0; i < p; i++)
        fit->scale[i] = fit->scale[i] > 0 ? 1 / sqrt(fit->scale[i]) : 0;
    scale_sides(fit);
    if (factor_features(m, fit->scale, fit->ridge, fit->factor) < 0)
        return -EDOM;
    linalg_triangle_solve(true, p, fit->factor, m->c, fit->sides);
    return 0;
}

/* ---- canonical correlations ---------------------------------------------------------------- */

/* The mean of the `count` largest singular values of a (r x p), each at most 1. The others are 0
 * but for rounding, whose root is not small. */
static int average_singular(size_t r, size_t p, const double *a, size_t count, double *out)
{
    double *gram = malloc((r * r + r) * sizeof *gram), *l;
    struct linalg_tridiagonal tridiagonal;
    int rc;

    if (!gram)
        return -ENOMEM;
    l = gram + r * r;
    linalg_product_transposed_f64(r, p, r, a, p, a, p, gram, r);
    rc = linalg_tridiagonal_init(&tridiagonal, r, gram, l);
    linalg_tridiagonal_release(&tridiagonal);
    *out = rc == 0 ? 0 : *out;
    for (size_t k = r - count; k < r && rc == 0; k++)
        *out += sqrt(fmin(fmax(l[k], 0), 1)) / (double)count;
    free(gram);
    return rc;
}

static int correlate(const struct fit *fit, double n, double n_varying, double *mean)
{
    const struct moments *m = fit->m;
    struct span span;
    double *both = NULL;
    int rc = span_init(&span, m, 0, m->c, fit->precision.outputs);

    if (rc == 0 && span.rank > 0 && n >= 2 * (n_varying + (double)span.rank)) {
        both = malloc(span.rank * m->p * sizeof *both);
        rc = both ? 0 : -ENOMEM;
        if (both) {
            linalg_cross_f64(m->c, span.rank, m->p, span.basis, span.rank, fit->sides, m->p, 0,
                             both, m->p);
            rc = average_singular(span.rank, m->p, both, (size_t)fmin(n_varying, (double)span.rank),
                                  mean);
        }
    }
    free(both);
    span_release(&span);
    return rc;
}

/* ---- what no linear head makes ------------------------------------------------------------- */

/* What rounding explains; makes A of Z. */
static double rounding(struct fit *fit)
{
    const struct moments *m = fit->m;
    double x = dtype_epsilon(fit->precision.features), y = dtype_epsilon(fit->precision.outputs);
    double of_sums = 0, of_features = 0, *along = fit->along;

    linalg_triangle_solve(false, m->p, fit->factor, m->c, fit->sides);
    memset(along, 0, m->p * sizeof *along);
    for (size_t k = 0; k < m->c; k++) {
        for (size_t j = 0; j < m->p; j++)
            along[j] += fit->sides[k * m->p + j] * fit->sides[k * m->p + j];
    }
    for (size_t j = 0; j < m->p; j++) {
        double mean = m->mean_x[j] * fit->scale[j];

        of_sums += along[j];
        of_features += along[j] * (1 + m->weight * mean * mean);
    }
    return 2 * fit->ridge * of_sums + x * x / 12 * of_features +
           y * y / 12 * (fit->energy + m->weight * linalg_sum_squares(m->c, m->mean_y));
}

static double nonlinear(struct fit *fit, double n, double n_varying)
{
    double left = fit->energy - linalg_sum_squares(fit->m->c * fit->m->p, fit->sides);

    left *= (n - 1) / (n - 1 - n_varying);
    return fmax(left - rounding(fit), 0) / fit->energy;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static double cost(const struct moments *m)
{
    double c = (double)m->c, p = (double)m->p;

    return factor_cost(m->p, 2 * m->c) + c * c * (2 * p + 10 * c);
}

static double count_rows(const struct moments *m)
{
    return estimate_n_rows(&(struct sums){.weight = m->weight, .weight_sq = m->weight_sq});
}

int views_measure(const struct moments *m, struct precision precision, bool at_any_cost,
                  struct views *out)
{
    double n = count_rows(m), n_varying;
    struct fit fit;
    int rc;

    assert(!m->by_rows && m->c > 0);
    *out = (struct views){(double)NAN, (double)NAN};
    rc = units_count_varying(m, &n_varying);
    if (rc < 0 || n_varying < 1) /* moments that no rows have */
        return rc;
    if (n < 2 * n_varying || n - 1 <= n_varying || (!at_any_cost && cost(m) > VIEWS_CHEAP))
        return 0;
    rc = fit_init(&fit, m, precision);
    if (rc == 0)
        rc = solve(&fit);
    if (rc == 0)
        rc = correlate(&fit, n, n_varying, &out->cca_mean);
    if (rc == 0)
        out->nonlinear = nonlinear(&fit, n, n_varying);
    fit_release(&fit);
    return rc;
}

double views_gap(const struct moments *m, double t)
{
    double x = sqrt(t / m->weight + linalg_sum_squares(m->p, m->mean_x));
    double y = sqrt(outputs_energy(m) / m->weight + linalg_sum_squares(m->c, m->mean_y)), sum = 0;

    if (m->c != m->p || m->from_head)
        return (double)NAN;
    for (size_t i = 0; i < m->p; i++) {
        double d = m->mean_x[i] / x - m->mean_y[i] / y;

        sum += d * d;
    }
    return sqrt(sum);
}
