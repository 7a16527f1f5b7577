#include "tests/lib/core/reference_spectrum.h"

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

static real total_weight(const struct reference_rows *r)
{
    real sum = 0;

    for (size_t i = 0; i < r->n; i++)
        sum += weight(r, i);
    return sum;
}

/* sqrt(w / W) (a - mean), n x m: rows whose products are averages. */
static real *scaled(const struct reference_rows *r, size_t m, const double *a, bool uncentred)
{
    real *out = new_reals(r->n * m), *mean = new_reals(m), total = total_weight(r);

    for (size_t i = 0; i < r->n && !uncentred; i++) {
        for (size_t j = 0; j < m; j++)
            mean[j] += weight(r, i) * a[i * m + j] / total;
    }
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < m; j++)
            out[i * m + j] = sqrtl(weight(r, i) / total) * (a[i * m + j] - mean[j]);
    }
    free(mean);
    return out;
}

/* Eigenvalues of the symmetric a (n x n) descending into `l`, vectors into the rows of `v`: cyclic
 * Jacobi. */
static void eigen(size_t n, real *a, real *l, real *v)
{
    for (size_t i = 0; i < n * n; i++)
        v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < 40; sweep++) {
        for (size_t p = 0; p < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                real apq = a[p * n + q], theta, t, c, s;

                if (apq == 0)
                    continue;
                theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
                t = copysignl(1, theta) / (fabsl(theta) + sqrtl(theta * theta + 1));
                c = 1 / sqrtl(t * t + 1);
                s = t * c;
                for (size_t k = 0; k < n; k++) {
                    real x = a[k * n + p], y = a[k * n + q];

                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    real x = a[p * n + k], y = a[q * n + k];

                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                    x = v[p * n + k];
                    y = v[q * n + k];
                    v[p * n + k] = c * x - s * y;
                    v[q * n + k] = s * x + c * y;
                }
            }
        }
    }
    for (size_t i = 0; i < n; i++)
        l[i] = a[i * n + i];
    for (size_t i = 0; i < n; i++) { /* selection sort, vectors along */
        size_t best = i;

        for (size_t j = i + 1; j < n; j++)
            best = l[j] > l[best] ? j : best;
        for (size_t k = 0; k < n && best != i; k++) {
            real x = v[i * n + k];

            v[i * n + k] = v[best * n + k];
            v[best * n + k] = x;
        }
        if (best != i) {
            real x = l[i];

            l[i] = l[best];
            l[best] = x;
        }
    }
}

static real *gram(size_t n, size_t m, const real *a)
{
    real *g = new_reals(m * m);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j++) {
            for (size_t k = 0; k < m; k++)
                g[j * m + k] += a[i * m + j] * a[i * m + k];
        }
    }
    return g;
}

/* Orthonormal basis of the columns of a (n x m), as rows of n, by Gram and Schmidt taken twice;
 * a column of which less than 1e-6 is left lies in the span of those before it. */
static real *basis(size_t n, size_t m, const real *a, size_t *rank)
{
    real *q = new_reals(n * m);

    *rank = 0;
    for (size_t j = 0; j < m; j++) {
        real *v = q + *rank * n, before = 0, after = 0;

        for (size_t i = 0; i < n; i++) {
            v[i] = a[i * m + j];
            before += v[i] * v[i];
        }
        for (size_t l = 0; l < 2 * *rank; l++) {
            const real *b = q + l % *rank * n;
            real dot = 0;

            for (size_t i = 0; i < n; i++)
                dot += v[i] * b[i];
            for (size_t i = 0; i < n; i++)
                v[i] -= dot * b[i];
        }
        for (size_t i = 0; i < n; i++)
            after += v[i] * v[i];
        if (before == 0 || after < 1e-12L * before)
            continue;
        for (size_t i = 0; i < n; i++)
            v[i] /= sqrtl(after);
        (*rank)++;
    }
    return q;
}

/* |Q'e|^2 for an e of n values. */
static real projection(size_t n, size_t rank, const real *q, const real *e)
{
    real sum = 0;

    for (size_t k = 0; k < rank; k++) {
        real dot = 0;

        for (size_t i = 0; i < n; i++)
            dot += q[k * n + i] * e[i];
        sum += dot * dot;
    }
    return sum;
}

void reference_spectrum(const struct reference_rows *r, bool uncentred, real *rho, real *u, real *q,
                        size_t *rank, size_t *rank_targets)
{
    size_t n = r->n, p = r->p;
    real *x = scaled(r, p, r->x, uncentred), *y = scaled(r, r->c, r->y, uncentred);
    real *t = r->targets ? scaled(r, r->k, r->targets, uncentred) : NULL;
    real *s = gram(n, p, x), *v = new_reals(p * p), *e = new_reals(n);
    real *f = basis(n, r->c, y, rank), *w = t ? basis(n, r->k, t, rank_targets) : NULL;

    eigen(p, s, rho, v);
    for (size_t k = 0; k < p; k++) {
        for (size_t i = 0; i < n; i++) {
            e[i] = 0;
            for (size_t j = 0; j < p; j++)
                e[i] += x[i * p + j] * v[k * p + j] / sqrtl(rho[k]);
        }
        u[k] = projection(n, *rank, f, e);
        if (t)
            q[k] = projection(n, *rank_targets, w, e);
    }
    free(x);
    free(y);
    free(t);
    free(s);
    free(v);
    free(e);
    free(f);
    free(w);
}

/* ---- neural collapse ----------------------------------------------------------------------- */

struct means {
    size_t n;     /* classes that occurred */
    size_t *row;  /* k: their place, or n */
    real *mu;     /* n x p */
    real *centre; /* p: mean of them */
};

static struct means class_means(const struct reference_rows *r)
{
    struct means m = {.row = calloc(r->k, sizeof *m.row)};
    real *share = new_reals(r->k);

    for (size_t i = 0; i < r->n; i++)
        share[r->labels[i]] += weight(r, i);
    for (size_t c = 0; c < r->k; c++)
        m.row[c] = share[c] > 0 ? m.n++ : SIZE_MAX;
    m.mu = new_reals(m.n * r->p);
    m.centre = new_reals(r->p);
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < r->p && weight(r, i) > 0; j++)
            m.mu[m.row[r->labels[i]] * r->p + j] +=
                weight(r, i) * r->x[i * r->p + j] / share[r->labels[i]];
    }
    for (size_t c = 0; c < m.n; c++) {
        for (size_t j = 0; j < r->p; j++)
            m.centre[j] += m.mu[c * r->p + j] / (real)m.n;
    }
    free(share);
    return m;
}

/* S_W (p x p): the mean of (x - mu_c)(x - mu_c)' over the rows. */
static real *within(const struct reference_rows *r, const struct means *m)
{
    real *s = new_reals(r->p * r->p), *d = new_reals(r->p), total = total_weight(r);

    for (size_t i = 0; i < r->n; i++) {
        if (weight(r, i) == 0)
            continue;
        for (size_t j = 0; j < r->p; j++)
            d[j] = r->x[i * r->p + j] - m->mu[m->row[r->labels[i]] * r->p + j];
        for (size_t j = 0; j < r->p; j++) {
            for (size_t k = 0; k < r->p; k++)
                s[j * r->p + k] += weight(r, i) * d[j] * d[k] / total;
        }
    }
    free(d);
    return s;
}

static real trace_of_quotient(size_t p, size_t classes, const real *w, const real *centred)
{
    real *b = gram(classes, p, centred), *l = new_reals(p), *v = new_reals(p * p), sum = 0;

    eigen(p, b, l, v);
    for (size_t k = 0; k < p && k < classes - 1; k++) {
        real along = 0;

        for (size_t i = 0; i < p; i++) {
            for (size_t j = 0; j < p; j++)
                along += v[k * p + i] * w[i * p + j] * v[k * p + j];
        }
        sum += along / l[k]; /* S_B is b / classes, and nc1 the trace over classes */
    }
    free(b);
    free(l);
    free(v);
    return sum;
}

static real dot(size_t p, const real *a, const real *b)
{
    real sum = 0;

    for (size_t j = 0; j < p; j++)
        sum += a[j] * b[j];
    return sum;
}

void reference_collapse(const struct reference_rows *r, struct reference_collapse *out)
{
    struct means m = class_means(r);
    size_t p = r->p, n = m.n;
    real *w = within(r, &m), *d = m.mu, tw = 0, tb = 0, mean = 0, variance = 0, angles = 0;

    for (size_t c = 0; c < n; c++) {
        for (size_t j = 0; j < p; j++)
            d[c * p + j] -= m.centre[j];
    }
    for (size_t j = 0; j < p; j++)
        tw += w[j * p + j];
    for (size_t c = 0; c < n; c++) {
        tb += dot(p, d + c * p, d + c * p) / (real)n;
        mean += sqrtl(dot(p, d + c * p, d + c * p)) / (real)n;
    }
    for (size_t c = 0; c < n; c++) {
        variance += powl(sqrtl(dot(p, d + c * p, d + c * p)) - mean, 2) / (real)n;
        for (size_t e = 0; e < n; e++) {
            real norms = sqrtl(dot(p, d + c * p, d + c * p) * dot(p, d + e * p, d + e * p));

            if (e != c)
                angles += fabsl(dot(p, d + c * p, d + e * p) / norms + 1 / (real)(n - 1));
        }
    }
    out->nc1 = trace_of_quotient(p, n, w, d);
    out->nc1_quotient = tw / tb;
    out->nc2_norm_cv = sqrtl(variance) / mean;
    out->nc2_angle = angles / (real)(n * (n - 1));
    free(w);
    free(m.row);
    free(m.mu);
    free(m.centre);
}

real reference_cka(const struct reference_rows *r)
{
    real *x = scaled(r, r->p, r->x, false), *y = scaled(r, r->c, r->y, false);
    real both = 0, xs = 0, ys = 0;

    for (size_t i = 0; i < r->n; i++) {
        for (size_t k = 0; k < r->n; k++) {
            real a = dot(r->p, x + i * r->p, x + k * r->p);
            real b = dot(r->c, y + i * r->c, y + k * r->c);

            both += a * b;
            xs += a * a;
            ys += b * b;
        }
    }
    free(x);
    free(y);
    return both / sqrtl(xs * ys);
}

/* ---- two views ----------------------------------------------------------------------------- */

real reference_cca_mean(const struct reference_rows *r)
{
    size_t rx, ry;
    real *x = scaled(r, r->p, r->x, false), *y = scaled(r, r->c, r->y, false), sum = 0;
    real *qx = basis(r->n, r->p, x, &rx), *qy = basis(r->n, r->c, y, &ry);
    real *k = new_reals(rx * ry), *l = new_reals(ry), *v = new_reals(ry * ry), *kk;

    for (size_t i = 0; i < rx; i++) {
        for (size_t j = 0; j < ry; j++)
            k[i * ry + j] = dot(r->n, qx + i * r->n, qy + j * r->n);
    }
    kk = gram(rx, ry, k);
    eigen(ry, kk, l, v);
    for (size_t j = 0; j < ry; j++)
        sum += sqrtl(fmaxl(l[j], 0));
    free(x);
    free(y);
    free(qx);
    free(qy);
    free(k);
    free(kk);
    free(l);
    free(v);
    return sum / (real)(rx < ry ? rx : ry);
}

real reference_modality_gap(const struct reference_rows *r)
{
    real *x = scaled(r, r->p, r->x, true), *y = scaled(r, r->p, r->y, true), sum = 0;
    real xx = sqrtl(dot(r->n * r->p, x, x)), yy = sqrtl(dot(r->n * r->p, y, y));

    for (size_t j = 0; j < r->p; j++) {
        real d = 0;

        for (size_t i = 0; i < r->n; i++)
            d += sqrtl(weight(r, i) / total_weight(r)) *
                 (x[i * r->p + j] / xx - y[i * r->p + j] / yy);
        sum += d * d;
    }
    free(x);
    free(y);
    return sqrtl(sum);
}

/* Eigenvalues of A^-1/2 B A^-1/2: A = V diag(l) V', and of V'BV / sqrt(l l'). */
static void quotient_values(size_t p, real *a, const real *b, real *out)
{
    real *l = new_reals(p), *v = new_reals(p * p), *c = new_reals(p * p), *u = new_reals(p * p);

    eigen(p, a, l, v);
    for (size_t k = 0; k < p; k++) {
        for (size_t m = 0; m < p; m++) {
            for (size_t i = 0; i < p; i++)
                c[k * p + m] += v[k * p + i] * dot(p, b + i * p, v + m * p) / sqrtl(l[k] * l[m]);
        }
    }
    eigen(p, c, out, u);
    free(l);
    free(v);
    free(c);
    free(u);
}

real reference_lidar(const struct reference_rows *r)
{
    struct means m = class_means(r);
    size_t p = r->p;
    real *w = within(r, &m), *b, *l = new_reals(p), sum = 0, entropy = 0;

    for (size_t i = 0; i < m.n * p; i++)
        m.mu[i] -= m.centre[i % p];
    b = gram(m.n, p, m.mu);
    for (size_t i = 0; i < p; i++)
        w[i * (p + 1)] += 1e-4L;
    quotient_values(p, w, b, l);
    for (size_t k = 0; k < p; k++)
        sum += fmaxl(l[k], 0);
    for (size_t k = 0; k < p; k++) {
        real share = fmaxl(l[k], 0) / sum + 1e-7L;

        entropy -= share * logl(share);
    }
    free(w);
    free(b);
    free(l);
    free(m.row);
    free(m.mu);
    free(m.centre);
    return expl(entropy);
}
