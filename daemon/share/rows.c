#include "daemon/share/rows.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* An array: number of dimensions, whether NULLs may be in it, the elements' type, and of the one
 * dimension the length and the first index; 4 bytes each. An element: its length in 4 bytes, -1 for
 * NULL, then its bytes. PostgreSQL's array_recv() is the authority. */
#define HEAD_BYTES 20
/* What one parameter may have; a batch stays far below it (push_read.c). */
#define COLUMN_BYTES_MAX (512u << 20)

/* pg_type.h: the number of a type is the same in all servers that speak the protocol. */
static const uint32_t type_numbers[] = {
    [ROWS_INTEGER] = 20, [ROWS_NUMBER] = 701, [ROWS_TEXT] = 25, [ROWS_BYTES] = 17};

void rows_init(struct rows *rows, const enum rows_type *types, size_t n_columns)
{
    assert(n_columns <= ROWS_COLUMNS_MAX);
    memset(rows, 0, sizeof *rows);
    rows->n_columns = n_columns;
    for (size_t i = 0; i < n_columns; i++) {
        rows->column[i].type = types[i];
        rows->column[i].size = rows->column[i].kept = HEAD_BYTES;
    }
}

void rows_release(struct rows *rows)
{
    for (size_t i = 0; i < rows->n_columns; i++)
        free(rows->column[i].data);
    memset(rows, 0, sizeof *rows);
}

void rows_clear(struct rows *rows)
{
    for (size_t i = 0; i < rows->n_columns; i++)
        rows->column[i].size = rows->column[i].kept = HEAD_BYTES;
    rows->n = 0;
    rows->has_failed = false;
}

/* Room for so many bytes more, behind the head at least. */
static bool reserve(struct rows *rows, struct rows_column *column, size_t size)
{
    size_t room = column->room ? column->room : 256;
    char *data;

    if (rows->has_failed || size > COLUMN_BYTES_MAX - column->size) {
        rows->has_failed = true;
        return false;
    }
    if (column->size + size <= column->room)
        return true;
    while (room < column->size + size)
        room *= 2;
    data = realloc(column->data, room);
    if (!data) {
        rows->has_failed = true;
        return false;
    }
    column->data = data;
    column->room = room;
    return true;
}

static void put_length(char *at, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);

    memcpy(at, &wire, sizeof wire);
}

static void put_element(struct rows *rows, size_t i, const void *data, size_t size)
{
    struct rows_column *column = &rows->column[i];

    if (!reserve(rows, column, 4 + size))
        return;
    put_length(column->data + column->size, (int32_t)size);
    memcpy(column->data + column->size + 4, data, size);
    column->size += 4 + size;
}

void rows_put_null(struct rows *rows, size_t i)
{
    struct rows_column *column = &rows->column[i];

    if (!reserve(rows, column, 4))
        return;
    put_length(column->data + column->size, -1);
    column->size += 4;
}

static void put_word(struct rows *rows, size_t i, uint64_t bits)
{
    uint64_t wire = htobe64(bits);

    put_element(rows, i, &wire, sizeof wire);
}

void rows_put_integer(struct rows *rows, size_t i, int64_t value)
{
    assert(rows->column[i].type == ROWS_INTEGER);
    put_word(rows, i, (uint64_t)value);
}

void rows_put_number(struct rows *rows, size_t i, double value)
{
    uint64_t bits;

    assert(rows->column[i].type == ROWS_NUMBER);
    memcpy(&bits, &value, sizeof bits);
    put_word(rows, i, bits);
}

void rows_put_bytes(struct rows *rows, size_t i, const void *data, size_t size)
{
    assert(rows->column[i].type == ROWS_TEXT || rows->column[i].type == ROWS_BYTES);
    put_element(rows, i, data ? data : "", data ? size : 0);
}

void rows_keep(struct rows *rows)
{
    if (rows->has_failed)
        return;
    for (size_t i = 0; i < rows->n_columns; i++) {
        assert(rows->column[i].size > rows->column[i].kept);
        rows->column[i].kept = rows->column[i].size;
    }
    rows->n++;
}

void rows_undo(struct rows *rows)
{
    for (size_t i = 0; i < rows->n_columns; i++)
        rows->column[i].size = rows->column[i].kept;
}

const char *rows_array(struct rows *rows, size_t i, int *size)
{
    struct rows_column *column = &rows->column[i];
    const int32_t head[] = {1, 1, (int32_t)type_numbers[column->type], (int32_t)rows->n, 1};

    assert(rows->n > 0 && column->data);
    for (size_t j = 0; j < sizeof head / sizeof *head; j++)
        put_length(column->data + 4 * j, head[j]);
    *size = (int)column->kept;
    return column->data;
}

size_t rows_bytes(const struct rows *rows)
{
    size_t size = 0;

    for (size_t i = 0; i < rows->n_columns; i++)
        size += rows->column[i].kept - HEAD_BYTES;
    return size;
}
