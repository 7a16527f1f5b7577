/* richctl compare RUN: what its layers, its checkpoints, or it and another run have in common. */
#include <errno.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/table.h"

/* Of the daemon, HISTORY_MAP_SIDE, and a label. */
#define CELLS_MAX 65

/* What all places of a side have in common need not be said for each. */
struct label {
    bool layer, step;
};

static bool varies(const cJSON *places, const char *name)
{
    const cJSON *place, *first = member(places->child, name);

    cJSON_ArrayForEach(place, places)
    {
        if (!cJSON_Compare(first, member(place, name), true))
            return true;
    }
    return false;
}

static void add_label(struct table *table, const cJSON *place, struct label label)
{
    const char *layer = member_text(place, "layer", "?");
    double step = member_number(place, "step");

    if (label.layer && label.step)
        table_addf(table, "%s@%.0f", layer, step);
    else if (label.step)
        table_addf(table, "%.0f", step);
    else
        table_add(table, layer);
}

static void print_title(const cJSON *map, bool plain)
{
    const cJSON *rows = member(map, "rows"), *columns = member(map, "columns");
    const char *run = member_text(rows->child, "run", "?");
    const char *other = member_text(columns->child, "run", "?");

    text_print(run, stdout);
    if (strcmp(run, other) != 0) {
        fputs(" (down) and ", stdout);
        text_print(other, stdout);
        fputs(" (across)", stdout);
    }
    if (!varies(rows, "layer")) {
        fputs(", layer ", stdout);
        text_print(member_text(rows->child, "layer", "?"), stdout);
    }
    if (!varies(rows, "step"))
        printf(", step %.0f", member_number(rows->child, "step"));
    printf(": %s of %.0f rows\n", plain ? "linear CKA" : "linear CKA, de-biased",
           member_number(map, "n"));
    if (member_number(map, "left_out") > 0)
        printf("%.0f checkpoints between these are left out\n", member_number(map, "left_out"));
}

/* A row of numbers for each row of places, and a number for each column. */
static bool makes_sense(const cJSON *map, const cJSON *matrix)
{
    const cJSON *rows = member(map, "rows"), *columns = member(map, "columns"), *values;
    int n = cJSON_GetArraySize(columns);

    if (n < 1 || n >= CELLS_MAX || !cJSON_IsArray(rows) || !rows->child ||
        cJSON_GetArraySize(matrix) != cJSON_GetArraySize(rows))
        return false;
    cJSON_ArrayForEach(values, matrix)
    {
        if (cJSON_GetArraySize(values) != n)
            return false;
    }
    return true;
}

static void add_values(struct table *table, const cJSON *values)
{
    const cJSON *value;

    cJSON_ArrayForEach(value, values)
    {
        if (cJSON_IsNumber(value))
            table_addf(table, "%.3f", value->valuedouble);
        else
            table_add(table, NULL);
    }
}

static int print_matrix(const cJSON *rows, const cJSON *columns, const cJSON *matrix,
                        struct err *err)
{
    struct label label = {.layer = varies(rows, "layer") || varies(columns, "layer"),
                          .step = varies(rows, "step") || varies(columns, "step")};
    const cJSON *place, *values = matrix->child;
    char align[CELLS_MAX + 1] = "l";
    struct table *table;

    memset(align + 1, 'r', (size_t)cJSON_GetArraySize(columns));
    table = table_new(align);
    table_add(table, "");
    cJSON_ArrayForEach(place, columns)
    {
        add_label(table, place, label);
    }
    cJSON_ArrayForEach(place, rows)
    {
        add_label(table, place, label);
        add_values(table, values);
        values = values->next;
    }
    return table_finish(table, stdout, err);
}

static int print_map(const cJSON *map, bool plain, struct err *err)
{
    const cJSON *matrix = member(map, plain ? "cka" : "cka_debiased");

    if (!makes_sense(map, matrix))
        return err_set(err, -EPROTO, "the daemon's map makes no sense");
    print_title(map, plain);
    return print_matrix(member(map, "rows"), member(map, "columns"), matrix, err);
}

/* One layer without a step means its checkpoints. */
static int64_t first_step(const struct options *options)
{
    bool is_one_layer = options->layer && options->step < 0 && options->to < 0;

    return is_one_layer && options->from < 0 ? 0 : options->from;
}

int cmd_compare(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *map;
    int rc = feedclient_call(
        feed, "representation.map",
        params_of(param_text("run", options->words[1]), param_text("with", options->with),
                  param_list("layers", options->layer), param_integer("step", options->step),
                  param_integer("from", first_step(options)), param_integer("to", options->to)),
        &map, err);

    if (rc < 0)
        return rc;
    rc = options->json ? jsonline_print(map, stdout, err) : print_map(map, options->plain, err);
    cJSON_Delete(map);
    return rc;
}
