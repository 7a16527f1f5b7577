#include "tests/lib/core/reference_targets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef long double real;

static real *new_reals(size_t n)
{
    real *v = calloc(n ? n : 1, sizeof *v);

    if (!v)
        abort();
    return v;
}

static real weight(const struct reference_rows *r, size_t i)
{
    return r->weights ? r->weights[i] : 1;
}

/* Weighted means of m columns, without the row `without`. */
static void means(const struct reference_rows *r, size_t m, const double *a, size_t without,
                  real *out)
{
    real total = 0;

    memset(out, 0, m * sizeof *out);
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < m && i != without; j++)
            out[j] += weight(r, i) * a[i * m + j];
        total += i == without ? 0 : weight(r, i);
    }
    for (size_t j = 0; j < m; j++)
        out[j] /= total;
}

/* ---- least squares ------------------------------------------------------------------------- */

/* Solves a x = b for m right sides (p x m), by elimination with pivots; both are overwritten. */
static void eliminate(size_t p, size_t m, real *a, real *b)
{
    for (size_t k = 0; k < p; k++) {
        size_t pivot = k;

        for (size_t i = k; i < p; i++)
            pivot = fabsl(a[i * p + k]) > fabsl(a[pivot * p + k]) ? i : pivot;
        for (size_t j = 0; j < p + m; j++) {
            real *x = j < p ? a + k * p + j : b + k * m + j - p;
            real *y = j < p ? a + pivot * p + j : b + pivot * m + j - p, t = *x;

            *x = *y;
            *y = t;
        }
        for (size_t i = 0; i < p; i++) {
            real f = i == k ? 0 : a[i * p + k] / a[k * p + k];

            for (size_t j = k; j < p && f != 0; j++)
                a[i * p + j] -= f * a[k * p + j];
            for (size_t j = 0; j < m && f != 0; j++)
                b[i * m + j] -= f * b[k * m + j];
        }
    }
    for (size_t i = 0; i < p; i++) {
        for (size_t j = 0; j < m; j++)
            b[i * m + j] /= a[i * p + i];
    }
}

struct fit {
    real *mean_x, *mean_t;
    real *slope; /* p x m */
};

/* Ridge regression of m columns on the features, about the means, without one row. */
static struct fit fit_columns(const struct reference_rows *r, size_t m, const double *t, real ridge,
                              size_t without)
{
    size_t p = r->p;
    struct fit fit = {new_reals(p), new_reals(m), new_reals(p * m)};
    real *a = new_reals(p * p);

    means(r, p, r->x, without, fit.mean_x);
    means(r, m, t, without, fit.mean_t);
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < p && i != without; j++) {
            real x = weight(r, i) * (r->x[i * p + j] - fit.mean_x[j]);

            for (size_t k = 0; k < p; k++)
                a[j * p + k] += x * (r->x[i * p + k] - fit.mean_x[k]);
            for (size_t k = 0; k < m; k++)
                fit.slope[j * m + k] += x * (t[i * m + k] - fit.mean_t[k]);
        }
    }
    for (size_t j = 0; j < p; j++)
        a[j * (p + 1)] += ridge;
    eliminate(p, m, a, fit.slope);
    free(a);
    return fit;
}

static void fit_free(struct fit *fit)
{
    free(fit->mean_x);
    free(fit->mean_t);
    free(fit->slope);
}

static real predict(const struct fit *fit, const struct reference_rows *r, size_t m, size_t i,
                    size_t k)
{
    real y = fit->mean_t[k];

    for (size_t j = 0; j < r->p; j++)
        y += (r->x[i * r->p + j] - fit->mean_x[j]) * fit->slope[j * m + k];
    return y;
}

/* Squared error of one row, and whether the largest prediction is that of its class. */
static real score(const struct fit *fit, const struct reference_rows *r, size_t i, bool *right)
{
    real error = 0, best = -INFINITY;

    for (size_t k = 0; k < r->k; k++) {
        real y = predict(fit, r, r->k, i, k), d = r->targets[i * r->k + k] - y;

        error += d * d;
        if (y > best) {
            best = y;
            *right = r->targets[i * r->k + k] == 1;
        }
    }
    return error;
}

static void leave_out(const struct reference_rows *r, real ridge, real energy,
                      struct reference_targets *out)
{
    real error = 0, hits = 0, total = 0;

    for (size_t i = 0; i < r->n; i++) {
        struct fit fit = fit_columns(r, r->k, r->targets, ridge, i);
        bool right = false;

        error += weight(r, i) * score(&fit, r, i, &right);
        hits += right ? weight(r, i) : 0;
        total += weight(r, i);
        fit_free(&fit);
    }
    error /= total * energy;
    if (error < out->probe_loo_error) {
        out->probe_loo_error = error;
        out->probe_accuracy = hits / total;
    }
}

/* ---- kernels ------------------------------------------------------------------------------- */

/* sqrt(w) (a - mean), n x m. */
static real *centred(const struct reference_rows *r, size_t m, const double *a)
{
    real *out = new_reals(r->n * m), *mean = new_reals(m);

    means(r, m, a, r->n, mean);
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < m; j++)
            out[i * m + j] = sqrtl(weight(r, i)) * (a[i * m + j] - mean[j]);
    }
    free(mean);
    return out;
}

static real dot(size_t p, const real *a, const real *b)
{
    real sum = 0;

    for (size_t j = 0; j < p; j++)
        sum += a[j] * b[j];
    return sum;
}

/* <AA', BB'>_F. */
static real kernels(size_t n, size_t p, const real *a, size_t m, const real *b)
{
    real sum = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++)
            sum += dot(p, a + i * p, a + k * p) * dot(m, b + i * m, b + k * m);
    }
    return sum;
}

/* Orthonormal columns (n x rank) of the space of a's, by Gram and Schmidt taken twice. */
static real *orthonormal(size_t n, size_t m, const real *a, size_t *rank)
{
    real *q = new_reals(n * m);

    *rank = 0;
    for (size_t j = 0; j < m; j++) {
        real before = 0, after = 0, *v = new_reals(n);

        for (size_t i = 0; i < n; i++) {
            v[i] = a[i * m + j];
            before += v[i] * v[i];
        }
        for (size_t l = 0; l < 2 * *rank; l++) {
            size_t c = l % *rank;
            real along = 0;

            for (size_t i = 0; i < n; i++)
                along += v[i] * q[i * m + c];
            for (size_t i = 0; i < n; i++)
                v[i] -= along * q[i * m + c];
        }
        after = dot(n, v, v);
        if (before > 0 && after > 1e-12L * before) {
            for (size_t i = 0; i < n; i++)
                q[i * m + *rank] = v[i] / sqrtl(after);
            (*rank)++;
        }
        free(v);
    }
    return q;
}

static void compare_kernels(const struct reference_rows *r, struct reference_targets *out)
{
    size_t n = r->n, rank;
    real *x = centred(r, r->p, r->x), *t = centred(r, r->k, r->targets);
    real *q = orthonormal(n, r->k, t, &rank), norm = sqrtl(kernels(n, r->p, x, r->p, x));

    out->d_target = 1 - kernels(n, r->p, x, r->k, q) / (sqrtl((real)rank) * norm);
    out->target_alignment =
        kernels(n, r->p, x, r->k, t) / (norm * sqrtl(kernels(n, r->k, t, r->k, t)));
    free(x);
    free(t);
    free(q);
}

/* ---- classes ------------------------------------------------------------------------------- */

struct classes {
    real *mean, *variance, *share; /* k x p, k, k */
};

static struct classes find_classes(const struct reference_rows *r)
{
    struct classes c = {new_reals(r->k * r->p), new_reals(r->k), new_reals(r->k)};

    for (size_t i = 0; i < r->n; i++)
        c.share[r->labels[i]] += weight(r, i);
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < r->p; j++)
            c.mean[r->labels[i] * r->p + j] +=
                weight(r, i) * r->x[i * r->p + j] / c.share[r->labels[i]];
    }
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < r->p; j++) {
            real d = r->x[i * r->p + j] - c.mean[r->labels[i] * r->p + j];

            c.variance[r->labels[i]] += weight(r, i) * d * d / c.share[r->labels[i]];
        }
    }
    return c;
}

/* All classes occur. */
static void compare_means(const struct reference_rows *r, const struct fit *head,
                          struct reference_targets *out)
{
    size_t k = r->k, p = r->p;
    struct classes c = find_classes(r);
    real *g = new_reals(k * k), mm = 0, gg = 0, ww = dot(p * k, head->slope, head->slope), d;

    for (size_t a = 0; a < k; a++) {
        for (size_t b = 0; b < k; b++) {
            for (size_t j = 0; j < p && a != b; j++) {
                d = c.mean[a * p + j] - c.mean[b * p + j];
                g[a * k + b] += d * d;
            }
            if (a != b)
                out->cdnv +=
                    (c.variance[a] + c.variance[b]) / (2 * g[a * k + b]) / (real)(k * (k - 1));
        }
    }
    for (size_t j = 0; j < p; j++) {
        real middle = 0;

        for (size_t a = 0; a < k; a++)
            middle += c.mean[a * p + j] / (real)k;
        for (size_t a = 0; a < k; a++)
            c.mean[a * p + j] -= middle;
    }
    mm = dot(p * k, c.mean, c.mean);
    for (size_t a = 0; a < k; a++) {
        for (size_t b = 0; b < k; b++) {
            g[a * k + b] = dot(p, c.mean + a * p, c.mean + b * p);
            gg += g[a * k + b] * g[a * k + b];
        }
        for (size_t j = 0; j < p; j++) {
            d = head->slope[j * k + a] / sqrtl(ww) - c.mean[a * p + j] / sqrtl(mm);
            out->nc3 += d * d;
        }
    }
    for (size_t a = 0; a < k; a++) {
        for (size_t b = 0; b < k; b++) {
            d = g[a * k + b] / sqrtl(gg) - ((a == b) - 1 / (real)k) / sqrtl((real)k - 1);
            out->etf_error += d * d;
        }
    }
    out->nc3 = sqrtl(out->nc3);
    out->etf_error = sqrtl(out->etf_error);
    free(g);
    free(c.mean);
    free(c.variance);
    free(c.share);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static real square_sum(size_t n, const real *a)
{
    return dot(n, a, a);
}

void reference_targets(const struct reference_rows *r, size_t n_ridges, const double *ridges,
                       struct reference_targets *out)
{
    real *t = centred(r, r->k, r->targets), *x = centred(r, r->p, r->x), total = 0, best = 0;
    real energy, scale = square_sum(r->n * r->p, x) / (real)r->p;
    struct fit fit;

    for (size_t i = 0; i < r->n; i++)
        total += weight(r, i);
    energy = square_sum(r->n * r->k, t) / total;
    *out = (struct reference_targets){.probe_loo_error = INFINITY};
    compare_kernels(r, out);
    for (size_t i = 0; i < n_ridges; i++)
        leave_out(r, ridges[i] * scale, energy, out);
    for (size_t i = 0; i < r->n && r->c == r->k; i++) {
        for (size_t k = 0; k < r->k; k++)
            out->head_error +=
                weight(r, i) / total * powl((real)r->y[i * r->k + k] - r->targets[i * r->k + k], 2);
    }
    if (r->n > r->p + 1) {
        bool right;

        fit = fit_columns(r, r->k, r->targets, 0, r->n);
        for (size_t i = 0; i < r->n; i++)
            best += weight(r, i) / total * score(&fit, r, i, &right);
        fit_free(&fit);
        out->probe_r2 = 1 - best / energy;
        out->head_excess = out->head_error - best;
    }
    if (r->labels && r->c == r->k) {
        fit = fit_columns(r, r->k, r->y, 0, r->n);
        compare_means(r, &fit, out);
        fit_free(&fit);
    }
    free(t);
    free(x);
}
