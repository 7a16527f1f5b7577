/* JSON: a line for each run, an object of objects that FEED.md describes:
 *
 *     {"run":RUN OBJECT,"events":[EVENT, ...],"points":[POINT, ...],"scalars":[SCALAR, ...]}
 *
 * A run is written while it is read; jq and Python read the line as one value. */
#include <errno.h>
#include <stdlib.h>

#include "client/ctl/common/jsonline.h"
#include "client/ctl/export/format.h"
#include "proto/json.h"

struct lines {
    FILE *out;
    const struct export_run *run;
    struct export_table table;
    bool in_scalars; /* the list that is open */
    bool has_rows;   /* in that list */
};

static void *open_lines(FILE *out, const char *path)
{
    struct lines *lines = calloc(1, sizeof *lines);

    (void)path;
    if (lines)
        lines->out = out;
    return lines;
}

/* A copy whose numbers are text: what is borrowed stays as it is. */
static int put_copy(FILE *out, const cJSON *value, struct err *err)
{
    cJSON *copy = cJSON_Duplicate(value, 1);
    int rc = copy ? jsonline_put(copy, out, err) : err_set(err, -ENOMEM, "out of memory");

    cJSON_Delete(copy);
    return rc;
}

static int begin_run(void *arg, const struct export_run *run, struct err *err)
{
    struct lines *lines = arg;
    int rc;

    lines->run = run;
    lines->in_scalars = lines->has_rows = false;
    fputs("{\"run\":", lines->out);
    rc = put_copy(lines->out, run->object, err);
    fputs(",\"events\":", lines->out);
    if (rc == 0)
        rc = put_copy(lines->out, run->events, err);
    fputs(",\"points\":[", lines->out);
    return rc;
}

static void begin_scalars(struct lines *lines)
{
    if (!lines->in_scalars)
        fputs("],\"scalars\":[", lines->out);
    lines->in_scalars = true;
    lines->has_rows = false;
}

static int begin_table(void *arg, const struct export_table *table, struct err *err)
{
    struct lines *lines = arg;

    (void)err;
    lines->table = *table;
    if (table->kind == HISTORY_SCALAR && !lines->in_scalars)
        begin_scalars(lines);
    return 0;
}

static bool fill(cJSON *object, const struct lines *lines, const cJSON *const cells[])
{
    bool is_layer = lines->table.kind == HISTORY_LAYER,
         ok = cJSON_AddStringToObject(object, "run", lines->run->id) &&
              cJSON_AddStringToObject(object, is_layer ? "layer" : "name", lines->table.name);

    for (size_t i = 0; ok && i < (is_layer ? EXPORT_LAYER_CELLS : EXPORT_SCALAR_CELLS); i++) {
        const char *name = is_layer ? export_layer_cell(i) : export_scalar_cells[i];
        cJSON *copy = cells[i] ? cJSON_Duplicate(cells[i], 1) : cJSON_CreateNull();

        ok = copy && cJSON_AddItemToObject(object, name, copy);
        if (!ok)
            cJSON_Delete(copy);
    }
    return ok;
}

static int put_row(void *arg, const cJSON *const cells[], struct err *err)
{
    struct lines *lines = arg;
    cJSON *object = cJSON_CreateObject();
    int rc;

    if (lines->has_rows)
        fputc(',', lines->out);
    lines->has_rows = true;
    rc = object && fill(object, lines, cells) ? jsonline_put(object, lines->out, err)
                                              : err_set(err, -ENOMEM, "out of memory");
    cJSON_Delete(object);
    return rc;
}

static int end_table(void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    return 0;
}

static int end_run(void *arg, struct err *err)
{
    struct lines *lines = arg;

    (void)err;
    begin_scalars(lines);
    fputs("]}\n", lines->out);
    return 0;
}

const struct export_format export_json = {
    .name = "json",
    .open = open_lines,
    .begin_run = begin_run,
    .begin_table = begin_table,
    .row = put_row,
    .end_table = end_table,
    .end_run = end_run,
    .close = free,
};
