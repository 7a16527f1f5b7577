/* richctl show RUN: all that is known of one run. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/rows/eventline.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/rows/table.h"
#include "client/ctl/common/text.h"
#include "proto/base/clock.h"
#include "proto/json.h"

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A value as people write it: text bare, the rest as JSON. */
static void add_value(struct table *t, const cJSON *value)
{
    char *text;

    if (!value || cJSON_IsNull(value)) {
        table_add(t, NULL);
        return;
    }
    if (cJSON_IsString(value)) {
        table_add(t, *value->valuestring ? value->valuestring : NULL);
        return;
    }
    text = json_print(value);
    table_add(t, text ? text : "?");
    cJSON_free(text);
}

static void add_time(struct table *t, const cJSON *value)
{
    char day[64], age[TEXT_SIZE];
    struct tm local;
    time_t seconds;

    if (!cJSON_IsNumber(value)) {
        table_add(t, NULL);
        return;
    }
    seconds = (time_t)value->valuedouble;
    localtime_r(&seconds, &local);
    strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &local);
    table_addf(t, "%s, %s", day, text_age(value->valuedouble, clock_wall_s(), age));
}

static int finish_table(struct table *t, struct err *e)
{
    int rc = t ? table_print(t, stdout) : -ENOMEM;

    table_free(t);
    return rc < 0 ? err_set(e, rc, "out of memory") : 0;
}

static int print_facts(const cJSON *run, struct err *e)
{
    static const char *const plain[] = {"run",   "name",    "project",   "group",   "tags",
                                        "state", "attempt", "last_step", "n_points"};
    static const char *const times[] = {"created", "updated"};
    struct table *t = table_new("ll");

    for (size_t i = 0; t && i < sizeof plain / sizeof plain[0]; i++) {
        table_add(t, plain[i]);
        add_value(t, member(run, plain[i]));
    }
    for (size_t i = 0; t && i < sizeof times / sizeof times[0]; i++) {
        table_add(t, times[i]);
        add_time(t, member(run, times[i]));
    }
    return finish_table(t, e);
}

static int print_config(const cJSON *config, struct err *e)
{
    struct table *t;
    const cJSON *entry;

    if (!config || !config->child)
        return 0;
    t = table_new("ll");
    printf("\nconfig\n");
    for (entry = config->child; t && entry; entry = entry->next) {
        table_addf(t, "  %s", entry->string ? entry->string : "");
        add_value(t, entry);
    }
    return finish_table(t, e);
}

static int print_attempts(const cJSON *attempts, struct err *e)
{
    static const char *const heading[] = {"attempt", "state", "first step", "opened", "closed"};
    struct table *t;
    const cJSON *attempt;

    if (!attempts || !attempts->child)
        return 0;
    t = table_new("rlrll");
    printf("\n");
    for (size_t i = 0; t && i < sizeof heading / sizeof heading[0]; i++)
        table_add(t, heading[i]);
    for (attempt = attempts->child; t && attempt; attempt = attempt->next) {
        add_value(t, member(attempt, "attempt"));
        add_value(t, member(attempt, "state"));
        add_value(t, member(attempt, "first_step"));
        add_time(t, member(attempt, "opened"));
        add_time(t, member(attempt, "closed"));
    }
    return finish_table(t, e);
}

static void add_number(struct table *t, const cJSON *value)
{
    char text[TEXT_SIZE];

    table_add(t, cJSON_IsNumber(value) ? text_number(value->valuedouble, text) : NULL);
}

/* Which measures some layer has: the rest would be empty columns. */
static void find_measured(const cJSON *layers, bool shown[METRIC_COUNT])
{
    const cJSON *layer;

    memset(shown, 0, METRIC_COUNT * sizeof *shown);
    cJSON_ArrayForEach(layer, layers)
    {
        pointrow_mark_measured(member(layer, "last"), shown);
    }
}

static void add_layer(struct table *t, const cJSON *layer, const bool shown[METRIC_COUNT])
{
    static const char *const whole[] = {"p", "c", "n_points"};
    const cJSON *last = member(layer, "last");

    add_value(t, member(layer, "layer"));
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        add_value(t, member(layer, whole[i]));
    add_value(t, member(last, "step"));
    add_value(t, member(last, "n"));
    add_value(t, member(last, "rank"));
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (shown[i])
            add_number(t, member(last, metric_table[i].name));
    }
}

static int print_layers(const cJSON *layers, struct err *e)
{
    static const char *const heading[] = {"layer", "p", "c", "points", "last step", "n", "rank"};
    char align[sizeof heading / sizeof heading[0] + METRIC_COUNT + 1] = "l";
    bool shown[METRIC_COUNT];
    struct table *t;
    const cJSON *layer;
    size_t n = sizeof heading / sizeof heading[0];

    if (!layers || !layers->child)
        return 0;
    find_measured(layers, shown);
    for (int i = 0; i < METRIC_COUNT; i++)
        n += shown[i];
    memset(align + 1, 'r', n - 1);
    t = table_new(align);
    printf("\n");
    for (size_t i = 0; t && i < sizeof heading / sizeof heading[0]; i++)
        table_add(t, heading[i]);
    for (int i = 0; t && i < METRIC_COUNT; i++) {
        if (shown[i])
            table_add(t, metric_table[i].name);
    }
    for (layer = layers->child; t && layer; layer = layer->next)
        add_layer(t, layer, shown);
    return finish_table(t, e);
}

static const char *sentence_of(const char *flag)
{
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (strcmp(flag_table[i].name, flag) == 0)
            return flag_table[i].description;
    }
    return "a flag newer than this richctl";
}

/* The flags of each layer's last point, in words. */
static void print_flags(const cJSON *layers)
{
    const cJSON *layer, *flag;

    cJSON_ArrayForEach(layer, layers)
    {
        const char *name = "?";

        json_text(layer, "layer", 256, &name, NULL);
        cJSON_ArrayForEach(flag, member(member(layer, "last"), "flags"))
        {
            if (!cJSON_IsString(flag))
                continue;
            text_print(name, stdout);
            fputs(": ", stdout);
            text_print(flag->valuestring, stdout);
            printf(": %s\n", sentence_of(flag->valuestring));
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

static void print_events(const cJSON *events)
{
    const cJSON *event;

    if (events && events->child)
        printf("\n");
    cJSON_ArrayForEach(event, events)
    {
        const char *layer = "?";

        json_text(event, "layer", 256, &layer, NULL);
        text_print(layer, stdout);
        fputs(": ", stdout);
        eventline_print(event, stdout);
        printf("\n");
    }
}

static int print_run(const cJSON *run, const cJSON *layers, struct err *e)
{
    int rc = print_facts(run, e);

    if (rc == 0)
        rc = print_config(member(run, "config"), e);
    if (rc == 0)
        rc = print_attempts(member(run, "attempts"), e);
    if (rc == 0)
        rc = print_layers(layers, e);
    if (rc < 0)
        return rc;
    print_flags(layers);
    print_scalars(member(run, "scalars"));
    print_events(member(run, "events"));
    return 0;
}

/* The run with "events": its EVENTs. */
static int get_run(struct feedclient *feed, const char *name, cJSON **run, struct err *e)
{
    cJSON *params = params_new(), *events;
    int rc;

    params_text(&params, "run", name);
    rc = feedclient_call(feed, "run.get", params, run, e);
    if (rc < 0)
        return rc;
    json_text(*run, "run", 256, &name, NULL);
    rc = eventline_query(feed, name, NULL, -1, -1, &events, e);
    if (rc == 0 && !cJSON_AddItemToObject(*run, "events", events)) {
        cJSON_Delete(events);
        rc = err_set(e, -ENOMEM, "out of memory");
    }
    if (rc < 0)
        cJSON_Delete(*run);
    return rc;
}

static int show_run(struct feedclient *feed, const struct options *o, struct err *e)
{
    cJSON *run, *layers = NULL;
    const char *id = o->words[1];
    int rc = get_run(feed, id, &run, e);

    if (rc < 0)
        return rc;
    if (o->json) {
        rc = jsonline_print(run, stdout, e);
    } else {
        json_text(run, "run", 256, &id, NULL);
        rc = history_layers(feed, id, NULL, &layers, e);
        if (rc == 0)
            rc = print_run(run, member(layers, "layers"), e);
    }
    cJSON_Delete(layers);
    cJSON_Delete(run);
    return rc;
}

int cmd_show(struct feedclient *feed, const struct options *o, struct err *e)
{
    if (o->spectrum)
        return cmd_spectrum(feed, o, e);
    if (o->layer || o->step >= 0)
        return err_set(e, -EINVAL, "--layer and --step go with --spectrum");
    return show_run(feed, o, e);
}
