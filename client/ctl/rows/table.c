#include "client/ctl/rows/table.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/text.h"
#include "proto/json.h"

#define GAP "  "

struct table {
    const char *align;
    size_t n_columns;
    char **cells;
    size_t n_cells, size;
    bool incomplete; /* memory ran out */
};

struct table *table_new(const char *align)
{
    struct table *table = calloc(1, sizeof *table);

    assert(align && *align);
    if (!table)
        return NULL;
    table->align = align;
    table->n_columns = strlen(align);
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

static bool make_room(struct table *table)
{
    size_t size = table->size ? 2 * table->size : 64;
    char **cells;

    if (table->n_cells < table->size)
        return true;
    cells = realloc(table->cells, size * sizeof *cells);
    if (!cells)
        return false;
    table->cells = cells;
    table->size = size;
    return true;
}

void table_add(struct table *table, const char *text)
{
    char *cell;

    if (!table)
        return;
    cell = make_room(table) ? text_escape(text ? text : "-") : NULL;
    if (cell)
        table->cells[table->n_cells++] = cell;
    else
        table->incomplete = true;
}

void table_addf(struct table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        table_add(table, text);
    else if (table)
        table->incomplete = true;
    free(text);
}

void table_add_each(struct table *table, const char *const texts[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        table_add(table, texts[i]);
}

void table_add_number(struct table *table, double value)
{
    char text[TEXT_SIZE];

    table_add(table, text_number(value, text));
}

void table_add_whole(struct table *table, double value)
{
    if (isfinite(value))
        table_addf(table, "%.0f", value);
    else
        table_add(table, NULL);
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < table->n_cells; i += table->n_columns) {
        size_t cell_width = text_width(table->cells[i]);

        width = cell_width > width ? cell_width : width;
    }
    return width;
}

static void print_cell(const char *text, char align, size_t width, bool last, FILE *out)
{
    int pad = (int)(width - text_width(text));

    if (align == 'r')
        fprintf(out, "%*s%s", pad, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : GAP, out);
}

static bool print(const struct table *table, FILE *out)
{
    size_t *widths = calloc(table->n_columns, sizeof *widths);

    if (!widths || table->incomplete) {
        free(widths);
        return false;
    }
    assert(table->n_cells % table->n_columns == 0);
    for (size_t i = 0; i < table->n_columns; i++)
        widths[i] = column_width(table, i);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t column = i % table->n_columns;

        print_cell(table->cells[i], table->align[column], widths[column],
                   column + 1 == table->n_columns, out);
    }
    free(widths);
    return true;
}

void table_add_json(struct table *table, const cJSON *value)
{
    cJSON *exact;
    char *text;

    if (!value || cJSON_IsNull(value)) {
        table_add(table, NULL);
        return;
    }
    if (cJSON_IsString(value)) {
        table_add(table, *value->valuestring ? value->valuestring : NULL);
        return;
    }
    exact = cJSON_Duplicate(value, true);
    text = exact && json_make_exact(exact) ? json_print(exact) : NULL;
    table_add(table, text ? text : "?");
    cJSON_free(text);
    cJSON_Delete(exact);
}

int table_finish(struct table *table, FILE *out, struct err *err)
{
    int rc = table && print(table, out) ? 0 : err_set(err, -ENOMEM, "out of memory");

    assert(out);
    table_free(table);
    return rc;
}
