/* CSV: one table of all runs, layers and scalars, with the columns of the page's export (HTTP.md)
 * and a layer's p and c. A row of a layer has `layer`, one of a scalar `name` and `value`. */
#include <stdlib.h>

#include "client/ctl/common/member.h"
#include "client/ctl/export/format.h"
#include "proto/csv.h"
#include "proto/json.h"

struct sheet {
    FILE *out;
    bool has_header;
    const struct export_run *run;
    struct export_table table;
};

static void *open_sheet(FILE *out, const char *path)
{
    struct sheet *sheet = calloc(1, sizeof *sheet);

    (void)path;
    if (sheet)
        sheet->out = out;
    return sheet;
}

static int begin_run(void *arg, const struct export_run *run, struct err *err)
{
    struct sheet *sheet = arg;

    (void)err;
    sheet->run = run;
    if (sheet->has_header)
        return 0;
    sheet->has_header = true;
    fputs("run,run_name,layer,name", sheet->out);
    for (size_t i = 0; i < EXPORT_LAYER_CELLS; i++)
        fprintf(sheet->out, ",%s", export_layer_cell(i));
    fputs(",value\r\n", sheet->out);
    return 0;
}

static int begin_table(void *arg, const struct export_table *table, struct err *err)
{
    (void)err;
    ((struct sheet *)arg)->table = *table;
    return 0;
}

static void put_words(FILE *out, const cJSON *words)
{
    const cJSON *word;

    cJSON_ArrayForEach(word, words)
    {
        if (word != words->child)
            fputc(' ', out);
        if (cJSON_IsString(word))
            csv_put_quoted(out, word->valuestring);
    }
}

static void put_cell(FILE *out, const cJSON *cell)
{
    char text[JSON_DOUBLE_SIZE];

    fputc(',', out);
    if (!cell)
        return;
    if (cJSON_IsNumber(cell)) {
        json_double_text(cell->valuedouble, text);
        fputs(text, out);
    } else if (cJSON_IsString(cell)) {
        csv_put_text(out, cell->valuestring);
    } else if (cJSON_IsArray(cell)) {
        put_words(out, cell);
    }
}

static void put_place(const struct sheet *sheet)
{
    bool is_layer = sheet->table.kind == HISTORY_LAYER;

    csv_put_text(sheet->out, sheet->run->id);
    fputc(',', sheet->out);
    csv_put_text(sheet->out, member_text(sheet->run->object, "name", ""));
    fputc(',', sheet->out);
    csv_put_text(sheet->out, is_layer ? sheet->table.name : "");
    fputc(',', sheet->out);
    csv_put_text(sheet->out, is_layer ? "" : sheet->table.name);
}

/* A scalar's attempt, step and time stand where a layer's do; its value is the last column. */
static int put_row(void *arg, const cJSON *const cells[], struct err *err)
{
    const struct sheet *sheet = arg;
    bool is_layer = sheet->table.kind == HISTORY_LAYER;
    size_t n = is_layer ? EXPORT_LAYER_CELLS : EXPORT_SCALAR_CELLS - 1;

    (void)err;
    _Static_assert(POINT_step == 0 && POINT_time == 1, "a point begins with its step and time");
    put_place(sheet);
    for (size_t i = 0; i < EXPORT_LAYER_CELLS; i++)
        put_cell(sheet->out, i < n ? cells[i] : NULL);
    put_cell(sheet->out, is_layer ? NULL : cells[n]);
    fputs("\r\n", sheet->out);
    return 0;
}

static int end_nothing(void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    return 0;
}

const struct export_format export_csv = {
    .name = "csv",
    .open = open_sheet,
    .begin_run = begin_run,
    .begin_table = begin_table,
    .row = put_row,
    .end_table = end_nothing,
    .end_run = end_nothing,
    .close = free,
};
