#include "daemon/core/measure/units.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* A feature with less than this share of the mean variance does not vary. */
#define DEAD_SHARE 1e-12
/* Sokar et al.'s threshold of the score. */
#define DORMANT_SCORE 0.1
#define CLONE_SQUARED (0.999 * 0.999)

struct scan {
    size_t p;
    double *variance; /* p: W S_ii; 0 for a dead one */
    bool *is_clone;   /* p */
};

/* ---- variances ---------------------------------------------------------------------------- */

static void sum_columns(const struct moments *m, struct kernel *kernel, double *variance)
{
    for (size_t first = 0; first < m->p; first += TILE_ORDER) {
        size_t n_cols = m->p - first < TILE_ORDER ? m->p - first : TILE_ORDER;

        kernel_slice(kernel, m, first, n_cols);
        for (size_t c = 0; c < n_cols; c++)
            variance[first + c] = linalg_sum_squares(kernel->n, kernel->slice + c * kernel->n);
    }
}

/* Counts those that do not vary, and makes their variance 0. */
static size_t bury_dead(struct scan *scan)
{
    double total = 0, floor;
    size_t n = 0;

    for (size_t i = 0; i < scan->p; i++)
        total += scan->variance[i];
    floor = DEAD_SHARE * total / (double)scan->p;
    for (size_t i = 0; i < scan->p; i++) {
        if (scan->variance[i] > floor)
            continue;
        scan->variance[i] = 0;
        n++;
    }
    return n;
}

/* ---- activity ----------------------------------------------------------------------------- */

/* Whether the features of the kept rows are all >= 0; false where no row was kept. */
static bool is_never_negative(const struct moments *m)
{
    struct reservoir_group groups[RESERVOIR_GROUPS];
    size_t n = m->reservoir ? reservoir_groups(m->reservoir, SIZE_MAX, groups) : 0;

    for (size_t g = 0; g < n; g++) {
        const double *x = m->reservoir->x + groups[g].at * m->p;

        for (size_t i = 0; i < groups[g].n * m->p; i++) {
            if (x[i] < 0)
                return false;
        }
    }
    return n > 0;
}

static double count_dormant(const struct moments *m)
{
    double sum = 0, n = 0;

    if (!is_never_negative(m))
        return (double)NAN;
    for (size_t i = 0; i < m->p; i++)
        sum += m->mean_x[i];
    for (size_t i = 0; i < m->p; i++)
        n += m->mean_x[i] <= DORMANT_SCORE * sum / (double)m->p;
    return n;
}

/* ---- clones ------------------------------------------------------------------------------- */

/* Whether s_j^2 > limit variance_j > 0 for any j. Few rows have a clone, so the loop ends late: it
 * is a third faster without a branch. */
static bool has_clone(size_t n, const double *s, const double *variance, double limit)
{
    uint64_t found = 0;

    for (size_t j = 0; j < n; j++) {
        double both = limit * variance[j];

        found |= (uint64_t)(s[j] * s[j] > both) & (uint64_t)(both > 0);
    }
    return found != 0;
}

/* Marks the clones in a block of W S: rows row.., columns col... */
static void mark(struct scan *scan, const struct tile *block)
{
    for (size_t i = 0; i < block->n_rows; i++) {
        const double *s = block->values + i * block->n_cols;
        double limit = CLONE_SQUARED * scan->variance[block->row + i];
        size_t first = block->row == block->col ? i + 1 : 0;

        if (!has_clone(block->n_cols - first, s + first, scan->variance + block->col + first,
                       limit))
            continue;
        for (size_t j = first; j < block->n_cols; j++) {
            double both = limit * scan->variance[block->col + j];

            if (s[j] * s[j] > both && both > 0)
                scan->is_clone[block->row + i] = scan->is_clone[block->col + j] = true;
        }
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Blocks of W S from the rows, each used once: W S = (slice)(slice)'. */
static int mark_rows(struct scan *scan, const struct moments *m, struct kernel *kernel)
{
    size_t n = kernel->n, side = smaller(m->p, TILE_ORDER);
    double *left = malloc(side * (n + side) * sizeof *left);

    if (!left)
        return -ENOMEM;
    for (size_t row = 0; row < m->p; row += side) {
        struct tile block = {.row = row, .n_rows = smaller(m->p - row, side)};

        block.values = left + side * n;
        kernel_slice(kernel, m, row, block.n_rows);
        memcpy(left, kernel->slice, block.n_rows * n * sizeof *left);
        for (block.col = row; block.col < m->p; block.col += side) {
            block.n_cols = smaller(m->p - block.col, side);
            kernel_slice(kernel, m, block.col, block.n_cols);
            linalg_product_transposed_f64(block.n_rows, n, block.n_cols, left, n, kernel->slice, n,
                                          block.values, block.n_cols);
            mark(scan, &block);
        }
    }
    free(left);
    return 0;
}

static int count_clones(struct scan *scan, const struct moments *m, struct kernel *kernel,
                        double *out)
{
    double p = (double)m->p, n = m->weight * m->weight / m->weight_sq;
    int rc;

    *out = (double)NAN;
    if (!(n >= UNITS_CLONE_ROWS) || (kernel && p * p / 2 * (double)kernel->n > UNITS_CLONE_CHEAP))
        return 0;
    if (kernel) {
        rc = mark_rows(scan, m, kernel);
        if (rc < 0)
            return rc;
    }
    for (size_t k = 0; !kernel && k < m->xx.n_tiles; k++) {
        struct tile t = tiles_at(&m->xx, k);

        mark(scan, &t);
    }
    *out = 0;
    for (size_t i = 0; i < m->p; i++)
        *out += scan->is_clone[i];
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

int units_count(const struct moments *m, struct kernel *kernel, struct units *out)
{
    struct scan scan = {.p = m->p};
    double total = 0;
    int rc = -ENOMEM;

    assert(m->weight > 0 && m->by_rows == (kernel != NULL));
    scan.variance = calloc(m->p, sizeof *scan.variance);
    scan.is_clone = calloc(m->p, sizeof *scan.is_clone);
    if (scan.variance && scan.is_clone) {
        if (kernel)
            sum_columns(m, kernel, scan.variance);
        else
            tiles_diagonal(&m->xx, scan.variance);
        for (size_t i = 0; i < m->p; i++)
            total += scan.variance[i];
        out->norm = sqrt(total / m->weight + linalg_sum_squares(m->p, m->mean_x));
        out->dead = (double)bury_dead(&scan);
        out->dormant = count_dormant(m);
        rc = count_clones(&scan, m, kernel, &out->cloned);
    }
    free(scan.variance);
    free(scan.is_clone);
    return rc;
}

int units_count_varying(const struct moments *m, double *out)
{
    struct scan scan = {.p = m->p, .variance = malloc(m->p * sizeof *scan.variance)};

    if (!scan.variance)
        return -ENOMEM;
    tiles_diagonal(&m->xx, scan.variance);
    *out = (double)(m->p - bury_dead(&scan));
    free(scan.variance);
    return 0;
}
