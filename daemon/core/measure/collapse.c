#include "daemon/core/measure/collapse.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* A class with less than this share of the rows did not occur: the rest of a forgotten class is
 * rounding. */
#define SHARE_MIN 1e-9
/* Squared singular values of the class means below this share of the largest are rounding, and nc1
 * must not divide by them. */
#define RANK_CUTOFF 1e-12

struct classes {
    size_t p, n;
    double *share;    /* pi_c */
    double *spread;   /* |mu_c - m|^2 */
    double *centre;   /* p x n: mu_c - mu */
    double *middle;   /* p: mu - m */
    double *gram;     /* n x n: centre'centre */
    double *residual; /* n: centre'middle */
};

static void classes_release(struct classes *classes)
{
    free(classes->share);
    memset(classes, 0, sizeof *classes);
}

static size_t count_classes(const struct moments *m)
{
    size_t n = 0;

    for (size_t c = 0; c < m->k; c++)
        n += m->mean_y[m->c + c] > SHARE_MIN;
    return n;
}

/* One allocation; the pointers go into it. */
static int classes_alloc(struct classes *classes, size_t p, size_t n)
{
    double *at = calloc(p * n + p + n * n + 3 * n, sizeof *at);

    if (!at)
        return -ENOMEM;
    *classes = (struct classes){.p = p, .n = n, .share = at};
    classes->spread = at + n;
    classes->residual = classes->spread + n;
    classes->middle = classes->residual + n;
    classes->gram = classes->middle + p;
    classes->centre = classes->gram + n * n;
    return 0;
}

/* mu_c - m for the classes that occurred; centre_means then subtracts their own mean. */
static void read_means(struct classes *classes, const struct moments *m)
{
    size_t at = 0;

    for (size_t c = 0; c < m->k; c++) {
        double share = m->mean_y[m->c + c];

        if (!(share > SHARE_MIN))
            continue;
        classes->share[at] = share;
        for (size_t i = 0; i < classes->p; i++) {
            double d = m->xy[i * m->w + m->c + c] / (m->weight * share);

            classes->centre[i * classes->n + at] = d;
            classes->spread[at] += d * d;
        }
        at++;
    }
}

static void centre_means(struct classes *classes)
{
    for (size_t i = 0; i < classes->p; i++) {
        double *row = classes->centre + i * classes->n, sum = 0;

        for (size_t c = 0; c < classes->n; c++)
            sum += row[c];
        classes->middle[i] = sum / (double)classes->n;
        for (size_t c = 0; c < classes->n; c++)
            row[c] -= classes->middle[i];
    }
    linalg_gram_f64(classes->p, classes->n, classes->centre, classes->n, 0, classes->gram,
                    classes->n);
    linalg_matvec_f64(true, classes->p, classes->n, classes->centre, classes->n, classes->middle,
                      classes->residual);
}

static int classes_init(struct classes *classes, const struct moments *m, size_t n)
{
    int rc = classes_alloc(classes, m->p, n);

    if (rc < 0)
        return rc;
    read_means(classes, m);
    centre_means(classes);
    return 0;
}

static double gram_at(const struct classes *classes, size_t c, size_t d)
{
    return c < d ? classes->gram[c * classes->n + d] : classes->gram[d * classes->n + c];
}

/* ---- the parts ---- */

static double quotient(const struct classes *classes, const struct moments *m)
{
    double within = tiles_trace(&m->xx) / m->weight, between = 0;

    for (size_t c = 0; c < classes->n; c++) {
        within -= classes->share[c] * classes->spread[c];
        between += gram_at(classes, c, c) / (double)classes->n;
    }
    return between > 0 ? fmax(within, 0) / between : (double)NAN;
}

static double norm_cv(const struct classes *classes)
{
    double mean = 0, variance = 0;

    for (size_t c = 0; c < classes->n; c++)
        mean += sqrt(gram_at(classes, c, c)) / (double)classes->n;
    for (size_t c = 0; c < classes->n; c++) {
        double d = sqrt(gram_at(classes, c, c)) - mean;

        variance += d * d / (double)classes->n;
    }
    return mean > 0 ? sqrt(variance) / mean : (double)NAN;
}

/* NaN when a class mean is the mean of all: it has no direction. */
static double angle(const struct classes *classes)
{
    double sum = 0, n = (double)classes->n;

    for (size_t c = 0; c < classes->n; c++) {
        for (size_t d = c + 1; d < classes->n; d++) {
            double norms = sqrt(gram_at(classes, c, c) * gram_at(classes, d, d));

            sum += fabs((norms > 0 ? gram_at(classes, c, d) / norms : (double)NAN) + 1 / (n - 1));
        }
    }
    return sum / (n * (n - 1) / 2);
}

/* ---- nc1 ---- */

/* With M = centre, M'M = V diag(l) V' and u_k = M v_k / sqrt(l_k): S_B^+ = C sum_k u_k u_k' / l_k
 * over the r eigenvalues that count, hence
 *
 *     nc1 = sum_k u_k'S_W u_k / l_k = sum_k [ v_k'M'S M v_k - sum_c pi_c (v_k'M'd_c)^2 ] / l_k^2
 *
 * with d_c = mu_c - m = M_c + (mu - m). */
static double within_along(const struct classes *classes, const double *v, double l, double total)
{
    double residual = linalg_dot(classes->n, v, classes->residual), sum = total;

    for (size_t c = 0; c < classes->n; c++) {
        double along = l * v[c] + residual; /* v'M'M = l v' */

        sum -= classes->share[c] * along * along;
    }
    return fmax(sum, 0) / (l * l);
}

/* Directions that count: at most C - 1, because the class means are centred. */
static size_t count_directions(const struct classes *classes, const double *l)
{
    size_t r = 0, most = classes->n - 1 < classes->p ? classes->n - 1 : classes->p;

    while (r < most && l[classes->n - 1 - r] > RANK_CUTOFF * l[classes->n - 1])
        r++;
    return r;
}

/* `v` holds the eigenvectors as rows, ascending; `work` p x n twice. */
static double sum_directions(const struct classes *classes, const struct moments *m,
                             const double *v, const double *l, double *work)
{
    size_t p = classes->p, n = classes->n, r = count_directions(classes, l);
    const double *top = v + (n - r) * n;
    double *mv = work, *smv = work + p * n, sum = 0;

    if (r == 0)
        return (double)NAN;
    linalg_product_transposed_f64(p, n, r, classes->centre, n, top, n, mv, r);
    tiles_product(&m->xx, r, mv, smv);
    for (size_t i = 0; i < r; i++) {
        double total = linalg_dot_strided(p, mv + i, r, smv + i, r) / m->weight;

        sum += within_along(classes, top + i * n, l[n - r + i], total);
    }
    return sum;
}

static int find_nc1(const struct classes *classes, const struct moments *m, double *out)
{
    size_t n = classes->n;
    double *v, *l;
    int rc;

    assert(n >= 2 && classes->p >= 1);
    v = malloc((n * n + n + 2 * classes->p * n) * sizeof *v);
    if (!v)
        return -ENOMEM;
    l = v + n * n;
    memcpy(v, classes->gram, n * n * sizeof *v);
    rc = linalg_eigh(n, v, l);
    if (rc == 0)
        *out = sum_directions(classes, m, v, l, l + n);
    free(v);
    return rc;
}

/* ---- the whole ---- */

int collapse_measure(const struct moments *m, bool at_any_cost, struct collapse *out)
{
    size_t n = count_classes(m);
    double cost = (double)m->p * (double)m->p * (double)n;
    struct classes classes;
    int rc = 0;

    assert(m->k > 0 && m->weight > 0 && !m->by_rows);
    out->n_classes = (uint32_t)n;
    out->n_missing = (uint32_t)(m->k - n);
    out->nc1 = out->nc1_quotient = out->nc2_norm_cv = out->nc2_angle = (double)NAN;
    if (n < 2)
        return 0;
    rc = classes_init(&classes, m, n);
    if (rc < 0)
        return rc;
    out->nc1_quotient = quotient(&classes, m);
    out->nc2_norm_cv = norm_cv(&classes);
    out->nc2_angle = angle(&classes);
    if (at_any_cost || cost <= COLLAPSE_CHEAP)
        rc = find_nc1(&classes, m, &out->nc1);
    classes_release(&classes);
    return rc;
}
