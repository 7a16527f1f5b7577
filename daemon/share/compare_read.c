#include "daemon/share/compare_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/sql.h"

/* The way of a row, of either side: its cells become numbers (hash_cell), in which an attempt, a
 * layer or a scalar is its identity, and are added to the run's sums (take_row). */

/* So many rows come at once; of those with spectra, some MiB. */
#define FETCH_ROWS       "1000"
#define FETCH_LARGE_ROWS "50"

struct cell {
    bool is_null;
    int64_t integer;
    double number;
    const void *bytes;
    size_t size;
};

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_numbered(enum share_type type)
{
    return type == SHARE_ATTEMPT || type == SHARE_LAYER || type == SHARE_SCALAR;
}

static uint64_t name_key(uint64_t run, enum share_type type)
{
    return run << 4 | type;
}

/* What a reader writes where there is nothing (merge.c). */
static const char *text_in_place(enum share_table_id id, const char *column)
{
    if (id != SHARE_TABLE_RUN_TEXT)
        return NULL;
    return strcmp(column, "note") == 0 || strcmp(column, "watched") == 0 ? "" : "{}";
}

static uint64_t hash_plain(const struct compare *compare, const struct share_column *column,
                           const struct cell *cell)
{
    const char *text = text_in_place(compare->id, column->name);
    uint64_t bits;

    if (cell->is_null)
        return text ? tally_bytes(text, strlen(text)) : 1;
    if (column->type == SHARE_TEXT || column->type == SHARE_BYTES)
        return tally_bytes(cell->bytes, cell->size);
    if (column->type != SHARE_NUMBER)
        return tally_mix((uint64_t)cell->integer);
    if (isnan(cell->number))
        return 1;
    memcpy(&bits, &cell->number, sizeof bits);
    return tally_mix(bits);
}

/* A number that has no name is one of the rows that differ. */
static uint64_t hash_cell(const struct compare *compare, const struct side *side, uint64_t run,
                          const struct share_column *column, const struct cell *cell)
{
    const uint64_t *name;

    if (column->type == SHARE_RUN || column->flags & SHARE_EARLIEST ||
        strcmp(column->name, "revision") == 0)
        return 0;
    if (!is_numbered(column->type))
        return hash_plain(compare, column, cell);
    if (cell->is_null || cell->integer == 0)
        return 0;
    name = tally_find(&side->names, name_key(run, column->type), (uint64_t)cell->integer);
    return name ? *name : 2;
}

/* The row says whose number it is: by the columns that may not change. */
static int learn_name(struct compare *compare, struct side *side, uint64_t run,
                      const struct cell *cells, struct err *err)
{
    const struct share_table *table = &compare->push->table[compare->id];
    uint64_t identity = 0, *name;

    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->column[i].flags & SHARE_IDENTITY)
            identity = tally_mix(identity ^ hash_plain(compare, &table->column[i], &cells[i]));
    }
    if (identity == 0)
        return 0;
    name = tally_at(&side->names, name_key(run, table->column[1].type), (uint64_t)cells[1].integer);
    if (!name)
        return err_set(err, -ENOMEM, "out of memory");
    *name = identity;
    return 0;
}

static void tell_progress(struct compare *compare)
{
    double part = (double)++compare->n_read / (double)(2 * compare->n_expected + 1);

    if (compare->n_read % 256 == 0)
        compare->tell->on_progress(compare->tell->arg, part < 1 ? part : 1, "compared");
}

static int take_row(struct compare *compare, struct side *side, const struct compared_run *of,
                    const struct cell *cells, int64_t source, struct err *err)
{
    const struct share_table *table = &compare->push->table[compare->id];
    uint64_t run = (uint64_t)(of - compare->runs), key = 0, part = 0, *values;
    uint64_t hash[ROWS_COLUMNS_MAX] = {0};
    int rc = learn_name(compare, side, run, cells, err);

    for (size_t i = 0; i < table->n_columns; i++) {
        const struct share_column *column = &table->column[i];

        hash[i] = hash_cell(compare, side, run, column, &cells[i]);
        if (column->flags & SHARE_KEY)
            key = tally_mix(key ^ hash[i]);
        if (column->flags & SHARE_KEY &&
            (column->type == SHARE_ATTEMPT || compare->id < SHARE_TABLE_POINT))
            part ^= hash[i];
    }
    values = rc == 0 ? tally_at(&side->rows, run, part) : NULL;
    if (!values)
        return rc < 0 ? rc : err_set(err, -ENOMEM, "out of memory");
    values[VALUE_ROWS]++;
    values[VALUE_SOURCE] = (uint64_t)source;
    for (size_t i = 0; i < table->n_columns; i++)
        values[VALUE_COLUMNS + i] += tally_mix(key ^ hash[i] ^ i);
    tell_progress(compare);
    return 0;
}

/* ---- the store ------------------------------------------------------------------------------- */

int compare_keys(const void *key, const void *run)
{
    int64_t a = *(const int64_t *)key, b = ((const struct run_by_key *)run)->key;

    return a < b ? -1 : a > b;
}

static struct cell store_cell(sqlite3_stmt *statement, int i, enum share_type type)
{
    struct cell cell = {.is_null = sqlite3_column_type(statement, i) == SQLITE_NULL};

    if (type == SHARE_NUMBER)
        cell.number = sql_column_double(statement, i);
    else if (type == SHARE_TEXT)
        cell.bytes = sqlite3_column_text(statement, i);
    else if (type == SHARE_BYTES)
        cell.bytes = sqlite3_column_blob(statement, i);
    else
        cell.integer = sqlite3_column_int64(statement, i);
    cell.size = cell.bytes ? (size_t)sqlite3_column_bytes(statement, i) : 0;
    return cell;
}

static int read_store_rows(struct compare *compare, struct err *err)
{
    const struct share_table *table = &compare->push->table[compare->id];
    sqlite3_stmt *statement = compare->push->statement[PUSH_SQL_TABLES + compare->id];
    struct cell cells[ROWS_COLUMNS_MAX] = {0};
    int rc;

    while ((rc = sql_step(statement, err)) == 1) {
        int64_t key = sqlite3_column_int64(statement, 0);
        const struct run_by_key *found =
            bsearch(&key, compare->by_key, compare->n_runs, sizeof *compare->by_key, compare_keys);

        for (size_t i = 1; i < table->n_columns; i++)
            cells[i] = store_cell(statement, (int)i, table->column[i].type);
        rc = sql_row_check(statement, err);
        if (rc == 0 && found)
            rc = take_row(compare, &compare->store, found->run, cells, 0, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

int compare_read_store(struct compare *compare, struct err *err)
{
    sqlite3_stmt *statement = compare->push->statement[PUSH_SQL_TABLES + compare->id];
    int rc = 0;

    if (compare->id >= SHARE_TABLE_POINT) {
        SQL_BIND(statement, 0, INT64_MAX);
        return read_store_rows(compare, err);
    }
    for (size_t i = 0; rc == 0 && i < compare->n_runs; i++) {
        SQL_BIND(statement, compare->runs[i].key);
        if (compare->runs[i].key != 0)
            rc = read_store_rows(compare, err);
    }
    return rc;
}

/* ---- the server ------------------------------------------------------------------------------ */

static int compare_ids(const void *id, const void *run)
{
    return strcmp(id, ((const struct compared_run *)run)->id);
}

struct compared_run *compare_find_run(const struct compare *compare, const char *id)
{
    return bsearch(id, compare->runs, compare->n_runs, sizeof *compare->runs, compare_ids);
}

static struct cell server_cell(const PGresult *rows, int row, int i, enum share_type type)
{
    struct cell cell = {.is_null = PQgetisnull(rows, row, i)};

    if (type == SHARE_NUMBER) {
        cell.number = remote_number(rows, row, i);
    } else if (type == SHARE_TEXT || type == SHARE_BYTES) {
        cell.bytes = PQgetvalue(rows, row, i);
        cell.size = (size_t)PQgetlength(rows, row, i);
    } else {
        cell.integer = remote_integer(rows, row, i);
    }
    return cell;
}

static int take_server_rows(struct compare *compare, const PGresult *rows, struct err *err)
{
    const struct share_table *table = &compare->push->table[compare->id];
    struct cell cells[ROWS_COLUMNS_MAX] = {0};
    int rc = 0, last = (int)table->n_columns;

    for (int row = 0; rc == 0 && row < PQntuples(rows); row++) {
        const struct compared_run *run = compare_find_run(compare, remote_cell(rows, row, 0));

        for (int i = 1; i < last; i++)
            cells[i] = server_cell(rows, row, i, table->column[i].type);
        if (run)
            rc = take_row(compare, &compare->server, run, cells, remote_integer(rows, row, last),
                          err);
    }
    return rc;
}

/* The table's columns in their order, then who wrote the row, of the runs in $1. */
static char *cursor_text(const struct share_table *table)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    sqlite3_str_appendall(out, "DECLARE richd_rows NO SCROLL CURSOR FOR SELECT ");
    for (size_t i = 0; i < table->n_columns; i++)
        sqlite3_str_appendf(out, "\"%s\", ", table->column[i].name);
    sqlite3_str_appendf(out, "source FROM richd.%s WHERE run = ANY($1::text[])", table->name);
    return sqlite3_str_finish(out);
}

static int open_cursor(struct compare *compare, struct err *err)
{
    static const enum rows_type text[] = {ROWS_TEXT};
    char *sql = cursor_text(&compare->push->table[compare->id]);
    struct remote_params params = {0};
    PGresult *none = NULL;
    struct rows ids;
    int rc, size;

    rows_init(&ids, text, 1);
    for (size_t i = 0; i < compare->n_runs; i++) {
        rows_put_bytes(&ids, 0, compare->runs[i].id, strlen(compare->runs[i].id));
        rows_keep(&ids);
    }
    rc = sql && !ids.has_failed ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (rc == 0) {
        const char *array = rows_array(&ids, 0, &size);

        remote_binary(&params, array, size);
        rc = remote_query(compare->remote, sql, &params, &none, err);
    }
    PQclear(none);
    rows_release(&ids);
    sqlite3_free(sql);
    return rc;
}

int compare_read_server(struct compare *compare, struct err *err)
{
    bool is_large =
        compare->id == SHARE_TABLE_SPECTRUM || compare->id == SHARE_TABLE_REPRESENTATION;
    const char *fetch = is_large ? "FETCH " FETCH_LARGE_ROWS " FROM richd_rows"
                                 : "FETCH " FETCH_ROWS " FROM richd_rows";
    int rc = open_cursor(compare, err), n = 1;

    while (rc == 0 && n > 0) {
        PGresult *rows;

        rc = remote_query(compare->remote, fetch, NULL, &rows, err);
        n = PQntuples(rows);
        if (rc == 0)
            rc = take_server_rows(compare, rows, err);
        PQclear(rows);
    }
    return rc == 0 ? remote_script(compare->remote, "CLOSE richd_rows", err) : rc;
}
