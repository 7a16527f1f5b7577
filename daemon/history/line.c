#include "daemon/history/line_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/block.h"
#include "daemon/store/schema.h"

/* JSON has columns and the store has rows. So many bytes of values are held at a time: where all
 * columns together have more, the rows are read once for each part of the columns. An answer of
 * 100,000 rows of 12 columns has 10 MB: three parts. */
#define PART_BYTES (4u << 20)

/* ---- columns ------------------------------------------------------------------------------- */

static void add_column(struct columns *columns, struct column column)
{
    columns->column[columns->n++] = column;
}

static void add_point_columns(struct columns *columns, const struct selection *sel)
{
    for (int i = 0; i < POINT_MEMBER_COUNT; i++) {
        if (selection_has_member(sel, &point_table[i]))
            add_column(columns, (struct column){.name = point_table[i].name,
                                                .kind = point_table[i].kind,
                                                .field = &point_table[i]});
    }
    columns->n_own = columns->n;
    for (size_t i = 0; i < sel->n_scalars; i++)
        add_column(columns, (struct column){.name = sel->scalars[i].name,
                                            .kind = POINT_KIND_NUMBER,
                                            .joined = sel->scalars[i].key});
}

int line_columns(const struct line *line, const struct selection *sel, struct columns *out,
                 struct err *err)
{
    size_t n_max = line->is_point ? 1 + POINT_MEMBER_COUNT + sel->n_scalars : 4;

    *out = (struct columns){.column = calloc(n_max, sizeof *out->column)};
    if (!out->column)
        return history_no_memory(err);
    add_column(out, (struct column){.name = "attempt", .kind = POINT_KIND_COUNT, .at = 0});
    if (line->is_point) {
        add_point_columns(out, sel);
        return 0;
    }
    add_column(out, (struct column){.name = "step", .kind = POINT_KIND_COUNT, .at = 1});
    add_column(out, (struct column){.name = "time", .kind = POINT_KIND_NUMBER, .at = 2});
    add_column(out, (struct column){.name = "value", .kind = POINT_KIND_NUMBER, .at = 3});
    out->n_own = out->n;
    return 0;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* What was logged at the place; NaN without. */
static int read_joined(struct history *history, int64_t key, const struct feed_place *place,
                       double *out, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_SCALAR_AT];
    int rc;

    SQL_BIND(statement, key, place->attempt, place->step);
    rc = sql_step(statement, err);
    *out = rc == 1 ? sql_column_double(statement, 0) : (double)NAN;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int read_cell(struct history *history, sqlite3_stmt *statement, const struct point *point,
                     const struct column *column, const struct feed_place *place, union cell *out,
                     struct err *err)
{
    bool is_number = column->kind == POINT_KIND_NUMBER;

    if (column->joined)
        return read_joined(history, column->joined, place, &out->number, err);
    if (column->field && is_number)
        out->number = point_number(point, column->field);
    else if (column->field)
        out->integer = point_integer(point, column->field);
    else if (is_number)
        out->number = sql_column_double(statement, column->at);
    else
        out->integer = sqlite3_column_int64(statement, column->at);
    return 0;
}

/* The current row's. */
static int read_cells(struct history *history, const struct line *line,
                      const struct column *columns, size_t n, struct feed_place *place,
                      union cell *cells, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->rows];
    int step_column = line->is_point ? 1 + SCHEMA_POINT_MEMBERS + POINT_step : 1, rc = 0;
    struct point point;

    *place = (struct feed_place){sqlite3_column_int64(statement, 0),
                                 sqlite3_column_int64(statement, step_column)};
    if (line->is_point)
        store_schema_point(statement, 1, &point);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_cell(history, statement, &point, &columns[i], place, &cells[i], err);
    return rc;
}

static int walk(struct history *history, const struct line *line, const struct selection *sel,
                const struct column *columns, size_t n, union cell *cells, line_row_fn *on_row,
                void *arg, struct feed_place *last, struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->rows];
    int64_t n_rows = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sel->n_ranges && n_rows < sel->max_rows; i++) {
        line_bind(statement, line, &sel->ranges[i]);
        while (n_rows < sel->max_rows && (rc = sql_step(statement, err)) == 1) {
            n_rows++;
            rc = read_cells(history, line, columns, n, last, cells, err);
            if (rc == 0)
                rc = on_row(arg, cells, err);
            if (rc < 0)
                break;
        }
        sqlite3_reset(statement);
    }
    return rc;
}

int line_walk(struct history *history, const struct line *line, const struct selection *sel,
              const struct column *columns, size_t n, line_row_fn *on_row, void *arg,
              struct feed_place *last, struct err *err)
{
    union cell *cells = calloc(n, sizeof *cells);
    int rc;

    if (!cells)
        return history_no_memory(err);
    rc = walk(history, line, sel, columns, n, cells, on_row, arg, last, err);
    free(cells);
    return rc;
}

/* Whether blocks alone show that there are more rows than an answer may have: each has BLOCK_POINTS
 * rows at the least, and the first of a range may reach out of it. 1, 0 where they do not, -errno.
 */
static int count_blocks(struct history *history, struct line *line, const struct selection *sel,
                        struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_BLOCK_COUNT];
    int64_t n_max = sel->max_rows / BLOCK_POINTS + 2;

    for (size_t i = 0; i < sel->n_ranges; i++) {
        const struct attempt_range *range = &sel->ranges[i];
        int rc;

        SQL_BIND(statement, !line->is_point, line->key, range->attempt, 1, range->from, range->to,
                 n_max);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        if (sqlite3_column_int64(statement, 0) == n_max)
            line->n = sel->max_rows + 1;
        sqlite3_reset(statement);
    }
    return line->n > sel->max_rows;
}

/* How many rows there are, counted no further than one beyond the limit. */
int line_count(struct history *history, struct line *line, const struct selection *sel,
               struct err *err)
{
    sqlite3_stmt *statement = history->statement[line->count];

    int rc;

    line->n = 0;
    rc = count_blocks(history, line, sel, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sel->n_ranges && line->n <= sel->max_rows; i++) {
        line_bind(statement, line, &sel->ranges[i]);
        sqlite3_bind_int64(statement, 5, sel->max_rows + 1 - line->n);
        rc = sql_step(statement, err);
        if (rc < 0)
            return rc;
        line->n += sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    line->binned = sel->range->limit == 0 && line->n > sel->max_rows;
    return 0;
}

/* ---- as columns of JSON -------------------------------------------------------------------- */

void line_put_flags(FILE *out, uint32_t flags)
{
    const char *before = "";

    fputc_unlocked('[', out);
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (!(flags & (1u << i)))
            continue;
        fprintf(out, "%s\"%s\"", before, flag_table[i].name);
        before = ",";
    }
    fputc_unlocked(']', out);
}

static void put_cell(FILE *out, enum point_kind kind, union cell cell)
{
    if (kind == POINT_KIND_NUMBER)
        answer_put_number(out, cell.number);
    else if (kind == POINT_KIND_FLAGS)
        line_put_flags(out, (uint32_t)cell.integer);
    else if (kind == POINT_KIND_STEP && cell.integer < 0)
        fputs_unlocked("null", out);
    else
        answer_put_integer(out, cell.integer);
}

/* Rows of some of the columns. */
struct part {
    const struct column *columns;
    size_t n_columns;
    union cell *cells;
    size_t n_rows, capacity;
};

static int keep_row(void *arg, const union cell *cells, struct err *err)
{
    struct part *part = arg;

    (void)err;
    assert(part->n_rows < part->capacity);
    memcpy(part->cells + part->n_rows++ * part->n_columns, cells, part->n_columns * sizeof *cells);
    return 0;
}

static void put_part(struct answer *answer, const struct part *part, const char **before)
{
    for (size_t i = 0; i < part->n_columns; i++) {
        fputs_unlocked(*before, answer->out);
        *before = ",";
        answer_put_text(answer, part->columns[i].name);
        fputs_unlocked(":[", answer->out);
        for (size_t row = 0; row < part->n_rows; row++) {
            if (row > 0)
                fputc_unlocked(',', answer->out);
            put_cell(answer->out, part->columns[i].kind, part->cells[row * part->n_columns + i]);
        }
        fputc_unlocked(']', answer->out);
    }
}

/* Some of the line's columns: so many of them at a time as may be held. */
static int put_columns(struct history *history, const struct line *line,
                       const struct selection *sel, const struct column *columns, size_t n,
                       struct answer *answer, struct feed_place *last, struct err *err)
{
    size_t n_rows = (size_t)(line->n < sel->max_rows ? line->n : sel->max_rows);
    size_t width = n_rows > 0 ? PART_BYTES / sizeof(union cell) / n_rows : n;
    struct part part = {.capacity = n_rows};
    const char *before = "";
    int rc = 0;

    assert(n > 0);
    width = width < 1 ? 1 : width < n ? width : n;
    part.cells = calloc(n_rows > 0 ? n_rows : 1, width * sizeof *part.cells);
    if (!part.cells)
        return history_no_memory(err);
    for (size_t i = 0; rc == 0 && i < n; i += width) {
        part.columns = columns + i;
        part.n_columns = n - i < width ? n - i : width;
        part.n_rows = 0;
        rc =
            line_walk(history, line, sel, part.columns, part.n_columns, keep_row, &part, last, err);
        if (rc == 0)
            put_part(answer, &part, &before);
    }
    free(part.cells);
    return rc;
}

static int put_rows(struct history *history, const struct line *line, const struct selection *sel,
                    struct answer *answer, struct feed_place *last, struct err *err)
{
    struct columns columns;
    int rc = line_columns(line, sel, &columns, err);

    if (rc == 0)
        rc = put_columns(history, line, sel, columns.column, columns.n_own, answer, last, err);
    if (rc == 0 && columns.n > columns.n_own) {
        fputs(",\"scalars\":{", answer->out);
        rc = put_columns(history, line, sel, columns.column + columns.n_own,
                         columns.n - columns.n_own, answer, last, err);
        fputc('}', answer->out);
    }
    free(columns.column);
    return rc;
}

static void put_next(const struct line *line, const struct selection *sel,
                     const struct feed_place *last, FILE *out)
{
    char text[FEED_PLACE_SIZE];

    if (line->n <= sel->max_rows) {
        fputs(",\"next\":null", out);
        return;
    }
    feed_place_print(last, text);
    fprintf(out, ",\"next\":\"%s\"", text);
}

int line_put_json(struct history *history, const struct line *line, const struct selection *sel,
                  struct answer *answer, struct err *err)
{
    struct feed_place last = {0};
    int rc;

    assert(sel->max_rows > 0);
    fprintf(answer->out, ",\"binned\":%s,\"columns\":{", line->binned ? "true" : "false");
    rc = line->binned ? line_put_bins(history, line, sel, answer, err)
                      : put_rows(history, line, sel, answer, &last, err);
    fputc('}', answer->out);
    if (sel->range->limit > 0)
        put_next(line, sel, &last, answer->out);
    fputc('}', answer->out);
    return rc;
}
