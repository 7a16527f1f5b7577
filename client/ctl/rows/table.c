#include "client/ctl/rows/table.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/text.h"

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
    struct table *t = calloc(1, sizeof *t);

    assert(align && *align);
    if (!t)
        return NULL;
    t->align = align;
    t->n_columns = strlen(align);
    return t;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

static bool make_room(struct table *t)
{
    size_t size = t->size ? 2 * t->size : 64;
    char **cells;

    if (t->n_cells < t->size)
        return true;
    cells = realloc(t->cells, size * sizeof *cells);
    if (!cells)
        return false;
    t->cells = cells;
    t->size = size;
    return true;
}

void table_add(struct table *t, const char *text)
{
    char *cell;

    if (!t)
        return;
    cell = make_room(t) ? text_escape(text ? text : "-") : NULL;
    if (cell)
        t->cells[t->n_cells++] = cell;
    else
        t->incomplete = true;
}

void table_addf(struct table *t, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        table_add(t, text);
    else if (t)
        t->incomplete = true;
    free(text);
}

void table_add_each(struct table *t, const char *const texts[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        table_add(t, texts[i]);
}

void table_add_number(struct table *t, double value)
{
    char text[TEXT_SIZE];

    table_add(t, text_number(value, text));
}

void table_add_whole(struct table *t, double value)
{
    if (isfinite(value))
        table_addf(t, "%.0f", value);
    else
        table_add(t, NULL);
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < t->n_cells; i += t->n_columns) {
        size_t w = text_width(t->cells[i]);

        width = w > width ? w : width;
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

static bool print(const struct table *t, FILE *out)
{
    size_t *widths = calloc(t->n_columns, sizeof *widths);

    if (!widths || t->incomplete) {
        free(widths);
        return false;
    }
    assert(t->n_cells % t->n_columns == 0);
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = column_width(t, i);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t column = i % t->n_columns;

        print_cell(t->cells[i], t->align[column], widths[column], column + 1 == t->n_columns, out);
    }
    free(widths);
    return true;
}

int table_finish(struct table *t, FILE *out, struct err *e)
{
    int rc = t && print(t, out) ? 0 : err_set(e, -ENOMEM, "out of memory");

    table_free(t);
    return rc;
}
