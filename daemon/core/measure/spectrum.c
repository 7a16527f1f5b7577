#include "daemon/core/measure/spectrum.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/estimate/span.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/floor.h"
#include "daemon/core/measure/targets.h"

/* Eigenfunctions projected at a time: (X'Q)'v for so many v stays small beside the matrix. */
#define CHUNK_VECTORS 256

struct spectrum *spectrum_alloc(uint32_t n_values, bool with_u, bool with_q)
{
    size_t n = n_values ? n_values : 1;
    struct spectrum *spectrum = calloc(1, sizeof *spectrum);

    if (!spectrum)
        return NULL;
    spectrum->n_values = n_values;
    spectrum->rho = calloc(n * (1 + with_u + with_q), sizeof *spectrum->rho);
    if (!spectrum->rho) {
        free(spectrum);
        return NULL;
    }
    spectrum->u = with_u ? spectrum->rho + n : NULL;
    spectrum->q = with_q ? spectrum->rho + n * (1 + with_u) : NULL;
    return spectrum;
}

void spectrum_free(struct spectrum *spectrum)
{
    if (!spectrum)
        return;
    free(spectrum->rho);
    free(spectrum);
}

void spectrum_cumulate(size_t n, const double *share, uint32_t rank, double *out)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++) {
        sum += isnan(share[k]) ? 0 : share[k];
        out[k] = sum / rank;
    }
}

size_t spectrum_resolved(const struct spectrum *spectrum)
{
    size_t n = 0;

    while (n < spectrum->n_values && spectrum->rho[n] > 0)
        n++;
    return n;
}

/* ---- the matrix ---- */

/* Copies the upper triangle of X'X into `a`, p x p; uncentred, it adds W m m'. */
static void expand(const struct moments *m, bool uncentred, double *a)
{
    for (size_t k = 0; k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        for (size_t i = 0; i < t.n_rows; i++)
            memcpy(a + (t.row + i) * m->p + t.col, t.values + i * t.n_cols, t.n_cols * sizeof *a);
    }
    for (size_t i = 0; uncentred && i < m->p; i++) {
        double factor = m->weight * m->mean_x[i];

        for (size_t j = i; j < m->p; j++)
            a[i * m->p + j] += factor * m->mean_x[j];
    }
}

/* Moments with the means added again to X'Y and Y'Y: X'Y + W m k' and Y'Y + W k k'. span.h reads
 * nothing else. The rest is borrowed from `m`. Free xy and yy. */
static int raise_products(const struct moments *m, struct moments *out)
{
    *out = *m;
    out->xy = malloc(m->p * m->w * sizeof *out->xy);
    out->yy = malloc(m->w * m->w * sizeof *out->yy);
    if (!out->xy || !out->yy) {
        free(out->xy);
        free(out->yy);
        return -ENOMEM;
    }
    for (size_t i = 0; i < m->p; i++) {
        for (size_t j = 0; j < m->w; j++)
            out->xy[i * m->w + j] = m->xy[i * m->w + j] + m->weight * m->mean_x[i] * m->mean_y[j];
    }
    for (size_t i = 0; i < m->w; i++) {
        for (size_t j = i; j < m->w; j++)
            out->yy[i * m->w + j] = m->yy[i * m->w + j] + m->weight * m->mean_y[i] * m->mean_y[j];
    }
    return 0;
}

/* ---- the eigenpairs ---- */

/* Values and vectors in LAPACK's order, ascending; eigenvalue() counts them from the largest. The
 * vectors are those of the tridiagonal form, z = Q'v: a share needs |B'v|^2 = |(Q'B)'z|^2 alone, so
 * B is turned, which has few columns, and V is never made. */
struct eigenpairs {
    size_t n;
    struct linalg_tridiagonal form;
    double *matrix; /* of the form */
    double *values;
    double *vectors; /* n x p, ascending; NULL: the values alone */
};

static void eigenpairs_release(struct eigenpairs *pairs)
{
    linalg_tridiagonal_release(&pairs->form);
    free(pairs->matrix);
    free(pairs->vectors);
    free(pairs->values);
}

static double eigenvalue(const struct eigenpairs *pairs, size_t k)
{
    return pairs->values[pairs->n - 1 - k];
}

static int eigenpairs_init(struct eigenpairs *pairs, const struct moments *m, bool uncentred,
                           size_t n, bool with_vectors)
{
    size_t p = m->p;
    int rc;

    *pairs = (struct eigenpairs){.n = n};
    pairs->matrix = malloc(p * p * sizeof(double));
    pairs->values = malloc(p * sizeof(double));
    if (with_vectors)
        pairs->vectors = malloc(n * p * sizeof(double));
    if (!pairs->matrix || !pairs->values || (with_vectors && !pairs->vectors))
        return -ENOMEM;
    expand(m, uncentred, pairs->matrix);
    rc = linalg_tridiagonal_init(&pairs->form, p, pairs->matrix,
                                 with_vectors ? NULL : pairs->values);
    if (rc < 0)
        return rc;
    if (with_vectors)
        return linalg_tridiagonal_own(&pairs->form, n, pairs->values, pairs->vectors);
    memmove(pairs->values, pairs->values + p - n, n * sizeof(double));
    return 0;
}

/* ---- the shares ---- */

/* 0, and NaN where the eigenvalue is rounding: there is no e_k. Without shares nothing. */
static void clear_shares(const struct eigenpairs *pairs, double cutoff, double *share)
{
    for (size_t k = 0; share && k < pairs->n; k++)
        share[k] = eigenvalue(pairs, k) > cutoff * eigenvalue(pairs, 0) ? 0 : (double)NAN;
}

/* sides (r x p) = (X'Q)'. `rows` is scratch for CHUNK_VECTORS x r. */
static void read_sides(const struct span *span, const struct moments *m, double *sides,
                       double *rows)
{
    size_t p = m->p, r = span->rank;

    for (size_t from = 0; from < p; from += CHUNK_VECTORS) {
        size_t n = p - from < CHUNK_VECTORS ? p - from : CHUNK_VECTORS;

        span_rows(span, m, from, n, rows);
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < r; k++)
                sides[k * p + from + i] = rows[i * r + k];
        }
    }
}

/* share_k = |(X'Q)'v_k|^2 / l_k with l_k the eigenvalue of X'X: the squared length of the part of
 * e_k that lies in the span. Below the cut-off l_k is rounding, and its e_k is anything. */
static int project(const struct span *span, const struct moments *m, const struct eigenpairs *pairs,
                   double cutoff, double *share)
{
    size_t p = m->p, r = span->rank;
    double *sides, *rows;
    int rc;

    clear_shares(pairs, cutoff, share);
    if (r == 0)
        return 0;
    sides = malloc((p + CHUNK_VECTORS) * r * sizeof *sides);
    if (!sides)
        return -ENOMEM;
    rows = sides + p * r;
    read_sides(span, m, sides, rows);
    rc = linalg_tridiagonal_turn(&pairs->form, r, sides);
    for (size_t from = 0; rc == 0 && from < pairs->n; from += CHUNK_VECTORS) {
        size_t n = pairs->n - from < CHUNK_VECTORS ? pairs->n - from : CHUNK_VECTORS;

        linalg_product_transposed_f64(n, p, r, pairs->vectors + from * p, p, sides, p, rows, r);
        for (size_t i = 0; i < n; i++) {
            size_t k = pairs->n - 1 - (from + i);

            share[k] += linalg_sum_squares(r, rows + i * r) / eigenvalue(pairs, k);
        }
    }
    free(sides);
    return rc;
}

/* The one-hot columns of the classes are orthogonal, with squared lengths W pi_c. So the part of
 * e_k in their span is
 *
 *     share_k = sum_c pi_c (v_k'(mu_c - m))^2 / rho_k         centred: the constant is taken out
 *     share_k = sum_c pi_c (v_k'mu_c)^2 / rho_k               uncentred
 */
struct class_shares {
    const struct moments *m;
    const struct eigenpairs *pairs;
    double *rows;  /* CHUNK_VECTORS x p: sqrt(pi_c) (mu_c - m), or with m */
    double *along; /* n vectors x CHUNK_VECTORS */
};

/* Turns `rows`. */
static int add_classes(const struct class_shares *shares, size_t n, double *share)
{
    size_t p = shares->m->p, n_vectors = shares->pairs->n;
    int rc = linalg_tridiagonal_turn(&shares->pairs->form, n, shares->rows);

    if (rc < 0)
        return rc;
    linalg_product_transposed_f64(n_vectors, p, n, shares->pairs->vectors, p, shares->rows, p,
                                  shares->along, n);
    for (size_t i = 0; i < n_vectors; i++) {
        size_t k = n_vectors - 1 - i;

        share[k] += shares->m->weight * linalg_sum_squares(n, shares->along + i * n) /
                    eigenvalue(shares->pairs, k);
    }
    return 0;
}

/* Reads the next classes from `*slot` on into rows; returns how many. */
static size_t read_classes(const struct class_shares *shares, bool uncentred, size_t *slot)
{
    const struct moments *m = shares->m;
    size_t n = 0;

    for (; *slot < m->classes->n && n < CHUNK_VECTORS; ++*slot) {
        double *row = shares->rows + n * m->p, root = sqrt(moments_class_share(m, *slot));

        if (!moments_class_occurred(m, *slot))
            continue;
        moments_class_mean(m, *slot, row);
        for (size_t i = 0; i < m->p; i++)
            row[i] = root * (row[i] + (uncentred ? m->mean_x[i] : 0));
        n++;
    }
    return n;
}

static int add_class_shares(struct spectrum *spectrum, const struct moments *m,
                            const struct eigenpairs *pairs, double cutoff)
{
    struct class_shares shares = {.m = m, .pairs = pairs};
    size_t n_classes = 0, slot = 0, n;
    int rc = 0;

    shares.rows = malloc((m->p + pairs->n) * CHUNK_VECTORS * sizeof(double));
    if (!shares.rows)
        return -ENOMEM;
    shares.along = shares.rows + m->p * CHUNK_VECTORS;
    clear_shares(pairs, cutoff, spectrum->q);
    while (rc == 0 && (n = read_classes(&shares, spectrum->uncentred, &slot)) > 0) {
        n_classes += n;
        if (spectrum->q)
            rc = add_classes(&shares, n, spectrum->q);
    }
    free(shares.rows);
    spectrum->rank_targets = (uint32_t)(n_classes - !spectrum->uncentred);
    return rc;
}

/* The rank of a span, and the shares in it. Takes the span, and the return code of its init. */
static int add_shares(int rc, struct span *span, const struct moments *m,
                      const struct eigenpairs *pairs, double features_cutoff, uint32_t *rank,
                      double *share)
{
    *rank = (uint32_t)lround(span->trace);
    if (rc == 0 && share)
        rc = project(span, m, pairs, features_cutoff, share);
    span_release(span);
    return rc;
}

/* Below the floor an eigenvalue is 0, as far as anyone can say. */
static void fill_values(struct spectrum *spectrum, const struct moments *m,
                        const struct eigenpairs *pairs, double floor)
{
    for (size_t k = 0; k < spectrum->n_values; k++)
        spectrum->rho[k] = eigenvalue(pairs, k) > floor ? eigenvalue(pairs, k) / m->weight : 0;
}

static int fill(struct spectrum *spectrum, const struct moments *m, struct precision precision,
                const struct projector *outputs, const struct eigenpairs *pairs)
{
    double floor = floor_eigenvalue(precision.features, m->p, tiles_trace(&m->xx));
    double cutoff = fmax(span_cutoff(precision.features), floor / eigenvalue(pairs, 0));
    struct span span;
    int rc;

    fill_values(spectrum, m, pairs, floor);
    rc = span_init_projected(&span, m, 0, m->c, precision.outputs, outputs);
    rc = add_shares(rc, &span, m, pairs, cutoff, &spectrum->rank, spectrum->u);
    if (rc == 0 && m->classes && targets_exist(m))
        return add_class_shares(spectrum, m, pairs, cutoff);
    if (rc < 0 || m->k == 0)
        return rc;
    rc = span_init(&span, m, m->c, m->k, precision.targets);
    return add_shares(rc, &span, m, pairs, cutoff, &spectrum->rank_targets, spectrum->q);
}

/* ---- the whole ---- */

/* How many eigenvalues: those that are asked for, without those that are 0 because rows are few. */
static size_t count_values(const struct moments *m, struct spectrum_wish wish)
{
    size_t n = wish.leading, possible = m->n_rows - (wish.uncentred ? 0 : 1);

    if (n == 0)
        n = m->p <= SPECTRUM_ALL_MAX ? m->p : SPECTRUM_LEADING;
    if (n > m->p)
        n = m->p;
    return n > possible ? possible : n;
}

static double total_variance(const struct moments *m, bool uncentred)
{
    return tiles_trace(&m->xx) / m->weight + (uncentred ? linalg_sum_squares(m->p, m->mean_x) : 0);
}

static struct spectrum *new_empty(const struct moments *m, size_t n, bool uncentred)
{
    bool few_rows = m->weight * m->weight <= m->weight_sq * (double)m->p;
    struct spectrum *spectrum =
        spectrum_alloc((uint32_t)n, !few_rows, !few_rows && targets_exist(m));

    if (!spectrum)
        return NULL;
    spectrum->p = (uint32_t)m->p;
    spectrum->uncentred = uncentred;
    spectrum->few_rows = few_rows;
    spectrum->total = total_variance(m, uncentred);
    return spectrum;
}

int spectrum_new(const struct moments *m, struct precision precision,
                 const struct projector *outputs, struct spectrum_wish wish, struct spectrum **out)
{
    size_t n = count_values(m, wish);
    struct moments raised = *m;
    struct eigenpairs pairs = {0};
    int rc;

    assert(m->weight > 0 && !m->by_rows);
    *out = NULL;
    if (m->p > SPECTRUM_P_MAX)
        return -E2BIG;
    if (n == 0 || total_variance(m, wish.uncentred) == 0)
        return -EDOM;
    if (wish.uncentred && raise_products(m, &raised) < 0)
        return -ENOMEM;
    *out = new_empty(m, n, wish.uncentred);
    rc = *out ? eigenpairs_init(&pairs, m, wish.uncentred, n, (*out)->u != NULL) : -ENOMEM;
    if (rc == 0)
        rc = fill(*out, &raised, precision, outputs, &pairs);
    if (wish.uncentred) {
        free(raised.xy);
        free(raised.yy);
    }
    eigenpairs_release(&pairs);
    if (rc < 0) {
        spectrum_free(*out);
        *out = NULL;
    }
    return rc;
}
