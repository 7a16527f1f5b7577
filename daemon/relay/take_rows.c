#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/relay/take_parts.h"
#include "proto/wire.h"

/* Cells of one batch: 64 runs of 4,096 ranks have 1.6 million. A cell takes 24 bytes. */
#define CELLS_MAX (2 << 20)
/* Columns that another version may send. */
#define COLUMNS_MAX 512
/* A configuration or a summary has at most 1 MiB, with what its characters become. */
#define LONG_TEXT_MAX (4u << 20)

/* A table as it is read: which of the sender's columns is which of ours. */
struct reading {
    const struct share_table *table;
    size_t n_theirs;
    int ours[COLUMNS_MAX]; /* -1: not known here */
};

static int read_array(struct take *take, size_t n_max, size_t *n, struct err *err)
{
    struct cbor_item item;
    int rc = cbor_read(&take->data, &item, err);

    if (rc < 0)
        return rc;
    if (item.type != CBOR_ARRAY || (size_t)item.integer > n_max)
        return err_set(err, -EPROTO, "an array of at most %zu items was expected", n_max);
    *n = (size_t)item.integer;
    return 0;
}

static int read_text(struct take *take, const char **out, struct err *err)
{
    struct cbor_item item;
    int rc = cbor_read(&take->data, &item, err);

    if (rc == 0 && item.type != CBOR_TEXT)
        rc = err_set(err, -EPROTO, "a name was expected");
    *out = item.data;
    return rc;
}

/* ---- columns --------------------------------------------------------------------------------- */

static int find_column(const struct share_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->column[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static int read_columns(struct take *take, struct reading *reading, struct err *err)
{
    bool has[ROWS_COLUMNS_MAX] = {false};
    int rc = read_array(take, COLUMNS_MAX, &reading->n_theirs, err);

    for (size_t i = 0; rc == 0 && i < reading->n_theirs; i++) {
        const char *name;

        rc = read_text(take, &name, err);
        if (rc < 0)
            return rc;
        reading->ours[i] = find_column(reading->table, name);
        if (reading->ours[i] >= 0)
            has[reading->ours[i]] = true;
    }
    for (size_t i = 0; rc == 0 && i < reading->table->n_columns; i++) {
        const struct share_column *column = &reading->table->column[i];

        if (!has[i] && (column->flags & (SHARE_KEY | SHARE_IDENTITY)))
            rc =
                err_set(err, -EPROTO, "%s lacks the column %s", reading->table->name, column->name);
    }
    return rc;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcmp(name, *names) == 0)
            return true;
    }
    return false;
}

/* What stands in a row of the feed is named; in what describes a run it is numbered. */
static bool is_name(const struct share_table *table, const struct share_column *column)
{
    static const char *const of_feed[] = {"point",  "spectrum", "representation",
                                          "scalar", "finding",  NULL};

    return (column->type == SHARE_LAYER || column->type == SHARE_SCALAR) &&
           is_one_of(table->name, of_feed);
}

static enum cell_type cell_type(const struct share_table *table, const struct share_column *column)
{
    static const enum cell_type types[] = {[ROWS_INTEGER] = CELL_INTEGER,
                                           [ROWS_NUMBER] = CELL_NUMBER,
                                           [ROWS_TEXT] = CELL_TEXT,
                                           [ROWS_BYTES] = CELL_BYTES};

    return is_name(table, column) ? CELL_TEXT : types[share_rows_type(column->type)];
}

static size_t text_max(const struct share_table *table, const struct share_column *column)
{
    static const char *const long_ones[] = {"config",  "updates", "summary", "note",
                                            "watched", "tags",    NULL};

    if (column->type == SHARE_RUN)
        return RUN_ID_MAX;
    if (is_name(table, column) || strcmp(table->name, "layer") == 0)
        return LAYER_NAME_MAX;
    if (strcmp(column->name, "writer") == 0)
        return WRITER_MAX;
    return is_one_of(column->name, long_ones) ? LONG_TEXT_MAX : TEXT_MAX;
}

static bool is_good_text(const struct share_table *table, const struct share_column *column,
                         const struct cell *cell)
{
    if (cell->size > text_max(table, column))
        return false;
    if (column->type == SHARE_RUN)
        return control_run_valid(cell->data);
    if (column->type == SHARE_LAYER && is_name(table, column))
        return wire_layer_check(cell->data, cell->size, NULL) == 0;
    return cell->size > 0 || !(column->flags & (SHARE_KEY | SHARE_IDENTITY)) ||
           strcmp(column->name, "writer") == 0;
}

static bool is_good_integer(const struct share_column *column, int64_t value)
{
    if (column->type == SHARE_ATTEMPT && strcmp(column->name, "attempt") == 0)
        return value >= 1 && value <= INT32_MAX;
    if (strcmp(column->name, "state") == 0)
        return value >= 0 && value < STATE_COUNT;
    if (column->flags & SHARE_KEY)
        return value >= 0 && value <= (int64_t)JSON_MAX_INTEGER;
    return true;
}

/* A finding of a scalar has no layer. */
static bool may_be_null(const struct share_table *table, const struct share_column *column)
{
    return !(column->flags & (SHARE_KEY | SHARE_IDENTITY)) ||
           (column->type == SHARE_LAYER && strcmp(table->name, "finding") == 0);
}

static int check_cell(const struct share_table *table, const struct share_column *column,
                      const struct cell *cell, struct err *err)
{
    bool is_good = cell->type == CELL_NULL ? may_be_null(table, column)
                                           : cell->type == cell_type(table, column);

    if (is_good && cell->type == CELL_TEXT)
        is_good = is_good_text(table, column, cell);
    if (is_good && cell->type == CELL_INTEGER)
        is_good = is_good_integer(column, cell->integer);
    return is_good ? 0
                   : err_set(err, -EPROTO, "%s: a %s that cannot be", table->name, column->name);
}

static struct cell cell_of(const struct cbor_item *item)
{
    switch (item->type) {
    case CBOR_INTEGER:
        return (struct cell){.type = CELL_INTEGER, .integer = item->integer};
    case CBOR_NUMBER:
        return (struct cell){.type = CELL_NUMBER, .number = item->number};
    case CBOR_TEXT:
        return (struct cell){.type = CELL_TEXT, .data = item->data, .size = item->size};
    case CBOR_BYTES:
        return (struct cell){.type = CELL_BYTES, .data = item->data, .size = item->size};
    default:
        return (struct cell){.type = CELL_NULL};
    }
}

static int read_row(struct take *take, const struct reading *reading, struct cell *row,
                    struct err *err)
{
    struct cbor_item item;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < reading->n_theirs; i++) {
        rc = cbor_read(&take->data, &item, err);
        if (rc == 0 && item.type == CBOR_ARRAY)
            rc = err_set(err, -EPROTO, "%s: an array in the place of a cell", reading->table->name);
        if (rc == 0 && reading->ours[i] >= 0)
            row[reading->ours[i]] = cell_of(&item);
    }
    for (size_t i = 0; rc == 0 && i < reading->table->n_columns; i++)
        rc = check_cell(reading->table, &reading->table->column[i], &row[i], err);
    return rc;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static int read_cells(struct take *take, const struct reading *reading, struct taken *out,
                      struct err *err)
{
    size_t n_cells, n_rows;
    int rc = read_array(take, CELLS_MAX, &n_cells, err);

    if (rc < 0)
        return rc;
    n_rows = reading->n_theirs > 0 ? n_cells / reading->n_theirs : 0;
    if (n_rows * reading->n_theirs != n_cells || out->cells)
        return err_set(err, -EPROTO, "%s has half a row, or comes twice", reading->table->name);
    out->n_columns = reading->table->n_columns;
    if (n_rows == 0)
        return 0;
    if (n_rows > CELLS_MAX / out->n_columns)
        return err_set(err, -EPROTO, "%s has too many rows", reading->table->name);
    out->cells = calloc(n_rows * out->n_columns, sizeof *out->cells);
    if (!out->cells)
        return err_set(err, -ENOMEM, "out of memory");
    for (out->n_rows = 0; rc == 0 && out->n_rows < n_rows; out->n_rows++)
        rc = read_row(take, reading, taken_row(out, out->n_rows), err);
    return rc;
}

/* A table that a newer relay has and this one does not know. */
static int skip_cells(struct take *take, struct err *err)
{
    struct cbor_item item;
    size_t n;
    int rc = read_array(take, CELLS_MAX, &n, err);

    for (; rc == 0 && n > 0; n--)
        rc = cbor_read(&take->data, &item, err);
    return rc;
}

static struct taken *find_table(struct take *take, const char *name, struct share_table *table)
{
    static const struct share_table tombstone = {
        .name = "tombstone",
        .n_columns = 2,
        .column = {{"run", SHARE_RUN, SHARE_KEY}, {"deleted", SHARE_NUMBER, SHARE_IDENTITY}}};

    *table = tombstone;
    if (strcmp(name, tombstone.name) == 0)
        return &take->tombstones;
    for (int id = 0; id < SHARE_TABLE_COUNT; id++) {
        share_table((enum share_table_id)id, table);
        if (strcmp(name, table->name) == 0)
            return id == SHARE_TABLE_SCALAR_NAME ? NULL : &take->tables[id];
    }
    return NULL;
}

static int read_table(struct take *take, struct err *err)
{
    struct share_table table;
    struct reading reading = {.table = &table};
    struct taken *out;
    const char *name;
    size_t n;
    int rc = read_array(take, 3, &n, err);

    if (rc == 0 && n != 3)
        rc = err_set(err, -EPROTO, "a table has a name, columns and cells");
    if (rc == 0)
        rc = read_text(take, &name, err);
    if (rc < 0)
        return rc;
    out = find_table(take, name, &table);
    if (!out)
        table = (struct share_table){.name = "a table that is not known"};
    rc = read_columns(take, &reading, err);
    if (rc < 0)
        return rc;
    return out ? read_cells(take, &reading, out, err) : skip_cells(take, err);
}

int take_read_rows(struct take *take, struct err *err)
{
    size_t n;
    int rc = read_array(take, 64, &n, err);

    for (; rc == 0 && n > 0; n--)
        rc = read_table(take, err);
    if (rc == 0 && take->data.at != take->data.size)
        rc = err_set(err, -EPROTO, "there is something behind the last table");
    return rc;
}

void take_free_rows(struct take *take)
{
    for (int id = 0; id < SHARE_TABLE_COUNT; id++)
        free(take->tables[id].cells);
    free(take->tombstones.cells);
    memset(take->tables, 0, sizeof take->tables);
    take->tombstones = (struct taken){0};
}
