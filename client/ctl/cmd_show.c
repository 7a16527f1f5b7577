/* richctl show RUN: all that is known of one run. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/eventline.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/rows/table.h"
#include "proto/base/clock.h"
#include "proto/json.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
/* Columns of layers that a terminal of 80 has room for, beside the measures' names. */
#define LAYERS_ABREAST 4

/* A value as people write it: text bare, the rest as JSON. */
static void add_value(struct table *table, const cJSON *value)
{
    char *text;

    if (!value || cJSON_IsNull(value)) {
        table_add(table, NULL);
        return;
    }
    if (cJSON_IsString(value)) {
        table_add(table, *value->valuestring ? value->valuestring : NULL);
        return;
    }
    text = json_print(value);
    table_add(table, text ? text : "?");
    cJSON_free(text);
}

static void add_time(struct table *table, const cJSON *value)
{
    char day[64], age[TEXT_SIZE];
    struct tm local;
    time_t seconds;

    if (!cJSON_IsNumber(value)) {
        table_add(table, NULL);
        return;
    }
    seconds = (time_t)value->valuedouble;
    localtime_r(&seconds, &local);
    strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &local);
    table_addf(table, "%s, %s", day, text_age(value->valuedouble, clock_wall_s(), age));
}

static int print_facts(const cJSON *run, struct err *err)
{
    static const char *const plain[] = {"run",   "name",    "project",   "group",   "tags",
                                        "state", "attempt", "last_step", "n_points"};
    static const char *const times[] = {"created", "updated"};
    struct table *table = table_new("ll");

    for (size_t i = 0; i < LENGTH(plain); i++) {
        table_add(table, plain[i]);
        add_value(table, member(run, plain[i]));
    }
    for (size_t i = 0; i < LENGTH(times); i++) {
        table_add(table, times[i]);
        add_time(table, member(run, times[i]));
    }
    return table_finish(table, stdout, err);
}

static int print_config(const cJSON *config, struct err *err)
{
    struct table *table;
    const cJSON *entry;

    if (!config || !config->child)
        return 0;
    table = table_new("ll");
    printf("\nconfig\n");
    cJSON_ArrayForEach(entry, config)
    {
        table_addf(table, "  %s", entry->string);
        add_value(table, entry);
    }
    return table_finish(table, stdout, err);
}

static int print_attempts(const cJSON *attempts, struct err *err)
{
    static const char *const heading[] = {"attempt", "state", "first step", "opened", "closed"};
    struct table *table;
    const cJSON *attempt;

    if (!attempts || !attempts->child)
        return 0;
    table = table_new("rlrll");
    printf("\n");
    table_add_each(table, heading, LENGTH(heading));
    cJSON_ArrayForEach(attempt, attempts)
    {
        add_value(table, member(attempt, "attempt"));
        add_value(table, member(attempt, "state"));
        add_value(table, member(attempt, "first_step"));
        add_time(table, member(attempt, "opened"));
        add_time(table, member(attempt, "closed"));
    }
    return table_finish(table, stdout, err);
}

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
        add_value(table, member(layer, own[i]));
    for (size_t i = 0; i < LENGTH(of_last); i++)
        add_value(table, member(last, of_last[i]));
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

static void print_scalars(const cJSON *scalars)
{
    const cJSON *name;
    const char *before = "\nscalars  ";

    cJSON_ArrayForEach(name, scalars)
    {
        if (!cJSON_IsString(name))
            continue;
        fputs(before, stdout);
        text_print(name->valuestring, stdout);
        before = ", ";
    }
    if (scalars && scalars->child)
        printf("\n");
}

static void print_layer(const cJSON *of)
{
    text_print(member_text(of, "layer", ""), stdout);
    fputs(cJSON_IsString(member(of, "layer")) ? ": " : "", stdout);
}

static void print_events(const cJSON *events)
{
    const cJSON *event;

    if (events && events->child)
        printf("\n");
    cJSON_ArrayForEach(event, events)
    {
        print_layer(event);
        eventline_print(event, stdout);
        printf("\n");
    }
}

/* Silence says that nothing happened only where there were points enough. */
static void print_watched(const cJSON *watched, bool has_events)
{
    const cJSON *series;
    bool judged = false;

    if (!has_events && watched && watched->child)
        printf("\n");
    cJSON_ArrayForEach(series, watched)
    {
        char *shortage = eventline_shortage(series);

        judged = judged || !shortage;
        if (shortage) {
            print_layer(series);
            printf("%s\n", shortage);
        }
        free(shortage);
    }
    if (judged && !has_events)
        printf("no transition found\n");
}

/* `answer` is layer.list's. */
static int print_run(const cJSON *run, const cJSON *answer, struct err *err)
{
    const cJSON *layers = member(answer, "layers");
    int rc = print_facts(run, err);

    if (rc == 0)
        rc = print_config(member(run, "config"), err);
    if (rc == 0)
        rc = print_attempts(member(run, "attempts"), err);
    if (rc == 0 && layers && layers->child)
        rc = print_layers(layers, err);
    if (rc == 0 && layers && layers->child)
        rc = print_measures(layers, err);
    if (rc < 0)
        return rc;
    print_separation(member(answer, "separation"));
    print_flags(layers);
    print_scalars(member(run, "scalars"));
    print_events(member(run, "events"));
    print_watched(member(run, "watched"), cJSON_GetArraySize(member(run, "events")) > 0);
    return 0;
}

/* The run with "events" and "watched", as event.query gives them. */
static int get_run(struct feedclient *feed, const char *name, cJSON **run, struct err *err)
{
    cJSON *answer, *part;
    int rc = feedclient_call(feed, "run.get", params_of(param_text("run", name)), run, err);

    if (rc < 0)
        return rc;
    rc = history_events(feed, member_text(*run, "run", name), NULL, -1, -1, &answer, err);
    if (rc < 0) {
        cJSON_Delete(*run);
        return rc;
    }
    for (const char *const *name_of = (const char *const[]){"events", "watched", NULL}; *name_of;
         name_of++) {
        part = cJSON_DetachItemFromObjectCaseSensitive(answer, *name_of);
        if (part && !cJSON_AddItemToObject(*run, *name_of, part)) {
            cJSON_Delete(part);
            rc = err_set(err, -ENOMEM, "out of memory");
        }
    }
    cJSON_Delete(answer);
    if (rc < 0)
        cJSON_Delete(*run);
    return rc;
}

static int show_run(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *run, *layers = NULL;
    const char *name = options->words[1];
    int rc = get_run(feed, name, &run, err);

    if (rc < 0)
        return rc;
    if (options->json) {
        rc = jsonline_print(run, stdout, err);
    } else {
        rc = history_layers(feed, member_text(run, "run", name), NULL, &layers, err);
        if (rc == 0)
            rc = print_run(run, layers, err);
    }
    cJSON_Delete(layers);
    cJSON_Delete(run);
    return rc;
}

int cmd_show(struct feedclient *feed, const struct options *options, struct err *err)
{
    if (options->spectrum)
        return cmd_spectrum(feed, options, err);
    if (options->layer || options->step >= 0)
        return err_set(err, -EINVAL, "--layer and --step go with --spectrum");
    return show_run(feed, options, err);
}
