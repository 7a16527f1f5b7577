#include "daemon/store/salvage.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/sql.h"

/* The way of a table: one scan upwards reads all of a table that is whole. Where it meets a page
 * that cannot be read, another one comes from the other end. What lies between the two, where more
 * pages may be damaged, is halved and tried again, at each column of the key. The key is the rowid,
 * or the leading columns of the primary key, which are whole numbers from 0 on in our tables. */

#define KEYS_MAX 4
/* Halvings of what lies between two damaged pages. */
#define DEPTH 16
/* A scan that fails costs about 20 us: after these, .5 s, the rest of the table is given up. */
#define FAILURES_MAX 20000

enum direction { UP, DOWN, N_DIRECTIONS };

struct table {
    sqlite3 *from, *to;
    const char *name;
    char key[KEYS_MAX][32];
    int n_keys;
    sqlite3_stmt *scan[KEYS_MAX][N_DIRECTIONS];
    sqlite3_stmt *put;
    int64_t prefix[KEYS_MAX]; /* the columns of the key before the one that is scanned */
    int n_failures;
    bool all_read;
};

/* Keys from `low` to `high`, both included; none where low > high. */
struct span {
    int64_t low, high;
};

#define EVERYTHING ((struct span){0, INT64_MAX})

/* ---- statements ------------------------------------------------------------------------------ */

/* Takes the text. */
static int prepare(sqlite3 *database, sqlite3_str *text, sqlite3_stmt **out, struct err *err)
{
    char *sql = sqlite3_str_finish(text);
    int rc = sql ? sql_prepare(database, sql, out, err) : err_set(err, -ENOMEM, "out of memory");

    sqlite3_free(sql);
    return rc;
}

/* A table without a rowid is one tree, which its primary key orders. */
static int find_keys(struct table *table, struct err *err)
{
    sqlite3_str *text = sqlite3_str_new(table->from);
    sqlite3_stmt *statement = NULL;
    int rc;

    sqlite3_str_appendf(text,
                        "SELECT c.name FROM pragma_table_info(%Q) c, sqlite_schema s"
                        " WHERE s.name = %Q AND s.sql LIKE '%%WITHOUT ROWID'"
                        " AND c.pk > 0 AND c.type = 'INTEGER' ORDER BY c.pk",
                        table->name, table->name);
    rc = prepare(table->from, text, &statement, err);
    while (rc == 0 && table->n_keys < KEYS_MAX && (rc = sql_step(statement, err)) == 1) {
        snprintf(table->key[table->n_keys++], sizeof *table->key, "%s",
                 sql_column_text(statement, 0));
        rc = 0;
    }
    sqlite3_finalize(statement);
    if (rc == 0 && table->n_keys == 0)
        snprintf(table->key[table->n_keys++], sizeof *table->key, "rowid");
    return rc;
}

/* The keys, then all columns, of the rows with that prefix and the next key in a span. */
static int prepare_scan(struct table *table, int level, enum direction direction, struct err *err)
{
    sqlite3_str *text = sqlite3_str_new(table->from);

    sqlite3_str_appendf(text, "SELECT \"%w\", * FROM \"%w\" NOT INDEXED WHERE ", table->key[level],
                        table->name);
    for (int i = 0; i < level; i++)
        sqlite3_str_appendf(text, "\"%w\" = ?%d AND ", table->key[i], i + 1);
    sqlite3_str_appendf(text, "\"%w\" BETWEEN ?%d AND ?%d ORDER BY ", table->key[level], level + 1,
                        level + 2);
    for (int i = level; i < table->n_keys; i++)
        sqlite3_str_appendf(text, "%s\"%w\"%s", i > level ? ", " : "", table->key[i],
                            direction == DOWN ? " DESC" : "");
    return prepare(table->from, text, &table->scan[level][direction], err);
}

static int prepare_put(struct table *table, struct err *err)
{
    sqlite3_str *text = sqlite3_str_new(table->to);
    int n_columns = sqlite3_column_count(table->scan[0][UP]) - 1;

    sqlite3_str_appendf(text, "INSERT OR IGNORE INTO \"%w\" VALUES(", table->name);
    for (int i = 0; i < n_columns; i++)
        sqlite3_str_appendall(text, i ? ", ?" : "?");
    sqlite3_str_appendall(text, ")");
    return prepare(table->to, text, &table->put, err);
}

static int prepare_all(struct table *table, struct err *err)
{
    int rc = find_keys(table, err);

    for (int level = 0; rc == 0 && level < table->n_keys; level++) {
        for (int direction = UP; rc == 0 && direction < N_DIRECTIONS; direction++)
            rc = prepare_scan(table, level, (enum direction)direction, err);
    }
    return rc == 0 ? prepare_put(table, err) : rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A page that is damaged in its middle may show values that no program of ours has written. */
static bool is_of_type(sqlite3_stmt *statement, int column)
{
    const char *declared = sqlite3_column_decltype(statement, column);
    int type = sqlite3_column_type(statement, column);

    if (type == SQLITE_NULL || !declared)
        return true;
    if (strcmp(declared, "REAL") == 0)
        return type == SQLITE_FLOAT || type == SQLITE_INTEGER;
    return type == (strcmp(declared, "INTEGER") == 0 ? SQLITE_INTEGER
                    : strcmp(declared, "TEXT") == 0  ? SQLITE_TEXT
                                                     : SQLITE_BLOB);
}

static int put_row(struct table *table, sqlite3_stmt *row, struct err *err)
{
    int n_columns = sqlite3_column_count(row) - 1;

    for (int i = 0; i < n_columns; i++) {
        if (!is_of_type(row, i + 1)) {
            table->all_read = false;
            return 0;
        }
        if (sqlite3_bind_value(table->put, i + 1, sqlite3_column_value(row, i + 1)) != SQLITE_OK)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return sql_run(table->put, err);
}

/* Copies rows until the span or what can be read of it ends; `last` is the key of the last one, and
 * stays as it was without any. Returns 0, 1 when damage cut it short, or -errno. */
static int copy_rows(struct table *table, int level, enum direction direction, struct span span,
                     int64_t *last, struct err *err)
{
    sqlite3_stmt *row = table->scan[level][direction];
    int rc;

    sql_bind_integers(row, 1, table->prefix, (size_t)level);
    sql_bind_integers(row, level + 1, (const int64_t[]){span.low, span.high}, 2);
    while ((rc = sql_step(row, err)) == 1) {
        *last = sqlite3_column_int64(row, 0);
        rc = put_row(table, row, err);
        if (rc < 0) {
            sqlite3_reset(row);
            return rc;
        }
    }
    if (rc != -EUCLEAN && rc != -EIO)
        return rc;
    table->all_read = false;
    table->n_failures++;
    return 1;
}

/* ---- around what is damaged ------------------------------------------------------------------ */

static int copy_span(struct table *table, int level, struct span span, int depth, struct err *err);

/* The rows of one key that more columns follow. */
static int copy_below(struct table *table, int level, int64_t key, struct err *err)
{
    if (level + 1 == table->n_keys)
        return 0;
    table->prefix[level] = key;
    return copy_span(table, level + 1, EVERYTHING, DEPTH, err);
}

/* Keys are small numbers, though they may be large: a wide span is halved by its magnitude. */
static int64_t middle(struct span span)
{
    uint64_t width = (uint64_t)(span.high - span.low);
    int bits = 64 - __builtin_clzll(width | 1);

    return span.low + (int64_t)(bits > 20 ? UINT64_C(1) << (bits / 2) : width / 2);
}

static int copy_halves(struct table *table, int level, struct span span, int depth, struct err *err)
{
    int64_t half;
    int rc;

    if (span.low > span.high)
        return 0;
    if (span.low == span.high)
        return copy_below(table, level, span.low, err);
    if (depth == 0)
        return 0;
    half = middle(span);
    rc = copy_span(table, level, (struct span){span.low, half}, depth - 1, err);
    return rc < 0 ? rc
                  : copy_span(table, level, (struct span){half + 1, span.high}, depth - 1, err);
}

/* The first and the last key that were read may have more rows behind the damage. */
static int copy_span(struct table *table, int level, struct span span, int depth, struct err *err)
{
    int64_t low = span.low - 1, high = span.high;
    bool from_top;
    int rc;

    if (table->n_failures >= FAILURES_MAX)
        return 0;
    rc = copy_rows(table, level, UP, span, &low, err);
    if (rc <= 0)
        return rc;
    high = -1;
    rc = copy_rows(table, level, DOWN, span, &high, err);
    if (rc <= 0)
        return rc;
    from_top = high >= 0;
    if (low >= span.low)
        rc = copy_below(table, level, low, err);
    if (rc >= 0 && from_top && high != low)
        rc = copy_below(table, level, high, err);
    if (rc < 0)
        return rc;
    return copy_halves(table, level, (struct span){low + 1, from_top ? high - 1 : span.high}, depth,
                       err);
}

int store_salvage_table(sqlite3 *from, sqlite3 *to, const char *name, bool *all_read,
                        struct err *err)
{
    struct table table = {.from = from, .to = to, .name = name, .all_read = true};
    int rc;

    assert(!sqlite3_get_autocommit(to));
    rc = prepare_all(&table, err);
    if (rc == 0)
        rc = copy_span(&table, 0, EVERYTHING, DEPTH, err);
    sql_finalize(table.scan[0], (size_t)KEYS_MAX * N_DIRECTIONS);
    sql_finalize(&table.put, 1);
    *all_read = table.all_read;
    return rc < 0 ? rc : 0;
}
