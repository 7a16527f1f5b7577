#include "daemon/core/measure/leading.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* The eigenvalue is looked at after each so many steps: that costs as much as a step of p = 200. */
#define LOOK_STEPS 4

struct lanczos {
    const struct tiles *xx;      /* X'X, or */
    const struct kernel *kernel; /* XX' */
    size_t n;                    /* their order */
    double *v, *before, *next;   /* n each */
    size_t k;                    /* steps done */
    double diagonal[LEADING_STEPS];
    double beside[LEADING_STEPS]; /* the last one is b_k */
};

/* Signs that no data knows of, so that the first vector is orthogonal to no eigenvector: the upper
 * bit of a multiplicative hash (splitmix64's finaliser). */
static double sign_of(uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) >> 63 ? 1 : -1;
}

static void multiply(struct lanczos *l)
{
    if (!l->kernel) {
        tiles_matvec(l->xx, l->v, l->next);
        return;
    }
    memset(l->next, 0, l->n * sizeof *l->next);
    linalg_symmetric_matvec_f64(l->n, l->kernel->k, l->n, l->v, l->next);
}

/* next = A v - b before; a = next'v; next -= a v; b = |next|; v moves on. Returns whether there is
 * a next vector. */
static bool step(struct lanczos *l)
{
    double b = l->k > 0 ? l->beside[l->k - 1] : 0, a, *spare = l->before;

    multiply(l);
    for (size_t i = 0; i < l->n; i++)
        l->next[i] -= b * l->before[i];
    a = linalg_dot(l->n, l->next, l->v);
    for (size_t i = 0; i < l->n; i++)
        l->next[i] -= a * l->v[i];
    b = sqrt(linalg_sum_squares(l->n, l->next));
    l->diagonal[l->k] = a;
    l->beside[l->k++] = b;
    for (size_t i = 0; b > 0 && i < l->n; i++)
        l->next[i] /= b;
    l->before = l->v;
    l->v = l->next;
    l->next = spare;
    return b > 0;
}

/* The largest eigenvalue of T_k, and how far it may be from one of the matrix. */
static int look(const struct lanczos *l, double *value, double *distance)
{
    double t[LEADING_STEPS * LEADING_STEPS] = {0}, w[LEADING_STEPS];
    size_t k = l->k;
    int rc;

    for (size_t i = 0; i < k; i++) {
        t[i * k + i] = l->diagonal[i];
        if (i + 1 < k)
            t[i * k + i + 1] = l->beside[i];
    }
    rc = linalg_eigh(k, t, w);
    *value = w[k - 1];
    *distance = l->beside[k - 1] * fabs(t[(k - 1) * k + k - 1]);
    return rc;
}

static int iterate(struct lanczos *l, double *out)
{
    double distance = 0;
    bool goes_on = true;
    int rc = 0;

    for (size_t i = 0; i < l->n; i++)
        l->v[i] = sign_of(i) / sqrt((double)l->n);
    do {
        goes_on = step(l) && l->k < LEADING_STEPS;
        if (goes_on && l->k % LOOK_STEPS != 0)
            continue;
        rc = look(l, out, &distance);
        goes_on = goes_on && rc == 0 && distance > LEADING_TOLERANCE * *out;
    } while (goes_on);
    return rc;
}

static int run_lanczos(const struct moments *m, const struct kernel *kernel, size_t n, double *out)
{
    struct lanczos l = {.xx = &m->xx, .kernel = kernel, .n = n};
    double *memory = calloc(3 * n, sizeof *memory);
    int rc;

    if (!memory)
        return -ENOMEM;
    l.v = memory;
    l.before = memory + n;
    l.next = memory + 2 * n;
    rc = iterate(&l, out);
    free(memory);
    return rc;
}

/* `a`: the matrix, n x n; one tile holds all of a small X'X. The other eigenvalues would cost as
 * much as the form. */
static int decompose(const double *a, size_t n, double *out)
{
    struct linalg_tridiagonal t;
    double *copy = malloc((n * n + n) * sizeof *copy);
    int rc;

    if (!copy)
        return -ENOMEM;
    memcpy(copy, a, n * n * sizeof *copy);
    rc = linalg_tridiagonal_init(&t, n, copy, NULL);
    if (rc == 0)
        rc = linalg_tridiagonal_own(&t, 1, out, copy + n * n);
    linalg_tridiagonal_release(&t);
    free(copy);
    return rc;
}

int leading_eigenvalue(const struct moments *m, const struct kernel *kernel, double *out)
{
    size_t n = kernel ? kernel->n : m->p;

    static_assert(LEADING_SMALL <= TILE_ORDER, "one tile");
    return n <= LEADING_SMALL ? decompose(kernel ? kernel->k : m->xx.values, n, out)
                              : run_lanczos(m, kernel, n, out);
}
