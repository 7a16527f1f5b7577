#include "daemon/core/estimate/jackknife_parts.h"

#include <errno.h>
#include <math.h>

#include "daemon/core/matrix/linalg.h"

/* ---- passes over the features ---- */

/* One column tile: what it adds to N, FF', FA' and to A sum(w s x). */
static void add_grams(struct jackknife *jackknife, size_t first, size_t n)
{
    size_t ld = jackknife->n_cols, r = jackknife->outputs->rank;

    jackknife_fill_features(jackknife, first, n, 1);
    span_rows(jackknife->outputs, jackknife->m, first, n, jackknife->inside);
    linalg_product_f64(n, r, ld, jackknife->inside, r, jackknife->v, ld, jackknife->fitted, ld);
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        struct pair *pair = &jackknife->pairs[i];
        const double *a = jackknife->slice + pair->col, *f = jackknife->fitted + pair->col;

        linalg_gram_f64(n, pair->k, a, ld, 1, pair->n, pair->k);
        linalg_gram_f64(n, pair->k, f, ld, 1, pair->ff, pair->k);
        linalg_cross_f64(n, pair->k, pair->k, f, ld, a, ld, 1, pair->fa, pair->k);
        for (enum omitted which = 0; which < N_OMISSIONS; which++) {
            const double *sum = jackknife->slice + jackknife_sum_column(pair, which);

            for (size_t c = 0; c < n; c++)
                pair->omissions[which].third += jackknife->third[first + c] * sum[c * ld];
        }
    }
}

static void narrow(size_t n, const double *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

/* A' / sqrt(t): no element exceeds 1, and no element of M / t does. */
static void fill_narrow(struct jackknife *jackknife, size_t first, size_t n, float *to)
{
    jackknife_fill_features(jackknife, first, n, 1 / sqrt(jackknife->whole->t));
    narrow(n * jackknife->n_cols, jackknife->slice, to);
}

static void fill_tile(struct jackknife *jackknife, const struct tile *t)
{
    double scale = 1 / jackknife->whole->t;

    for (size_t i = 0; i < t->n_rows; i++) {
        for (size_t c = 0; c < t->n_cols; c++) {
            size_t at = t->row == t->col && c < i ? c * t->n_cols + i : i * t->n_cols + c;

            jackknife->tile[i * t->n_cols + c] = (float)(scale * t->values[at]);
        }
    }
}

/* What one tile of M adds to a'Ma: the product is single precision, the sum is double. */
static void add_through(struct jackknife *jackknife, const struct tile *t, const float *right)
{
    double scale = jackknife->whole->t * jackknife->whole->t * (t->row == t->col ? 1 : 2);
    size_t ld = jackknife->n_cols;

    fill_tile(jackknife, t);
    linalg_cross_f32(t->n_rows, t->n_cols, ld, jackknife->tile, t->n_cols, jackknife->left, ld,
                     jackknife->product, ld);
    for (size_t i = 0; i < t->n_cols; i++) {
        for (size_t c = 0; c < ld; c++)
            jackknife->through[c] += scale * jackknife->product[i * ld + c] * right[i * ld + c];
    }
}

static void walk_tiles(struct jackknife *jackknife)
{
    for (size_t k = 0; k < jackknife->m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&jackknife->m->xx, k);

        if (t.row == t.col) {
            add_grams(jackknife, t.row, t.n_rows);
            fill_narrow(jackknife, t.row, t.n_rows, jackknife->left);
            add_through(jackknife, &t, jackknife->left);
        } else {
            fill_narrow(jackknife, t.col, t.n_cols, jackknife->right);
            add_through(jackknife, &t, jackknife->right);
        }
    }
}

/* a'Ma = |Xa|^2, from the rows of X. */
static void walk_rows(struct jackknife *jackknife)
{
    size_t n = jackknife->kernel->n, ld = jackknife->n_cols;

    for (size_t first = 0; first < jackknife->m->p; first += TILE_ORDER) {
        size_t n_cols = jackknife->m->p - first < TILE_ORDER ? jackknife->m->p - first : TILE_ORDER;

        add_grams(jackknife, first, n_cols);
        kernel_slice(jackknife->kernel, jackknife->m, first, n_cols);
        linalg_cross_f64(n_cols, n, ld, jackknife->kernel->slice, n, jackknife->slice, ld,
                         first > 0, jackknife->products, ld);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < ld; c++)
            jackknife->through[c] +=
                jackknife->products[i * ld + c] * jackknife->products[i * ld + c];
    }
}

void jackknife_walk_features(struct jackknife *jackknife)
{
    if (jackknife->kernel)
        walk_rows(jackknife);
    else
        walk_tiles(jackknife);
}

/* sum(w s x) about the mean m, from the sum about the shift. With d = m - shift and z = x - m:
 *     sum w |z + d|^2 (z + d) = sum w s z + 2 M d + t d + W |d|^2 d */
int jackknife_fill_third(struct jackknife *jackknife)
{
    const struct moments *m = jackknife->m;
    double *d = jackknife->third + m->p, *md = jackknife->third, d2;

    if (jackknife->kernel)
        return kernel_third(jackknife->kernel, m, jackknife->third);
    for (size_t i = 0; i < m->p; i++)
        d[i] = m->mean_x[i] - m->shift[i];
    d2 = linalg_sum_squares(m->p, d);
    tiles_matvec(&m->xx, d, md);
    for (size_t i = 0; i < m->p; i++)
        jackknife->third[i] =
            m->sum_sx[i] - 2 * md[i] - (jackknife->whole->t + m->weight * d2) * d[i];
    return 0;
}

/* ---- without one omission ---- */

/* The k x k matrices of one omission: H, N, FF', FA', I - H, and those that the steps overwrite. */
struct matrices {
    size_t k;
    double *h, *n, *ff, *fa, *rest, *residual, *scratch;
};

/* The block of an omission in a matrix of its pair. Of a symmetric matrix the upper triangle is
 * valid. */
static void copy_block(const struct pair *pair, const struct omission *omission, const double *from,
                       bool symmetric, double *to)
{
    for (size_t i = 0; i < omission->k; i++) {
        for (size_t l = 0; l < omission->k; l++) {
            size_t row = omission->from + (symmetric && l < i ? l : i);
            size_t col = omission->from + (symmetric && l < i ? i : l);

            to[i * omission->k + l] = from[row * pair->k + col];
        }
    }
}

static void mirror(size_t n, double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            a[i * n + k] = a[k * n + i];
    }
}

static struct matrices matrices_of(const struct jackknife *jackknife, const struct pair *pair,
                                   const struct omission *omission)
{
    size_t kk = jackknife->k_max * jackknife->k_max;
    struct matrices out = {
        .k = omission->k,
        .h = jackknife->scratch,
        .n = jackknife->scratch + kk,
        .ff = jackknife->scratch + 2 * kk,
        .fa = jackknife->scratch + 3 * kk,
        .rest = jackknife->scratch + 4 * kk,
        .residual = jackknife->scratch + 5 * kk,
        .scratch = jackknife->scratch + 6 * kk,
    };

    copy_block(pair, omission, pair->n, true, out.n);
    copy_block(pair, omission, pair->ff, true, out.ff);
    copy_block(pair, omission, pair->fa, false, out.fa);
    linalg_gram_f64(jackknife->outputs->rank, omission->k,
                    jackknife->v + pair->col + omission->from, jackknife->n_cols, 0, out.h,
                    omission->k);
    mirror(omission->k, out.h);
    return out;
}

static double trace(size_t n, const double *a)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i * (n + 1)];
    return sum;
}

/* (F - HA)(F - HA)' = FF' - (FA')H - ((FA')H)' + HNH. */
static void fill_residual(const struct matrices *x)
{
    size_t k = x->k;

    linalg_product_f64(k, k, k, x->h, k, x->n, k, x->scratch, k);
    linalg_product_f64(k, k, k, x->scratch, k, x->h, k, x->residual, k);
    linalg_product_f64(k, k, k, x->fa, k, x->h, k, x->scratch, k);
    for (size_t i = 0; i < k; i++) {
        for (size_t l = 0; l < k; l++)
            x->residual[i * k + l] +=
                x->ff[i * k + l] - x->scratch[i * k + l] - x->scratch[l * k + i];
    }
}

/* q without the omission; NaN when the outputs lose rank with it. */
static int q_without(const struct jackknife *jackknife, const struct matrices *x, double *q)
{
    size_t k = x->k;
    int rc;

    fill_residual(x);
    for (size_t i = 0; i < k; i++) {
        for (size_t l = 0; l < k; l++)
            x->rest[i * k + l] = (i == l) - x->h[i * k + l];
    }
    rc = linalg_solve(k, x->rest, k, x->residual);
    *q = jackknife->whole->q - 2 * trace(k, x->fa) + linalg_dot(k * k, x->h, x->n) +
         trace(k, x->residual);
    if (rc == -EDOM)
        *q = (double)NAN;
    return rc == -EDOM ? 0 : rc;
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
    size_t k = x->k, col = pair->col + omission->from;
    double left = jackknife->whole->weight - omission->weight;
    double e2 = x->n[omission->sum * (k + 1)] / left, third = -omission->third / sqrt(left);
    double squares = jackknife->through[col + omission->sum] / left;
    double s1 = 0, s2 = 0;

    for (size_t i = 0; i < k; i++) {
        double root = jackknife->root[col + i], s = x->n[i * (k + 1)]; /* w s */
        double ex = -x->n[i * k + omission->sum] / sqrt(left);         /* sqrt(w) e'x */

        if (i == omission->sum || root == 0)
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

    for (size_t g = 0; g < 2; g++) {
        for (size_t i = 0; i < pair->rows[g].n; i++) {
            size_t col = jackknife_row_column(pair, g, i);
            double root = jackknife->root[col], s = pair->n[(col - pair->col) * (pair->k + 1)];

            sum += root > 0 ? s * s / (root * root) : 0;
        }
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

int jackknife_sums_without(const struct jackknife *jackknife, const struct pair *pair,
                           const struct omission *omission, struct sums *out)
{
    struct matrices x = matrices_of(jackknife, pair, omission);
    double through = 0;

    for (size_t i = 0; i < x.k; i++)
        through += jackknife->through[pair->col + omission->from + i];
    *out = (struct sums){
        .weight = jackknife->whole->weight - omission->weight,
        .weight_sq = jackknife->whole->weight_sq - omission->weight_sq,
        .t = jackknife->whole->t - trace(x.k, x.n),
        .f = jackknife->whole->f - 2 * through + linalg_sum_squares(x.k * x.k, x.n),
        .fourth = fourth_without(jackknife, pair, omission, &x),
        .weighting = jackknife->whole->weighting,
        .overfit = overfit_without(jackknife, pair, omission),
    };
    return q_without(jackknife, &x, &out->q);
}
