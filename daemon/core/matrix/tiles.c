#include "daemon/core/matrix/tiles.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Shape for order p, without memory. */
static struct tiles layout(size_t p)
{
    struct tiles t = {.p = p, .order = smaller(p, TILE_ORDER)};

    t.n_side = (p + t.order - 1) / t.order;
    t.n_tiles = t.n_side * (t.n_side + 1) / 2;
    for (size_t i = 0; i < t.n_side; i++)
        t.n_values += smaller(t.order, p - i * t.order) * (p - i * t.order);
    return t;
}

int tiles_init(struct tiles *t, size_t p)
{
    assert(p > 0);
    *t = layout(p);
    t->values = malloc(t->n_values * sizeof *t->values);
    return t->values ? 0 : -ENOMEM;
}

void tiles_release(struct tiles *t)
{
    free(t->values);
    memset(t, 0, sizeof *t);
}

/* Tiles of one row of tiles follow each other, so a tile starts after all rows of tiles above it
 * (full ones: only the last row of tiles can be narrow) and its left neighbours. */
struct tile tiles_at_place(const struct tiles *t, size_t i, size_t j)
{
    struct tile tile = {.row = i * t->order, .col = j * t->order};
    size_t above = i * (2 * t->p + t->order - i * t->order) / 2;

    assert(i <= j && j < t->n_side);
    tile.n_rows = smaller(t->order, t->p - tile.row);
    tile.n_cols = smaller(t->order, t->p - tile.col);
    tile.values = t->values + t->order * above + tile.n_rows * (tile.col - tile.row);
    return tile;
}

struct tile tiles_at(const struct tiles *t, size_t k)
{
    size_t i = 0;

    assert(k < t->n_tiles);
    for (; k >= t->n_side - i; i++)
        k -= t->n_side - i;
    return tiles_at_place(t, i, i + k);
}

double tiles_trace(const struct tiles *t)
{
    double sum = 0;

    for (size_t k = 0; k < t->n_tiles; k++) {
        struct tile tile = tiles_at(t, k);

        if (tile.row != tile.col)
            continue;
        for (size_t i = 0; i < tile.n_rows; i++)
            sum += tile.values[i * tile.n_cols + i];
    }
    return sum;
}

void tiles_diagonal(const struct tiles *t, double *out)
{
    for (size_t k = 0; k < t->n_tiles; k++) {
        struct tile tile = tiles_at(t, k);

        for (size_t i = 0; tile.row == tile.col && i < tile.n_rows; i++)
            out[tile.row + i] = tile.values[i * (tile.n_cols + 1)];
    }
}

static double upper_sum_squares(const struct tile *tile)
{
    double sum = 0;

    for (size_t i = 0; i < tile->n_rows; i++) {
        const double *row = tile->values + i * tile->n_cols;

        sum += row[i] * row[i];
        sum += 2 * linalg_sum_squares(tile->n_cols - i - 1, row + i + 1);
    }
    return sum;
}

double tiles_sum_squares(const struct tiles *t)
{
    double sum = 0;

    for (size_t k = 0; k < t->n_tiles; k++) {
        struct tile tile = tiles_at(t, k);

        if (tile.row == tile.col)
            sum += upper_sum_squares(&tile);
        else
            sum += 2 * linalg_sum_squares(tile.n_rows * tile.n_cols, tile.values);
    }
    return sum;
}

void tiles_matvec(const struct tiles *t, const double *x, double *y)
{
    memset(y, 0, t->p * sizeof *y);
    for (size_t k = 0; k < t->n_tiles; k++) {
        struct tile tile = tiles_at(t, k);

        if (tile.row == tile.col) {
            linalg_symmetric_matvec_f64(tile.n_rows, tile.values, tile.n_cols, x + tile.row,
                                        y + tile.row);
            continue;
        }
        linalg_matvec_f64(false, tile.n_rows, tile.n_cols, tile.values, tile.n_cols, x + tile.col,
                          y + tile.row);
        linalg_matvec_f64(true, tile.n_rows, tile.n_cols, tile.values, tile.n_cols, x + tile.row,
                          y + tile.col);
    }
}

void tiles_product(const struct tiles *t, size_t k, const double *x, double *y)
{
    memset(y, 0, t->p * k * sizeof *y);
    for (size_t i = 0; i < t->n_tiles; i++) {
        struct tile tile = tiles_at(t, i);
        const double *x_row = x + tile.row * k, *x_col = x + tile.col * k;

        if (tile.row == tile.col) {
            linalg_add_symmetric_product_f64(tile.n_rows, k, tile.values, tile.n_cols, x_row, k,
                                             y + tile.row * k, k);
            continue;
        }
        linalg_add_product_f64(tile.n_rows, tile.n_cols, k, tile.values, tile.n_cols, x_col, k,
                               y + tile.row * k, k);
        linalg_cross_f64(tile.n_rows, tile.n_cols, k, tile.values, tile.n_cols, x_row, k, 1,
                         y + tile.col * k, k);
    }
}
