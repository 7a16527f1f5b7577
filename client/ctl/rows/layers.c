#include "client/ctl/rows/layers.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/rows/table.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
/* Columns of layers that a terminal of 80 has room for, beside the measures' names. */
#define LAYERS_ABREAST 4

/* The standard error of the measure, or NaN. */
static double error_of(const cJSON *point, int metric)
{
    char name[64];

    snprintf(name, sizeof name, "%s_se", metric_table[metric].name);
    return member_number(point, name);
}

/* "0.0573 +- 0.0048": the form that is right at this n, with two standard errors of that form. */
static void add_shown(struct table *table, const cJSON *point)
{
    double error = error_of(point, shown_form(point, METRIC_D_LR));
    char value[TEXT_SIZE], twice[TEXT_SIZE];

    shown_member(point, METRIC_D_LR, value);
    if (isnan(error))
        table_add(table, value);
    else
        table_addf(table, "%s +- %s", value, text_number(2 * error, twice));
}

static void add_layer(struct table *table, const cJSON *layer)
{
    static const char *const own[] = {"layer", "p", "c", "n_points"};
    static const char *const of_last[] = {"step", "n", "rank"};
    const cJSON *last = member(layer, "last");

    for (size_t i = 0; i < LENGTH(own); i++)
        table_add_json(table, member(layer, own[i]));
    for (size_t i = 0; i < LENGTH(of_last); i++)
        table_add_json(table, member(last, of_last[i]));
    add_shown(table, last);
}

static bool has_star(const cJSON *layers)
{
    const cJSON *layer;

    cJSON_ArrayForEach(layer, layers)
    {
        const cJSON *last = member(layer, "last");

        if (shown_form(last, METRIC_D_LR) == METRIC_D_LR &&
            !isnan(member_number(last, metric_table[METRIC_D_LR].name)))
            return true;
    }
    return false;
}

static int print_layers(const cJSON *layers, struct err *err)
{
    static const char *const heading[] = {"layer",     "p", "c",    "points",
                                          "last step", "n", "rank", "D_LR"};
    struct table *table = table_new("lrrrrrrl");
    const cJSON *layer;
    int rc;

    printf("\n");
    table_add_each(table, heading, LENGTH(heading));
    cJSON_ArrayForEach(layer, layers)
    {
        add_layer(table, layer);
    }
    rc = table_finish(table, stdout, err);
    if (rc == 0 && has_star(layers))
        printf(SHOWN_STAR_MEANS "\n");
    return rc;
}

/* The layers from `first` on that share a table of measures. */
struct block {
    const cJSON *layer[LAYERS_ABREAST];
    size_t n;
};

static const cJSON *take_block(struct block *block, const cJSON *first)
{
    for (block->n = 0; first && block->n < LAYERS_ABREAST; first = first->next)
        block->layer[block->n++] = first;
    return first;
}

static void mark_measured(const struct block *block, bool shown[METRIC_COUNT])
{
    for (size_t i = 0; i < block->n; i++)
        pointrow_mark_measured(member(block->layer[i], "last"), shown);
}

/* A line a measure and a column a layer; measures that no layer has are left out. */
static int print_block(const struct block *block, struct err *err)
{
    char align[LAYERS_ABREAST + 2] = "l";
    bool shown[METRIC_COUNT] = {false};
    struct table *table;

    mark_measured(block, shown);
    memset(align + 1, 'r', block->n);
    table = table_new(align);
    table_add(table, "measure");
    for (size_t k = 0; k < block->n; k++)
        table_add(table, member_text(block->layer[k], "layer", "?"));
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (!shown[i])
            continue;
        table_add(table, metric_table[i].name);
        for (size_t k = 0; k < block->n; k++)
            table_add_number(table,
                             member_number(member(block->layer[k], "last"), metric_table[i].name));
    }
    printf("\n");
    return table_finish(table, stdout, err);
}

static int print_measures(const cJSON *layers, struct err *err)
{
    const cJSON *layer = layers->child;
    int rc = 0;

    while (layer && rc == 0) {
        struct block block;

        layer = take_block(&block, layer);
        rc = print_block(&block, err);
    }
    return rc;
}

/* The law of separation (FEED.md, layer.list), where there are layers enough. */
static void print_separation(const cJSON *separation)
{
    double slope = member_number(separation, "slope");
    char factor[TEXT_SIZE], r2[TEXT_SIZE];

    if (!isnan(slope))
        printf("nc1 changes by a factor of %s a layer over %.0f layers (R^2 %s)\n",
               text_number(exp(slope), factor), member_number(separation, "layers"),
               text_number(member_number(separation, "r2"), r2));
}

static const char *sentence_of(const char *flag)
{
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(flag_table[i].name, flag) == 0)
            return flag_table[i].description;
    }
    return "a flag newer than this richctl";
}

/* "head: biased: too few rows ...", folded where a terminal ends. */
static void print_flag(const char *layer, const char *flag)
{
    char *line = NULL, *escaped = NULL;
    size_t columns, lines;

    if (asprintf(&line, "%s: %s: %s", layer, flag, sentence_of(flag)) >= 0)
        escaped = text_escape(line);
    else
        line = NULL;
    terminal_size(&columns, &lines);
    if (escaped)
        text_print_folded(escaped, isatty(STDOUT_FILENO) ? columns : SIZE_MAX, stdout);
    free(line);
    free(escaped);
}

/* The flags of each layer's last point, in words. */
static void print_flags(const cJSON *layers)
{
    const cJSON *layer, *flag;
    const char *before = "\n";

    cJSON_ArrayForEach(layer, layers)
    {
        cJSON_ArrayForEach(flag, member(member(layer, "last"), "flags"))
        {
            if (!cJSON_IsString(flag))
                continue;
            fputs(before, stdout);
            print_flag(member_text(layer, "layer", "?"), flag->valuestring);
            before = "";
        }
    }
}

int layers_print(const cJSON *answer, struct err *err)
{
    const cJSON *layers = member(answer, "layers");
    int rc;

    if (!layers || !layers->child)
        return 0;
    rc = print_layers(layers, err);
    if (rc == 0)
        rc = print_measures(layers, err);
    if (rc < 0)
        return rc;
    print_separation(member(answer, "separation"));
    print_flags(layers);
    return 0;
}
