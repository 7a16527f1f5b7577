#include "daemon/core/estimate/jackknife_parts.h"

#include <math.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/vector.h"

/* I - H has differences from 1: half of the digits of such a pivot are left. */
#define LEAST_PIVOT 1e-8

/* The matrices of one omission, (k + 1) x (k + 1): N, I - H, E. Their last row and column belong to
 * the weighted sum. */
struct matrices {
    size_t k;
    double *n, *rest, *e;
};

double jackknife_sum_scale(const struct jackknife *jackknife, const struct omission *omission)
{
    return 1 / sqrt(jackknife->whole->weight - omission->weight);
}

/* The block of an omission in a matrix S = UV' of its pair, with the row of the sum: S is B S B',
 *
 *     B = ( I  )        c = sqrt(w) / sqrt(W - W_g)
 *         ( c' )  */
static void extend(const struct jackknife *jackknife, const struct pair *pair,
                   const struct omission *omission, const double *from, double *to)
{
    const double *root = jackknife->root + pair->row + omission->from;
    double scale = jackknife_sum_scale(jackknife, omission);
    size_t n = omission->k, k = n + 1;

    memset(to + n * k, 0, k * sizeof *to);
    for (size_t i = 0; i < n; i++) {
        const double *row = from + (omission->from + i) * pair->k + omission->from;

        to[i * k + n] = scale * linalg_dot(n, row, root);
        for (size_t l = 0; l < n; l++)
            to[i * k + l] = row[l];
        for (size_t l = 0; l < k; l++)
            to[n * k + l] += scale * root[i] * to[i * k + l];
    }
}

static struct matrices matrices_of(const struct jackknife *jackknife, const struct pair *pair,
                                   const struct omission *omission)
{
    size_t k = omission->k + 1, kk = (jackknife->k_max + 1) * (jackknife->k_max + 1);
    struct matrices out = {
        .k = k,
        .n = jackknife->scratch,
        .rest = jackknife->scratch + kk,
        .e = jackknife->scratch + 2 * kk,
    };

    extend(jackknife, pair, omission, pair->n, out.n);
    extend(jackknife, pair, omission, pair->h, out.rest);
    extend(jackknife, pair, omission, pair->e, out.e);
    for (size_t i = 0; i < k; i++) {
        for (size_t l = 0; l < k; l++)
            out.rest[i * k + l] = (i == l) - out.rest[i * k + l];
    }
    return out;
}

static double trace(size_t n, const double *a)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i * (n + 1)];
    return sum;
}

/* Takes the first row and column out of C and E, which are symmetric and n x n in rows of `stride`:
 * C becomes C - vv'/c, E becomes (-v/c I) E (-v/c I)' with v the rest of that column. */
VECTOR_CLONES
static void eliminate(size_t n, size_t stride, double *c, double *e)
{
    for (size_t i = 1; i < n; i++) {
        double *restrict ci = c + i * stride, *restrict ei = e + i * stride;
        double u = ci[0] / c[0], g = (ei[0] - u * e[0]) / c[0];

        for (size_t l = 1; l < n; l++) {
            ci[l] -= u * c[l];
            ei[l] -= u * e[l] + g * c[l];
        }
    }
}

/* tr(C^-1 E) of a symmetric positive definite C: E_11 / C_11, and that of what is left of both
 * without the first row and column. NaN when a pivot is lost. Overwrites both. The pivots are those
 * of Cholesky's method. LAPACK has no blocks to make of 33 rows: its calls took six times as long.
 */
static double trace_of_quotient(size_t k, double *c, double *e)
{
    double sum = 0;

    for (size_t i = 0; i < k; i++) {
        double *c11 = c + i * (k + 1), *e11 = e + i * (k + 1);

        if (!(*c11 > LEAST_PIVOT))
            return (double)NAN;
        sum += *e11 / *c11;
        eliminate(k - i, k, c11, e11);
    }
    return sum;
}

/* q without the omission; NaN when the outputs lose rank with it. */
static double q_without(const struct jackknife *jackknife, const struct matrices *x)
{
    return jackknife->whole->q - trace(x->k, x->n) + trace_of_quotient(x->k, x->rest, x->e);
}

/* sum w |x - m'|^4 over the rows that stay, about their own mean m' = m + e, e = -z / (W - W_g).
 * With x about m,
 *
 *     |x - e|^4 = s^2 + 4 (e'x)^2 + |e|^4 - 4 s e'x + 2 s |e|^2 - 4 |e|^2 e'x
 *
 * and over the rows that stay sum w x = (W - W_g) e. The row of A for the sum is -sqrt(W - W_g) e,
 * so N holds every e'x. */
static double fourth_without(const struct jackknife *jackknife, const struct pair *pair,
                             const struct omission *omission, const struct matrices *x)
{
    size_t k = x->k, n = omission->k, first = pair->row + omission->from;
    double left = jackknife->whole->weight - omission->weight;
    double e2 = x->n[n * (k + 1)] / left, third = 0, squares = omission->through / left;
    double s1 = 0, s2 = 0;

    for (size_t i = 0; i < n; i++) {
        double root = jackknife->root[first + i], s = x->n[i * (k + 1)]; /* w s */
        double ex = -x->n[i * k + n] / sqrt(left);                       /* sqrt(w) e'x */

        third -= root * jackknife->third[first + i] / left;
        if (root == 0)
            continue;
        squares -= ex * ex;
        third -= s * ex / root;
        s1 += s;
        s2 += s * s / (root * root);
    }
    return jackknife->whole->fourth - s2 + 4 * squares - 4 * third +
           2 * e2 * (jackknife->whole->t - s1) - 3 * left * e2 * e2;
}

double jackknife_fourth_of(const struct jackknife *jackknife, const struct pair *pair)
{
    double sum = 0;

    for (size_t i = 0; i < pair->k; i++) {
        double root = jackknife->root[pair->row + i], s = pair->n[i * (pair->k + 1)];

        sum += root > 0 ? s * s / (root * root) : 0;
    }
    return sum;
}

/* What is left of the overfit without the omitted rows: their own parts go, and the leverages of
 * the others grow, by as much in all as the omitted rows had. To first order that is
 *
 *     overfit (1 + sum h / r) - sum of the parts
 *
 * and nothing changes on the whole when all rows are alike. */
static double overfit_without(const struct jackknife *jackknife, const struct pair *pair,
                              const struct omission *omission)
{
    const struct kept *kept = jackknife->kept;
    double h = 0, parts = 0, r = (double)jackknife->outputs->rank;

    for (size_t g = 0; g < 2; g++) {
        if (omission == &pair->omissions[g == 0 ? OMIT_H : OMIT_G])
            continue;
        for (size_t i = 0; i < pair->rows[g].n; i++) {
            h += kept->leverage[pair->rows[g].at + i];
            parts += kept->overfit[pair->rows[g].at + i];
        }
    }
    return jackknife->whole->overfit * (1 + h / r) - parts;
}

void jackknife_sums_without(const struct jackknife *jackknife, const struct pair *pair,
                            const struct omission *omission, struct sums *out)
{
    struct matrices x = matrices_of(jackknife, pair, omission);
    double through = omission->through;

    for (size_t i = 0; i < omission->k; i++)
        through += jackknife->through[pair->row + omission->from + i];
    *out = (struct sums){
        .weight = jackknife->whole->weight - omission->weight,
        .weight_sq = jackknife->whole->weight_sq - omission->weight_sq,
        .t = jackknife->whole->t - trace(x.k, x.n),
        .q = q_without(jackknife, &x),
        .f = jackknife->whole->f - 2 * through + linalg_sum_squares(x.k * x.k, x.n),
        .fourth = fourth_without(jackknife, pair, omission, &x),
        .weighting = jackknife->whole->weighting,
        .overfit = overfit_without(jackknife, pair, omission),
    };
}
