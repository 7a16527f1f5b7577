/* Rows on their way to PostgreSQL, by columns: each column is one parameter, an array in the binary
 * form in which the server takes it (network byte order), so numbers arrive bit by bit and a batch
 * costs one statement. Owned and used by one thread. A row is begun, filled in the order of its
 * columns, and kept or undone. When memory runs out nothing more is taken, and rows_failed() says
 * so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A point has 45; libpq takes 65,535. */
#define ROWS_COLUMNS_MAX 80

enum rows_type {
    ROWS_INTEGER, /* int8 */
    ROWS_NUMBER,  /* float8 */
    ROWS_TEXT,
    ROWS_BYTES, /* bytea */
};

struct rows_column {
    enum rows_type type;
    char *data; /* the array: its head, then the elements */
    size_t size, room;
    size_t kept; /* size up to the last whole row */
};

struct rows {
    struct rows_column column[ROWS_COLUMNS_MAX];
    size_t n_columns;
    size_t n; /* whole rows */
    bool has_failed;
};

void rows_init(struct rows *, const enum rows_type *types, size_t n_columns);
void rows_release(struct rows *);
/* Forgets the rows, and keeps the memory. */
void rows_clear(struct rows *);

void rows_put_null(struct rows *, size_t column);
void rows_put_integer(struct rows *, size_t column, int64_t value);
void rows_put_number(struct rows *, size_t column, double value);
/* Of a text or of bytes. */
void rows_put_bytes(struct rows *, size_t column, const void *data, size_t size);

/* The row is whole, or not wanted after all. */
void rows_keep(struct rows *);
void rows_undo(struct rows *);

/* The array of a column, with its head written. */
const char *rows_array(struct rows *, size_t column, int *size);
size_t rows_bytes(const struct rows *);
