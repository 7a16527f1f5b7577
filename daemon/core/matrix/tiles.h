/* A symmetric p x p matrix of doubles kept as the upper triangle of T x T tiles: 4 p^2 bytes in
 * place of 8 p^2, and pieces that different workers may write at the same time. Owns its memory; a
 * tile is written by one thread at a time, which the caller sees to. What the matrix means is not
 * known here.
 *
 *        0   1   2        tile (i, j), i <= j, is rows i*T.. and columns j*T.., row-major and
 *    0  \0   1   2        contiguous; edge tiles are smaller. A diagonal tile is a full square of
 *    1      \3   4        which the upper triangle is valid.
 *    2          \5
 */
#pragma once

#include <stddef.h>

/* Measured on 2 cores at p = 1024..4096: 256 is 5-10 % slower at 4096, 1024 starves a core at 1024.
 */
#define TILE_ORDER 512

struct tiles {
    size_t p;
    size_t order;    /* T, or p when that is smaller */
    size_t n_side;   /* tiles a side */
    size_t n_tiles;  /* n_side (n_side + 1) / 2 */
    size_t n_values; /* doubles in `values` */
    double *values;
};

struct tile {
    size_t row, col;       /* of its upper left element in the matrix */
    size_t n_rows, n_cols; /* its own shape; the leading dimension is n_cols */
    double *values;
};

/* Allocates; the values are not set. Returns 0 or -ENOMEM, after which release is harmless. */
int tiles_init(struct tiles *, size_t p);
void tiles_release(struct tiles *);

/* The k-th tile in the order drawn above, 0 <= k < n_tiles. */
struct tile tiles_at(const struct tiles *, size_t k);
/* Tile (i, j), i <= j < n_side. */
struct tile tiles_at_place(const struct tiles *, size_t i, size_t j);

double tiles_trace(const struct tiles *);
/* out (p) = the diagonal. */
void tiles_diagonal(const struct tiles *, double *out);
/* Squared Frobenius norm of the whole matrix. */
double tiles_sum_squares(const struct tiles *);
/* y = A x; x and y have p elements and do not overlap. */
void tiles_matvec(const struct tiles *, const double *x, double *y);
/* Y = A X; X and Y are p x k, row-major, and do not overlap. */
void tiles_product(const struct tiles *, size_t k, const double *x, double *y);
