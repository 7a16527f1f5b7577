#include "tests/lib/core/reference_units.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/lib/core/reference.h"

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

static bool is_dead(size_t n, size_t p, const double *x, size_t j)
{
    for (size_t i = 1; i < n; i++) {
        if (x[i * p + j] != x[j])
            return false;
    }
    return true;
}

static size_t count_dormant(size_t n, size_t p, const double *x, const double *w)
{
    real *activity = new_reals(p), mean = 0;
    size_t count = 0;

    for (size_t j = 0; j < p; j++) {
        for (size_t i = 0; i < n; i++)
            activity[j] += weight(w, i) * fabsl(x[i * p + j]);
        mean += activity[j] / (real)p;
    }
    for (size_t j = 0; j < p; j++)
        count += activity[j] <= 0.1L * mean;
    free(activity);
    return count;
}

static size_t count_clones(size_t p, const real *s, const bool *dead)
{
    size_t count = 0;

    for (size_t i = 0; i < p; i++) {
        bool has_partner = false;

        for (size_t j = 0; j < p && !dead[i]; j++) {
            real both = sqrtl(s[i * p + i] * s[j * p + j]);

            has_partner =
                has_partner || (i != j && !dead[j] && fabsl(s[i * p + j]) > 0.999L * both);
        }
        count += has_partner;
    }
    return count;
}

void reference_units(size_t n, size_t p, const double *x, const double *w,
                     struct reference_units *out)
{
    real *s = new_reals(p * p), total = 0, squares = 0;
    bool *dead = calloc(p, sizeof *dead);

    if (!dead)
        abort();

    reference_cross(n, p, x, p, x, w, s);
    for (size_t i = 0; i < n; i++) {
        total += weight(w, i);
        for (size_t j = 0; j < p; j++)
            squares += weight(w, i) * x[i * p + j] * x[i * p + j];
    }
    out->norm = sqrtl(squares / total);
    out->dead = 0;
    for (size_t j = 0; j < p; j++) {
        dead[j] = is_dead(n, p, x, j);
        out->dead += dead[j];
    }
    out->dormant = count_dormant(n, p, x, w);
    out->cloned = count_clones(p, s, dead);
    free(s);
    free(dead);
}

/* One step: v = X'(X v), of length 1. Returns the length that it had. */
static real power_step(size_t n, size_t p, const real *x, real *v, real *next)
{
    real length = 0;

    for (size_t j = 0; j < p; j++)
        next[j] = 0;
    for (size_t i = 0; i < n; i++) {
        real along = 0;

        for (size_t j = 0; j < p; j++)
            along += x[i * p + j] * v[j];
        for (size_t j = 0; j < p; j++)
            next[j] += along * x[i * p + j];
    }
    for (size_t j = 0; j < p; j++)
        length += next[j] * next[j];
    for (size_t j = 0; j < p; j++)
        v[j] = next[j] / sqrtl(length);
    return sqrtl(length);
}

real reference_stable_rank(size_t n, size_t p, const double *x)
{
    real *centred = new_reals(n * p), *mean = new_reals(p), *v = new_reals(2 * p), trace = 0, l = 0;

    reference_means(n, p, x, NULL, mean);
    for (size_t i = 0; i < n * p; i++) {
        centred[i] = x[i] - mean[i % p];
        trace += centred[i] * centred[i];
    }
    for (size_t j = 0; j < p; j++)
        v[j] = 1 + (real)(j % 7);
    for (int k = 0; k < 500; k++)
        l = power_step(n, p, centred, v, v + p);
    free(centred);
    free(mean);
    free(v);
    return trace / l;
}
