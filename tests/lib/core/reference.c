#include "tests/lib/core/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef long double real;

static real *new_reals(size_t n)
{
    real *v = calloc(n, sizeof *v);

    if (!v)
        abort();
    return v;
}

static real weight(const double *w, size_t i)
{
    return w ? w[i] : 1;
}

void reference_means(size_t n, size_t p, const double *x, const double *w, real *mean)
{
    real total = 0;

    memset(mean, 0, p * sizeof *mean);
    for (size_t i = 0; i < n; i++) {
        total += weight(w, i);
        for (size_t j = 0; j < p; j++)
            mean[j] += weight(w, i) * x[i * p + j];
    }
    for (size_t j = 0; j < p; j++)
        mean[j] /= total;
}

/* Returns sqrt(w) (x - m), n x p (free with free). */
static real *centred(size_t n, size_t p, const double *x, const double *w)
{
    real *mean = new_reals(p), *out = new_reals(n * p);

    reference_means(n, p, x, w, mean);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < p; j++)
            out[i * p + j] = sqrtl(weight(w, i)) * (x[i * p + j] - mean[j]);
    }
    free(mean);
    return out;
}

/* out (p x q) = a'b with a n x p, b n x q. */
static void cross(size_t n, size_t p, const real *a, size_t q, const real *b, real *out)
{
    memset(out, 0, p * q * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < p; j++) {
            for (size_t k = 0; k < q; k++)
                out[j * q + k] += a[i * p + j] * b[i * q + k];
        }
    }
}

void reference_cross(size_t n, size_t p, const double *x, size_t q, const double *y,
                     const double *w, real *out)
{
    real *a = centred(n, p, x, w), *b = centred(n, q, y, w);

    cross(n, p, a, q, b, out);
    free(a);
    free(b);
}

static real sum_squares(size_t n, const real *a)
{
    real sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * a[i];
    return sum;
}

/* ||A'A||_F^2 = ||AA'||_F^2 for an n x p matrix: the smaller of the two. */
static real gram_sum_squares(size_t n, size_t p, const real *a)
{
    real *small, sum = 0;

    if (p <= n) {
        small = new_reals(p * p);
        cross(n, p, a, p, a, small);
        sum = sum_squares(p * p, small);
        free(small);
        return sum;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            real dot = 0;

            for (size_t j = 0; j < p; j++)
                dot += a[i * p + j] * a[k * p + j];
            sum += dot * dot;
        }
    }
    return sum;
}

/* One Jacobi rotation that makes a[p][q] zero; columns p and q of v follow. */
static void rotate(size_t n, real *a, real *v, size_t p, size_t q)
{
    real theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    real t = copysignl(1, theta) / (fabsl(theta) + sqrtl(theta * theta + 1));
    real c = 1 / sqrtl(t * t + 1), s = t * c;

    for (size_t k = 0; k < n; k++) {
        real x = a[k * n + p], y = a[k * n + q];

        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (size_t k = 0; k < n; k++) {
        real x = a[p * n + k], y = a[q * n + k];

        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
    }
    for (size_t k = 0; k < n; k++) {
        real x = v[k * n + p], y = v[k * n + q];

        v[k * n + p] = c * x - s * y;
        v[k * n + q] = s * x + c * y;
    }
}

/* Eigenvalues on the diagonal of `a`, eigenvectors in the columns of `v`, by cyclic Jacobi. */
static void jacobi(size_t n, real *a, real *v)
{
    real all = sum_squares(n * n, a);

    memset(v, 0, n * n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i * n + i] = 1;
    for (int sweep = 0; sweep < 60; sweep++) {
        real off = 0;

        for (size_t p = 0; p < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                off += a[p * n + q] * a[p * n + q];
                if (a[p * n + q] != 0)
                    rotate(n, a, v, p, q);
            }
        }
        if (off <= all * 1e-38L)
            return;
    }
}

/* Makes column `k` of q (n x r) orthogonal to those before it and of length 1; twice is enough
 * (Kahan). */
static void orthonormalise(size_t n, size_t r, real *q, size_t k)
{
    real length = 0;

    for (size_t l = 0; l < 2 * k; l++) {
        real dot = 0;

        for (size_t i = 0; i < n; i++)
            dot += q[i * r + k] * q[i * r + l % k];
        for (size_t i = 0; i < n; i++)
            q[i * r + k] -= dot * q[i * r + l % k];
    }
    for (size_t i = 0; i < n; i++)
        length += q[i * r + k] * q[i * r + k];
    for (size_t i = 0; i < n; i++)
        q[i * r + k] /= sqrtl(length);
}

/* Orthonormal basis of the columns of y (n x c), n x *rank (free with free). */
static real *basis(size_t n, size_t c, const real *y, double cutoff, size_t *rank)
{
    real *g = new_reals(c * c), *v = new_reals(c * c), *q = new_reals(n * c), largest = 0;
    size_t r = 0, k = 0;

    cross(n, c, y, c, y, g);
    jacobi(c, g, v);
    for (size_t j = 0; j < c; j++)
        largest = fmaxl(largest, g[j * c + j]);
    for (size_t j = 0; j < c; j++)
        r += g[j * c + j] > cutoff * largest;
    for (size_t j = 0; j < c; j++) {
        if (!(g[j * c + j] > cutoff * largest))
            continue;
        for (size_t i = 0; i < n; i++) {
            for (size_t l = 0; l < c; l++)
                q[i * r + k] += y[i * c + l] * v[l * c + j];
        }
        orthonormalise(n, r, q, k++);
    }
    free(g);
    free(v);
    *rank = r;
    return q;
}

static real sum_fourth(size_t n, size_t p, const real *x, const double *w)
{
    real sum = 0;

    for (size_t i = 0; i < n; i++) {
        real s = sum_squares(p, x + i * p);

        if (weight(w, i) > 0)
            sum += s * s / weight(w, i); /* the rows hold sqrt(w): s = w |x|^2 */
    }
    return sum;
}

void reference_debias(struct reference *out, real weighting, real overfit)
{
    real n = out->n, r = out->rank, t = out->t, f = out->f;
    real fourth = out->fourth * weighting * out->scale;
    real squares = (f - n / (n - 2) * fourth + t * t / ((n - 1) * (n - 2))) / (n * (n - 3));
    real square = ((n * n - 3 * n + 1) * t * t - n * (n - 1) * fourth + 2 * f) /
                  (n * (n - 1) * (n - 2) * (n - 3));

    out->pr_debiased = n > 3 && squares > 0 ? square / squares : (real)NAN;
    out->u_debiased = 1 - (t - out->q + overfit * out->scale) / n / (t / (n - 1));
    if (n <= r + 1)
        out->u_debiased = (real)NAN;
    out->d_debiased = 1 - out->u_debiased * sqrtl(out->pr_debiased / r);
}

/* Sums over rows of unequal weight are scaled to what n equal rows would give. */
static real row_scale(size_t n, const double *w, double *effective)
{
    real sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += weight(w, i);
        squares += weight(w, i) * weight(w, i);
    }
    *effective = (double)(sum * sum / squares);
    return sum / squares;
}

void reference_measure(size_t n, size_t p, const double *x, size_t c, const double *y,
                       const double *w, double cutoff, struct reference *out)
{
    real *a = centred(n, p, x, w), *b = centred(n, c, y, w), scale, t, f, q;
    real *columns = basis(n, c, b, cutoff, &out->rank), *product = new_reals(c * p);

    scale = row_scale(n, w, &out->n);
    cross(n, out->rank, columns, p, a, product);
    q = sum_squares(out->rank * p, product) * scale;
    t = sum_squares(n * p, a) * scale;
    f = gram_sum_squares(n, p, a) * scale * scale;
    out->d_lr = 1 - q / (sqrtl(out->rank) * sqrtl(f));
    out->u = q / t;
    out->pr = t * t / f;
    out->fourth = sum_fourth(n, p, a, w);
    out->t = t;
    out->q = q;
    out->f = f;
    out->scale = scale;
    reference_debias(out, 1,
                     (t - q) * ((real)out->rank + 1) / (out->n - 1 - (real)out->rank) / scale);
    free(a);
    free(b);
    free(columns);
    free(product);
}

/* out (p) = what the outputs of row i predict of its features, about `mean`: a map fitted to rows
 * of weight w. Returns y_i'(Y'Y)^+ y_i. */
static real predict(size_t n, size_t p, const double *x, size_t c, const double *y, const double *w,
                    double cutoff, size_t i, const real *mean, real *out)
{
    real *a = centred(n, p, x, w), *b = centred(n, c, y, w), *g = new_reals(c * c);
    real *v = new_reals(c * c), *m = new_reals(p), *k = new_reals(c), *map = new_reals(c);
    real largest = 0, leverage = 0;

    reference_means(n, p, x, w, m);
    reference_means(n, c, y, w, k);
    cross(n, c, b, c, b, g);
    jacobi(c, g, v);
    for (size_t j = 0; j < c; j++)
        largest = fmaxl(largest, g[j * c + j]);
    for (size_t j = 0; j < c; j++) {
        real along = 0, value = g[j * c + j];

        if (!(value > cutoff * largest))
            continue;
        for (size_t l = 0; l < c; l++)
            along += v[l * c + j] * (y[i * c + l] - k[l]);
        leverage += along * along / value;
        for (size_t l = 0; l < c; l++)
            map[l] += v[l * c + j] * along / value;
    }
    for (size_t j = 0; j < p; j++)
        out[j] = m[j] - mean[j];
    for (size_t row = 0; row < n; row++) {
        real f = 0;

        for (size_t l = 0; l < c; l++)
            f += b[row * c + l] * map[l];
        for (size_t j = 0; j < p; j++)
            out[j] += f * a[row * p + j];
    }
    free(a);
    free(b);
    free(g);
    free(v);
    free(m);
    free(k);
    free(map);
    return leverage;
}

real reference_rows(size_t n, size_t p, const double *x, size_t c, const double *y, const double *w,
                    double cutoff, double *leverage, double *overfit)
{
    real *mean = new_reals(p), *with = new_reals(p), *without = new_reals(p);
    real once = 0, twice = 0, total = 0, squares = 0;
    double *others = calloc(n, sizeof *others);

    if (!others)
        abort();
    reference_means(n, p, x, w, mean);
    for (size_t i = 0; i < n; i++) {
        real wi = weight(w, i), s = 0, difference = 0;

        for (size_t k = 0; k < n; k++)
            others[k] = k == i ? 0 : (double)weight(w, k);
        leverage[i] = (double)(wi * predict(n, p, x, c, y, w, cutoff, i, mean, with));
        predict(n, p, x, c, y, others, cutoff, i, mean, without);
        for (size_t j = 0; j < p; j++) {
            s += (x[i * p + j] - mean[j]) * (x[i * p + j] - mean[j]);
            difference += (x[i * p + j] - mean[j]) * (with[j] - without[j]);
        }
        overfit[i] = (double)(wi * difference);
        once += wi * s * s;
        twice += wi * wi * s * s;
        total += wi;
        squares += wi * wi;
    }
    free(mean);
    free(with);
    free(without);
    free(others);
    return twice / once * total / squares;
}

/* out (n x n) = aa'. */
static real *kernel(size_t n, size_t p, const real *a)
{
    real *out = new_reals(n * n);

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            for (size_t j = 0; j < p; j++)
                out[i * n + k] += a[i * p + j] * a[k * p + j];
        }
    }
    return out;
}

/* The weight of each eigenvector of YY', whose values are on the diagonal of `g`: the largest of
 * those that are left comes next. */
static void weigh_directions(size_t n, const real *g, const struct reference_part *part, real *s)
{
    real energy = 0, sum = 0, largest = 0;

    for (size_t i = 0; i < n; i++) {
        energy += g[i * (n + 1)];
        largest = fmaxl(largest, g[i * (n + 1)]);
    }
    for (size_t k = 0; k < n; k++) {
        size_t best = n;

        for (size_t i = 0; i < n; i++) {
            if (s[i] == 0 && (best == n || g[i * (n + 1)] > g[best * (n + 1)]))
                best = i;
        }
        if (g[best * (n + 1)] <= 1e-10L * largest)
            return;
        if (part->kind == REFERENCE_TOP && (part->k ? k == part->k : sum >= part->energy * energy))
            return;
        sum += g[best * (n + 1)];
        s[best] = part->kind == REFERENCE_RIDGE
                      ? g[best * (n + 1)] / (g[best * (n + 1)] + part->lambda * largest)
                      : 1;
    }
}

void reference_project(size_t n, size_t p, const double *x, size_t c, const double *y,
                       const struct reference_part *part, struct reference_projection *out)
{
    real *a = centred(n, p, x, NULL), *b = centred(n, c, y, NULL), *t = kernel(n, p, a);
    real *g = kernel(n, c, b), *v = new_reals(n * n), *s = new_reals(n), q = 0, all = 0, norm = 0;

    out->cka = 0;
    for (size_t i = 0; i < n * n; i++)
        out->cka += t[i] * g[i];
    out->cka /= sqrtl(sum_squares(n * n, t) * sum_squares(n * n, g));
    jacobi(n, g, v);
    weigh_directions(n, g, part, s);
    out->trace = 0;
    for (size_t k = 0; k < n; k++) {
        real along = 0;

        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++)
                along += v[i * n + k] * t[i * n + j] * v[j * n + k];
        }
        q += s[k] * along;
        norm += s[k] * s[k];
        out->trace += s[k];
        all += t[k * (n + 1)];
    }
    out->u = q / all;
    out->d_lr = 1 - q / sqrtl(norm * sum_squares(n * n, t));
    free(a);
    free(b);
    free(t);
    free(g);
    free(v);
    free(s);
}
