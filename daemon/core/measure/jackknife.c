#include "daemon/core/measure/jackknife.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

#define N_PAIRS (RESERVOIR_RUNS / 2)

/* Symbols as in the header. What is left out: group g, group h, or both. */
enum member {
    PART_G,
    PART_H,
    PART_BOTH,
    N_PARTS,
};

/* The rows of A for one part: `k` columns of its pair from `from` on, the weighted sum at `sum`. */
struct part {
    size_t from, k, sum;
    double weight;    /* W_g */
    double weight_sq; /* sum of w^2 */
    double third;     /* the weighted sum's row of A times sum(w s x) over the window */
};

/* Two groups side by side, as columns of one matrix: A' is p x n_cols, V' is r x n_cols, and a pair
 * has columns col..col+k-1, in an order in which each part is contiguous:
 *
 *     sum of g | rows of g | sum of both | rows of h | sum of h
 */
struct pair {
    struct reservoir_group rows[2];
    struct part parts[N_PARTS];
    size_t col, k;
    double *n;  /* N = AA', k x k */
    double *ff; /* FF' */
    double *fa; /* FA' */
};

struct jackknife {
    const struct moments *m;
    struct kernel *kernel; /* NULL: X'X is there */
    const struct span *outputs;
    const struct sums *whole;
    struct pair pairs[N_PAIRS];
    size_t n_pairs, n_cols, k_max;
    double *root;    /* n_cols: sqrt(w); of a sum 1 / sqrt(W - W_g) */
    double *through; /* n_cols: a'Ma for each column a */
    double *v;       /* r x n_cols */
    double *third;   /* p: sum(w s x) about the mean; p of scratch */

    double *slice;                 /* TILE_ORDER x n_cols: some rows of A' */
    double *fitted;                /* TILE_ORDER x n_cols: the same rows of F' */
    double *inside;                /* TILE_ORDER x r: the same rows of X'Q */
    float *left, *right, *product; /* TILE_ORDER x n_cols */
    float *tile;                   /* TILE_ORDER^2 */
    double *grams;                 /* of the pairs */
    double *products;              /* with the kernel: n x n_cols, XA' */
    double *scratch;               /* 7 k_max^2 */
};

static void release(struct jackknife *j)
{
    free(j->root);
    free(j->through);
    free(j->v);
    free(j->third);
    free(j->slice);
    free(j->fitted);
    free(j->inside);
    free(j->left);
    free(j->right);
    free(j->product);
    free(j->tile);
    free(j->grams);
    free(j->scratch);
    free(j->products);
}

static int allocate(struct jackknife *j)
{
    size_t t = j->m->p < TILE_ORDER ? j->m->p : TILE_ORDER, k = j->k_max, n = j->n_cols;
    size_t r = j->outputs->rank;

    j->root = malloc(n * sizeof(double));
    j->through = calloc(n, sizeof(double));
    j->v = malloc(r * n * sizeof(double));
    j->third = malloc(2 * j->m->p * sizeof(double));
    j->slice = malloc(t * n * sizeof(double));
    j->fitted = malloc(t * n * sizeof(double));
    j->inside = malloc(t * r * sizeof(double));
    j->left = malloc(t * n * sizeof(float));
    j->right = malloc(t * n * sizeof(float));
    j->product = malloc(t * n * sizeof(float));
    j->tile = malloc(t * t * sizeof(float));
    j->grams = calloc(3 * j->n_pairs * k * k, sizeof(double));
    j->scratch = malloc(7 * k * k * sizeof(double));
    j->products = malloc((j->kernel ? j->kernel->n : 1) * n * sizeof(double));
    return j->root && j->through && j->v && j->third && j->slice && j->fitted && j->inside &&
                   j->left && j->right && j->product && j->tile && j->grams && j->scratch &&
                   j->products
               ? 0
               : -ENOMEM;
}

/* ---- the groups ---------------------------------------------------------------------------- */

static void add_part(struct pair *pair, enum member which, size_t from, size_t k, size_t sum)
{
    pair->parts[which].from = from;
    pair->parts[which].k = k;
    pair->parts[which].sum = sum;
}

static void weigh(const struct reservoir *reservoir, const struct reservoir_group *rows,
                  struct part *part)
{
    for (size_t i = 0; i < rows->n; i++) {
        double w = reservoir_weight(reservoir, rows, i);

        part->weight += w;
        part->weight_sq += w * w;
    }
}

static void add_pair(struct jackknife *j, const struct reservoir_group *g,
                     const struct reservoir_group *h)
{
    struct pair *pair = &j->pairs[j->n_pairs];
    struct part *parts = pair->parts;

    *pair = (struct pair){.rows = {*g, *h}, .col = j->n_cols, .k = g->n + h->n + 3};
    add_part(pair, PART_G, 0, g->n + 1, 0);
    add_part(pair, PART_BOTH, 1, g->n + h->n + 1, g->n);
    add_part(pair, PART_H, g->n + 2, h->n + 1, h->n);
    weigh(j->m->reservoir, g, &parts[PART_G]);
    weigh(j->m->reservoir, h, &parts[PART_H]);
    parts[PART_BOTH].weight = parts[PART_G].weight + parts[PART_H].weight;
    parts[PART_BOTH].weight_sq = parts[PART_G].weight_sq + parts[PART_H].weight_sq;
    if (!(parts[PART_G].weight > 0 && parts[PART_H].weight > 0 &&
          parts[PART_BOTH].weight < j->m->weight))
        return;
    j->n_pairs++;
    j->n_cols += pair->k;
    j->k_max = pair->k > j->k_max ? pair->k : j->k_max;
}

/* Pairs that weigh something, and without which something is left. */
static void find_pairs(struct jackknife *j)
{
    struct reservoir_group rows[RESERVOIR_RUNS];
    size_t n = reservoir_groups(j->m->reservoir, rows);

    for (size_t i = 0; i < n; i++)
        rows[i].n = rows[i].n < JACKKNIFE_GROUP_ROWS ? rows[i].n : JACKKNIFE_GROUP_ROWS;
    for (size_t i = 0; i + 1 < n; i += 2)
        add_pair(j, &rows[i], &rows[i + 1]);
}

/* The place of a pair's row, counted over both groups, or of a part's sum among the columns. */
static size_t row_column(const struct pair *pair, size_t group, size_t i)
{
    return pair->col + (group == 0 ? 1 : pair->rows[0].n + 2) + i;
}

static size_t sum_column(const struct pair *pair, enum member which)
{
    return pair->col + pair->parts[which].from + pair->parts[which].sum;
}

static void weigh_columns(struct jackknife *j)
{
    size_t kk = j->k_max * j->k_max;

    for (size_t i = 0; i < j->n_pairs; i++) {
        struct pair *pair = &j->pairs[i];

        for (size_t group = 0; group < 2; group++) {
            for (size_t row = 0; row < pair->rows[group].n; row++)
                j->root[row_column(pair, group, row)] =
                    sqrt(reservoir_weight(j->m->reservoir, &pair->rows[group], row));
        }
        for (enum member part = 0; part < N_PARTS; part++)
            j->root[sum_column(pair, part)] = 1 / sqrt(j->m->weight - pair->parts[part].weight);
        pair->n = j->grams + 3 * i * kk;
        pair->ff = pair->n + kk;
        pair->fa = pair->ff + kk;
    }
}

/* `values` are kept rows, `width` wide, about `mean`; columns first..first+n-1 of them become
 * `scale` times rows of A', or of its like for Y. */
struct source {
    const double *values, *mean;
    size_t width, first, n;
    double scale;
};

/* One group's rows, and their sum into the column of the group and of both. */
static void fill_group(const struct jackknife *j, const struct pair *pair, size_t group,
                       const struct source *s, double *out)
{
    double *own = out + sum_column(pair, group == 0 ? PART_G : PART_H);
    double *both = out + sum_column(pair, PART_BOTH);

    for (size_t row = 0; row < pair->rows[group].n; row++) {
        const double *from = s->values + (pair->rows[group].at + row) * s->width + s->first;
        size_t col = row_column(pair, group, row);
        double root = j->root[col], *to = out + col;

        for (size_t c = 0; c < s->n; c++) {
            double z = s->scale * root * (from[c] - s->mean[s->first + c]);

            to[c * j->n_cols] = z;
            own[c * j->n_cols] += root * z;
            both[c * j->n_cols] += root * z;
        }
    }
}

/* out is n x n_cols. */
static void fill_slice(const struct jackknife *j, const struct source *s, double *out)
{
    for (size_t i = 0; i < j->n_pairs; i++) {
        const struct pair *pair = &j->pairs[i];

        for (enum member part = 0; part < N_PARTS; part++) {
            for (size_t c = 0; c < s->n; c++)
                out[c * j->n_cols + sum_column(pair, part)] = 0;
        }
        fill_group(j, pair, 0, s, out);
        fill_group(j, pair, 1, s, out);
        for (enum member part = 0; part < N_PARTS; part++) {
            size_t col = sum_column(pair, part);

            for (size_t c = 0; c < s->n; c++)
                out[c * j->n_cols + col] *= j->root[col];
        }
    }
}

static void fill_features(const struct jackknife *j, size_t first, size_t n, double scale)
{
    struct source s = {.values = j->m->reservoir->x,
                       .mean = j->m->mean_x,
                       .width = j->m->p,
                       .first = first,
                       .n = n,
                       .scale = scale};

    fill_slice(j, &s, j->slice);
}

/* V' = basis' times the outputs' A'. */
static int fill_v(struct jackknife *j)
{
    const struct span *o = j->outputs;
    struct source s = {.values = j->m->reservoir->y,
                       .mean = j->m->mean_y,
                       .width = j->m->w,
                       .first = o->first,
                       .n = o->n_columns,
                       .scale = 1};
    double *y = malloc(o->n_columns * j->n_cols * sizeof(double));

    if (!y)
        return -ENOMEM;
    fill_slice(j, &s, y);
    linalg_cross_f64(o->n_columns, o->rank, j->n_cols, o->basis, o->rank, y, j->n_cols, 0, j->v,
                     j->n_cols);
    free(y);
    return 0;
}

/* ---- passes over the features -------------------------------------------------------------- */

/* One column tile: what it adds to N, FF', FA' and to A sum(w s x). */
static void add_grams(struct jackknife *j, size_t first, size_t n)
{
    size_t ld = j->n_cols, r = j->outputs->rank;

    fill_features(j, first, n, 1);
    span_rows(j->outputs, j->m, first, n, j->inside);
    linalg_product_f64(n, r, ld, j->inside, r, j->v, ld, j->fitted, ld);
    for (size_t i = 0; i < j->n_pairs; i++) {
        struct pair *pair = &j->pairs[i];
        const double *a = j->slice + pair->col, *f = j->fitted + pair->col;

        linalg_gram_f64(n, pair->k, a, ld, 1, pair->n, pair->k);
        linalg_gram_f64(n, pair->k, f, ld, 1, pair->ff, pair->k);
        linalg_cross_f64(n, pair->k, pair->k, f, ld, a, ld, 1, pair->fa, pair->k);
        for (enum member part = 0; part < N_PARTS; part++) {
            const double *sum = j->slice + sum_column(pair, part);

            for (size_t c = 0; c < n; c++)
                pair->parts[part].third += j->third[first + c] * sum[c * ld];
        }
    }
}

static void narrow(size_t n, const double *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

/* A' / sqrt(t): no element exceeds 1, and neither does one of M / t. */
static void fill_narrow(struct jackknife *j, size_t first, size_t n, float *to)
{
    fill_features(j, first, n, 1 / sqrt(j->whole->t));
    narrow(n * j->n_cols, j->slice, to);
}

static void fill_tile(struct jackknife *j, const struct tile *t)
{
    double scale = 1 / j->whole->t;

    for (size_t i = 0; i < t->n_rows; i++) {
        for (size_t c = 0; c < t->n_cols; c++) {
            size_t at = t->row == t->col && c < i ? c * t->n_cols + i : i * t->n_cols + c;

            j->tile[i * t->n_cols + c] = (float)(scale * t->values[at]);
        }
    }
}

/* What one tile of M adds to a'Ma: the product in single precision, its sum in double. */
static void add_through(struct jackknife *j, const struct tile *t, const float *right)
{
    double scale = j->whole->t * j->whole->t * (t->row == t->col ? 1 : 2);
    size_t ld = j->n_cols;

    fill_tile(j, t);
    linalg_cross_f32(t->n_rows, t->n_cols, ld, j->tile, t->n_cols, j->left, ld, j->product, ld);
    for (size_t i = 0; i < t->n_cols; i++) {
        for (size_t c = 0; c < ld; c++)
            j->through[c] += scale * j->product[i * ld + c] * right[i * ld + c];
    }
}

static void walk_tiles(struct jackknife *j)
{
    for (size_t k = 0; k < j->m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&j->m->xx, k);

        if (t.row == t.col) {
            add_grams(j, t.row, t.n_rows);
            fill_narrow(j, t.row, t.n_rows, j->left);
            add_through(j, &t, j->left);
        } else {
            fill_narrow(j, t.col, t.n_cols, j->right);
            add_through(j, &t, j->right);
        }
    }
}

/* a'Ma = |Xa|^2, from the rows of X. */
static void walk_rows(struct jackknife *j)
{
    size_t n = j->kernel->n, ld = j->n_cols;

    for (size_t first = 0; first < j->m->p; first += TILE_ORDER) {
        size_t n_cols = j->m->p - first < TILE_ORDER ? j->m->p - first : TILE_ORDER;

        add_grams(j, first, n_cols);
        kernel_slice(j->kernel, j->m, first, n_cols);
        linalg_cross_f64(n_cols, n, ld, j->kernel->slice, n, j->slice, ld, first > 0, j->products,
                         ld);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < ld; c++)
            j->through[c] += j->products[i * ld + c] * j->products[i * ld + c];
    }
}

/* sum(w s x) about the mean m, from the sum about the shift. With d = m - shift and z = x - m:
 *     sum w |z + d|^2 (z + d) = sum w s z + 2 M d + t d + W |d|^2 d */
static int fill_third(struct jackknife *j)
{
    const struct moments *m = j->m;
    double *d = j->third + m->p, *md = j->third, d2;

    if (j->kernel)
        return kernel_third(j->kernel, m, j->third);
    for (size_t i = 0; i < m->p; i++)
        d[i] = m->mean_x[i] - m->shift[i];
    d2 = linalg_sum_squares(m->p, d);
    tiles_matvec(&m->xx, d, md);
    for (size_t i = 0; i < m->p; i++)
        j->third[i] = m->sum_sx[i] - 2 * md[i] - (j->whole->t + m->weight * d2) * d[i];
    return 0;
}

/* ---- without one part ---------------------------------------------------------------------- */

/* The k x k matrices of one part. */
struct matrices {
    size_t k;
    double *h, *n, *ff, *fa, *rest, *residual, *scratch;
};

/* A part's block of a pair's matrix, of which the upper triangle is valid when `symmetric`. */
static void copy_block(const struct pair *pair, const struct part *part, const double *from,
                       bool symmetric, double *to)
{
    for (size_t i = 0; i < part->k; i++) {
        for (size_t l = 0; l < part->k; l++) {
            size_t row = part->from + (symmetric && l < i ? l : i);
            size_t col = part->from + (symmetric && l < i ? i : l);

            to[i * part->k + l] = from[row * pair->k + col];
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

static struct matrices matrices_of(const struct jackknife *j, const struct pair *pair,
                                   const struct part *part)
{
    size_t kk = j->k_max * j->k_max;
    struct matrices out = {
        .k = part->k,
        .h = j->scratch,
        .n = j->scratch + kk,
        .ff = j->scratch + 2 * kk,
        .fa = j->scratch + 3 * kk,
        .rest = j->scratch + 4 * kk,
        .residual = j->scratch + 5 * kk,
        .scratch = j->scratch + 6 * kk,
    };

    copy_block(pair, part, pair->n, true, out.n);
    copy_block(pair, part, pair->ff, true, out.ff);
    copy_block(pair, part, pair->fa, false, out.fa);
    linalg_gram_f64(j->outputs->rank, part->k, j->v + pair->col + part->from, j->n_cols, 0, out.h,
                    part->k);
    mirror(part->k, out.h);
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

/* q without the part; NaN when the outputs lose rank with it. */
static int q_without(const struct jackknife *j, const struct matrices *x, double *q)
{
    size_t k = x->k;
    int rc;

    fill_residual(x);
    for (size_t i = 0; i < k; i++) {
        for (size_t l = 0; l < k; l++)
            x->rest[i * k + l] = (i == l) - x->h[i * k + l];
    }
    rc = linalg_solve(k, x->rest, k, x->residual);
    *q = j->whole->q - 2 * trace(k, x->fa) + linalg_dot(k * k, x->h, x->n) + trace(k, x->residual);
    if (rc == -EDOM)
        *q = (double)NAN;
    return rc == -EDOM ? 0 : rc;
}

/* sum w |x - m'|^4 over the rows that stay, about their own mean m' = m + e, e = -z / (W - W_g):
 *     |x - e|^4 = s^2 + 4 (e'x)^2 + |e|^4 - 4 s e'x + 2 s |e|^2 - 4 |e|^2 e'x
 * with x about m; over the rows that stay sum w x = (W - W_g) e. The sum's row of A is -e times
 * sqrt(W - W_g), so that N holds every e'x. */
static double fourth_without(const struct jackknife *j, const struct pair *pair,
                             const struct part *part, const struct matrices *x)
{
    size_t k = x->k, col = pair->col + part->from;
    double left = j->whole->weight - part->weight, e2 = x->n[part->sum * (k + 1)] / left;
    double squares = j->through[col + part->sum] / left, third = -part->third / sqrt(left);
    double s1 = 0, s2 = 0;

    for (size_t i = 0; i < k; i++) {
        double root = j->root[col + i], s = x->n[i * (k + 1)]; /* w s */
        double ex = -x->n[i * k + part->sum] / sqrt(left);     /* sqrt(w) e'x */

        if (i == part->sum || root == 0)
            continue;
        squares -= ex * ex;
        third -= s * ex / root;
        s1 += s;
        s2 += s * s / (root * root);
    }
    return j->whole->fourth - s2 + 4 * squares - 4 * third + 2 * e2 * (j->whole->t - s1) -
           3 * left * e2 * e2;
}

static int sums_without(const struct jackknife *j, const struct pair *pair, const struct part *part,
                        struct sums *out)
{
    struct matrices x = matrices_of(j, pair, part);
    double through = 0;

    for (size_t i = 0; i < x.k; i++)
        through += j->through[pair->col + part->from + i];
    *out = (struct sums){
        .weight = j->whole->weight - part->weight,
        .weight_sq = j->whole->weight_sq - part->weight_sq,
        .t = j->whole->t - trace(x.k, x.n),
        .f = j->whole->f - 2 * through + linalg_sum_squares(x.k * x.k, x.n),
        .fourth = fourth_without(j, pair, part, &x),
    };
    return q_without(j, &x, &out->q);
}

/* ---- their spread -------------------------------------------------------------------------- */

/* psi of each part of each pair. */
typedef double influence[N_PAIRS][N_PARTS];

/* sigma^2 of the header: what one row of weight 1 does alone. */
static double row_variance(const struct jackknife *j, influence psi)
{
    double sum = 0, weight = 0, squares = 0;

    for (size_t i = 0; i < j->n_pairs; i++) {
        for (enum member g = PART_G; g <= PART_H; g++) {
            sum += j->pairs[i].parts[g].weight * psi[i][g];
            weight += j->pairs[i].parts[g].weight;
        }
    }
    for (size_t i = 0; i < j->n_pairs; i++) {
        for (enum member g = PART_G; g <= PART_H; g++) {
            const struct part *part = &j->pairs[i].parts[g];
            double d = (psi[i][g] - sum / weight) * part->weight;

            squares += d * d / part->weight_sq;
        }
    }
    return squares / (double)(2 * j->n_pairs - 1);
}

/* The variance of Q, scaled to what two rows of weight 1 do together: with n = W^2 / sum w^2 equal
 * rows and groups of d, Q is 1/n of a sum of d^2 such terms over d. */
static double pair_variance(const struct jackknife *j, influence psi)
{
    double q[N_PAIRS], mean = 0, sum = 0;

    for (size_t i = 0; i < j->n_pairs; i++) {
        const struct part *g = &j->pairs[i].parts[PART_G], *h = &j->pairs[i].parts[PART_H];
        double both = g->weight + h->weight;
        double apart = (g->weight * psi[i][PART_G] + h->weight * psi[i][PART_H]) / both;

        q[i] = 2 * (psi[i][PART_BOTH] - apart) * 2 * j->whole->weight / both * g->weight *
               h->weight / sqrt(g->weight_sq * h->weight_sq);
        mean += q[i] / (double)j->n_pairs;
    }
    for (size_t i = 0; i < j->n_pairs; i++)
        sum += (q[i] - mean) * (q[i] - mean);
    return sum / (double)(j->n_pairs - 1);
}

/* NaN when an influence is. */
static double standard_error(const struct jackknife *j, influence psi)
{
    double n = estimate_n_rows(j->whole), var = row_variance(j, psi) / n;
    double twice = pair_variance(j, psi) / (2 * n * n);

    return sqrt(twice > var / 2 ? var / 2 : var - twice);
}

static int leave_each_out(struct jackknife *j, struct estimate *errors)
{
    double r = (double)j->outputs->rank;
    struct estimate all = estimate_richness(j->whole, r);
    influence plain, debiased;

    for (size_t i = 0; i < j->n_pairs; i++) {
        for (enum member g = 0; g < N_PARTS; g++) {
            const struct part *part = &j->pairs[i].parts[g];
            struct sums sums;
            struct estimate without;
            int rc = sums_without(j, &j->pairs[i], part, &sums);

            if (rc < 0)
                return rc;
            without = estimate_richness(&sums, r);
            plain[i][g] = (without.plain - all.plain) * sums.weight / part->weight;
            debiased[i][g] = (without.debiased - all.debiased) * sums.weight / part->weight;
        }
    }
    errors->plain = standard_error(j, plain);
    errors->debiased = standard_error(j, debiased);
    return 0;
}

int jackknife_measure(const struct moments *m, struct kernel *kernel, const struct span *outputs,
                      const struct sums *whole, struct estimate *errors)
{
    struct jackknife j = {.m = m, .kernel = kernel, .outputs = outputs, .whole = whole};
    int rc;

    *errors = (struct estimate){(double)NAN, (double)NAN};
    if (!m->reservoir || outputs->rank == 0)
        return 0;
    find_pairs(&j);
    if (2 * j.n_pairs < JACKKNIFE_MIN_GROUPS)
        return 0;
    rc = allocate(&j);
    if (rc == 0) {
        weigh_columns(&j);
        rc = fill_v(&j);
    }
    if (rc == 0)
        rc = fill_third(&j);
    if (rc == 0) {
        if (kernel)
            walk_rows(&j);
        else
            walk_tiles(&j);
        rc = leave_each_out(&j, errors);
    }
    release(&j);
    return rc;
}
