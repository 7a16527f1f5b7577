#include "daemon/core/estimate/jackknife_parts.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/passes.h"
#include "daemon/core/matrix/vector.h"

/* Columns of a diagonal tile that are multiplied at a time: what lies below them is left out. */
#define STRIP_COLUMNS 128

/* ---- the outputs ---- */

/* The rows of a pair in one of the tables of kept.h, one below the other. */
static void gather(const struct jackknife *jackknife, const struct pair *pair, const double *table,
                   double *out)
{
    size_t r = jackknife->outputs->rank;

    for (size_t group = 0; group < 2; group++) {
        for (size_t i = 0; i < pair->rows[group].n; i++, out += r)
            memcpy(out, table + jackknife->kept->number[pair->rows[group].at + i] * r,
                   r * sizeof *out);
    }
}

static void mirror(size_t n, double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            a[i * n + k] = a[k * n + i];
    }
}

/* E without N: FF' - FZ' - ZF' = (V T' + T V') / 2, T = V (X'Q)'(X'Q) - 2 ZX'Q, which `t` holds. */
static void fill_residual(struct pair *pair, size_t r, const double *v, const double *t)
{
    size_t k = pair->k;

    linalg_product_transposed_f64(k, r, k, v, r, t, r, pair->e, k);
    for (size_t i = 0; i < k; i++) {
        for (size_t l = 0; l <= i; l++) {
            double both = (pair->e[i * k + l] + pair->e[l * k + i]) / 2;

            pair->e[i * k + l] = pair->e[l * k + i] = both;
        }
    }
}

/* With V the rows in the outputs' space: H = VV', and E but for N. */
int jackknife_read_outputs(struct jackknife *jackknife)
{
    size_t r = jackknife->outputs->rank, k_max = jackknife->k_max;
    double *gram = malloc((r * r + 3 * k_max * r) * sizeof *gram);
    double *v, *beside, *t;

    if (!gram)
        return -ENOMEM;
    v = gram + r * r;
    beside = v + k_max * r;
    t = beside + k_max * r;
    memcpy(gram, jackknife->kept->gram, r * r * sizeof *gram);
    mirror(r, gram);
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        struct pair *pair = &jackknife->pairs[i];
        size_t k = pair->k;

        gather(jackknife, pair, jackknife->kept->inside, v);
        gather(jackknife, pair, jackknife->kept->along, beside);
        linalg_product_transposed_f64(k, r, k, v, r, v, r, pair->h, k);
        linalg_product_f64(k, r, r, v, r, gram, r, t, r);
        for (size_t j = 0; j < k * r; j++)
            t[j] -= 2 * beside[j];
        fill_residual(pair, r, v, t);
    }
    free(gram);
    return 0;
}

/* ---- the features, by X'X ---- */

/* Where rows of single precision go through M, one column of tiles after the other. */
struct passage {
    float *rows; /* n_rows x p: Z / sqrt(t), so that no element exceeds 1, and none of M / t does */
    float *tile; /* TILE_ORDER^2: of M / t, and of the diagonal half */
    float *product;     /* n_rows x TILE_ORDER: the columns of ZU, M = U + U' */
    double *third, *md; /* p: sum(w s x) about the mean m; p of scratch */
    double *pair;       /* k_max x p: the rows of Z of a pair */
};

static void passage_release(struct passage *passage)
{
    free(passage->rows);
    free(passage->tile);
    free(passage->product);
    free(passage->third);
    free(passage->pair);
}

static int passage_init(struct passage *passage, const struct jackknife *jackknife)
{
    size_t p = jackknife->m->p, t = p < TILE_ORDER ? p : TILE_ORDER, n = jackknife->n_rows;

    *passage = (struct passage){
        .rows = malloc(n * p * sizeof(float)),
        .tile = malloc(t * t * sizeof(float)),
        .product = malloc(n * t * sizeof(float)),
        .third = malloc(2 * p * sizeof(double)),
        .pair = malloc(jackknife->k_max * p * sizeof(double)),
    };
    if (!passage->rows || !passage->tile || !passage->product || !passage->third ||
        !passage->pair) {
        passage_release(passage);
        return -ENOMEM;
    }
    passage->md = passage->third + p;
    return 0;
}

/* sum(w s x) about the mean m, from the sum about the shift. With d = m - shift and z = x - m:
 *     sum w |z + d|^2 (z + d) = sum w s z + 2 M d + t d + W |d|^2 d */
static void fill_third(const struct jackknife *jackknife, const struct passage *passage)
{
    const struct moments *m = jackknife->m;
    double *d = passage->third, *md = passage->md, d2;

    for (size_t i = 0; i < m->p; i++)
        d[i] = m->mean_x[i] - m->shift[i];
    d2 = linalg_sum_squares(m->p, d);
    if (d2 > 0)
        tiles_matvec(&m->xx, d, md);
    else
        memset(md, 0, m->p * sizeof *md);
    for (size_t i = 0; i < m->p; i++)
        d[i] = m->sum_sx[i] - 2 * md[i] - (jackknife->whole->t + m->weight * d2) * d[i];
}

/* N and a'sum(w s x) of one pair; its rows go on in single precision. */
static void read_pair(struct jackknife *jackknife, const struct passage *passage,
                      const struct pair *pair)
{
    const struct moments *m = jackknife->m;
    double scale = 1 / sqrt(jackknife->whole->t), *z = passage->pair;
    float *narrow = passage->rows + pair->row * m->p;

    for (size_t group = 0; group < 2; group++) {
        for (size_t i = 0; i < pair->rows[group].n; i++, z += m->p, narrow += m->p) {
            const double *x = m->reservoir->x + (pair->rows[group].at + i) * m->p;
            size_t row = pair->row + jackknife_row(pair, group, i);
            double root = jackknife->root[row];

            passes_centre_row(m->p, root, x, m->mean_x, z);
            passes_narrow_scaled(m->p, scale, z, narrow);
            jackknife->third[row] = linalg_dot(m->p, z, passage->third);
        }
    }
    linalg_product_transposed_f64(pair->k, m->p, pair->k, passage->pair, m->p, passage->pair, m->p,
                                  pair->n, pair->k);
}

/* A tile of U / t: above the diagonal M, on it half of M, below it 0. */
static void fill_tile(const struct jackknife *jackknife, const struct tile *t, float *out)
{
    double scale = 1 / jackknife->whole->t;

    for (size_t i = 0; i < t->n_rows; i++, out += t->n_cols) {
        const double *from = t->values + i * t->n_cols;
        bool is_diagonal = t->row == t->col;
        size_t first = is_diagonal ? i : 0;

        memset(out, 0, first * sizeof *out);
        passes_narrow_scaled(t->n_cols - first, scale, from + first, out + first);
        if (is_diagonal)
            out[i] = (float)(scale / 2 * from[i]);
    }
}

/* product (+)= rows x tile. Of a diagonal tile each strip of columns ends at the diagonal. */
static void multiply(const struct jackknife *jackknife, const struct passage *passage,
                     const struct tile *t)
{
    bool is_diagonal = t->row == t->col;
    size_t strip = is_diagonal ? STRIP_COLUMNS : t->n_cols, p = jackknife->m->p;

    for (size_t c = 0, n; c < t->n_cols; c += n) {
        n = t->n_cols - c < strip ? t->n_cols - c : strip;
        linalg_product_f32(jackknife->n_rows, is_diagonal ? c + n : t->n_rows, n,
                           passage->rows + t->row, p, passage->tile + c, t->n_cols, t->row > 0,
                           passage->product + c, t->n_cols);
    }
}

VECTOR_CLONES
static void add_row(size_t n, float factor, const float *row, float *sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += factor * row[i];
}

/* What some columns of ZU add to a'Ma = 2 a'Ua of the weighted sums of a pair. */
static void add_sums(struct jackknife *jackknife, const struct passage *passage, struct pair *pair,
                     size_t first, size_t n)
{
    double scale = 2 * jackknife->whole->t * jackknife->whole->t;

    for (enum omitted which = 0; which < N_OMISSIONS; which++) {
        struct omission *omission = &pair->omissions[which];
        double sum_scale = jackknife_sum_scale(jackknife, omission);
        float left[TILE_ORDER] = {0}, right[TILE_ORDER] = {0};

        for (size_t i = 0; i < omission->k; i++) {
            size_t row = pair->row + omission->from + i;
            float factor = (float)(sum_scale * jackknife->root[row]);

            add_row(n, factor, passage->product + row * n, left);
            add_row(n, factor, passage->rows + row * jackknife->m->p + first, right);
        }
        omission->through += scale * passes_dot_f32(n, left, right);
    }
}

/* a'Ma = 2 a'Ua, from one column of tiles after the other. */
static void go_through(struct jackknife *jackknife, const struct passage *passage)
{
    const struct tiles *xx = &jackknife->m->xx;
    double scale = 2 * jackknife->whole->t * jackknife->whole->t;

    for (size_t col = 0; col < xx->n_side; col++) {
        struct tile t;

        for (size_t row = 0; row <= col; row++) {
            t = tiles_at_place(xx, row, col);
            fill_tile(jackknife, &t, passage->tile);
            multiply(jackknife, passage, &t);
        }
        for (size_t i = 0; i < jackknife->n_rows; i++)
            jackknife->through[i] +=
                scale * passes_dot_f32(t.n_cols, passage->product + i * t.n_cols,
                                       passage->rows + i * jackknife->m->p + t.col);
        for (size_t i = 0; i < jackknife->n_pairs; i++)
            add_sums(jackknife, passage, &jackknife->pairs[i], t.col, t.n_cols);
    }
}

static int read_by_features(struct jackknife *jackknife)
{
    struct passage passage;

    if (passage_init(&passage, jackknife) < 0)
        return -ENOMEM;
    fill_third(jackknife, &passage);
    for (size_t i = 0; i < jackknife->n_pairs; i++)
        read_pair(jackknife, &passage, &jackknife->pairs[i]);
    go_through(jackknife, &passage);
    passage_release(&passage);
    return 0;
}

/* ---- the features, by XX' ---- */

/* N is a block of XX', and Xa a row of it: a'Ma = |Xa|^2, a'sum(w s x) = (Xa)'(sqrt(w) s). */
static void read_pair_of_kernel(struct jackknife *jackknife, struct pair *pair, const double *k,
                                const double *rooted, double *sum)
{
    size_t n = jackknife->kernel->n, first = pair->rows[0].at;

    for (size_t i = 0; i < pair->k; i++) {
        const double *row = k + (first + i) * n;

        memcpy(pair->n + i * pair->k, row + first, pair->k * sizeof *row);
        jackknife->through[pair->row + i] = linalg_sum_squares(n, row);
        jackknife->third[pair->row + i] = linalg_dot(n, row, rooted);
    }
    for (enum omitted which = 0; which < N_OMISSIONS; which++) {
        struct omission *omission = &pair->omissions[which];

        memset(sum, 0, n * sizeof *sum);
        linalg_matvec_f64(true, omission->k, n, k + (first + omission->from) * n, n,
                          jackknife->root + pair->row + omission->from, sum);
        for (size_t i = 0; i < n; i++)
            sum[i] *= jackknife_sum_scale(jackknife, omission);
        omission->through = linalg_sum_squares(n, sum);
    }
}

/* All rows are in the reservoir, in order, so a pair's rows follow each other. */
static int read_by_rows(struct jackknife *jackknife)
{
    size_t n = jackknife->kernel->n;
    double *k = malloc((n * n + 2 * n) * sizeof *k), *rooted;

    if (!k)
        return -ENOMEM;
    rooted = k + n * n;
    memcpy(k, jackknife->kernel->k, n * n * sizeof *k);
    mirror(n, k);
    kernel_rooted_squares(jackknife->kernel, rooted);
    for (size_t i = 0; i < jackknife->n_pairs; i++) {
        assert(jackknife->pairs[i].rows[1].at ==
               jackknife->pairs[i].rows[0].at + jackknife->pairs[i].rows[0].n);
        read_pair_of_kernel(jackknife, &jackknife->pairs[i], k, rooted, rooted + n);
    }
    free(k);
    return 0;
}

int jackknife_read_features(struct jackknife *jackknife)
{
    int rc = jackknife->kernel ? read_by_rows(jackknife) : read_by_features(jackknife);

    for (size_t i = 0; rc == 0 && i < jackknife->n_pairs; i++) {
        struct pair *pair = &jackknife->pairs[i];

        for (size_t j = 0; j < pair->k * pair->k; j++)
            pair->e[j] += pair->n[j];
    }
    return rc;
}
