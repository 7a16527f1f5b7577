/* richctl show RUN: all that is known of one run. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/eventline.h"
#include "client/ctl/rows/layers.h"
#include "client/ctl/rows/table.h"
#include "proto/base/clock.h"
#include "proto/json.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static void add_time(struct table *table, const cJSON *value)
{
    char day[64], age[TEXT_SIZE];
    struct tm local;
    time_t seconds;

    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= TIME_MAX_S)) {
        table_add(table, NULL);
        return;
    }
    seconds = (time_t)value->valuedouble;
    localtime_r(&seconds, &local);
    strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &local);
    table_addf(table, "%s, %s", day, text_age(value->valuedouble, clock_wall_s(), age));
}

/* Of a run whose newest attempt the ranks of a job have opened. */
static void add_ranks(struct table *table, const cJSON *ranks)
{
    if (!cJSON_IsObject(ranks))
        return;
    table_add(table, "ranks");
    table_addf(table, "%.0f of %.0f open", member_number(ranks, "open"),
               member_number(ranks, "world"));
}

static void add_host(struct table *table, const char *host)
{
    if (!*host)
        return;
    table_add(table, "host");
    table_add(table, host);
}

/* What a person wrote. */
static void add_written(struct table *table, const cJSON *run)
{
    const char *note = member_text(run, "note", "");

    if (*note) {
        table_add(table, "note");
        table_add(table, note);
    }
    if (cJSON_IsTrue(member(run, "hidden"))) {
        table_add(table, "hidden");
        table_add(table, "yes");
    }
}

static int print_facts(const cJSON *run, struct err *err)
{
    static const char *const plain[] = {"run",   "name",    "project",   "group",   "tags",
                                        "state", "attempt", "last_step", "n_points"};
    static const char *const times[] = {"created", "updated"};
    struct table *table = table_new("ll");

    for (size_t i = 0; i < LENGTH(plain); i++) {
        table_add(table, plain[i]);
        table_add_json(table, member(run, plain[i]));
    }
    add_written(table, run);
    add_ranks(table, member(run, "ranks"));
    add_host(table, member_text(run, "host", ""));
    for (size_t i = 0; i < LENGTH(times); i++) {
        table_add(table, times[i]);
        add_time(table, member(run, times[i]));
    }
    return table_finish(table, stdout, err);
}

/* What the trainer said of the whole run, under its heading. */
static int print_constants(const cJSON *constants, const char *heading, struct err *err)
{
    struct table *table;
    const cJSON *entry;

    if (!constants || !constants->child)
        return 0;
    table = table_new("ll");
    printf("\n%s\n", heading);
    cJSON_ArrayForEach(entry, constants)
    {
        table_addf(table, "  %s", entry->string);
        table_add_json(table, entry);
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
        table_add_json(table, member(attempt, "attempt"));
        table_add_json(table, member(attempt, "state"));
        table_add_json(table, member(attempt, "first_step"));
        add_time(table, member(attempt, "opened"));
        add_time(table, member(attempt, "closed"));
    }
    return table_finish(table, stdout, err);
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
    int rc = print_facts(run, err);

    if (rc == 0)
        rc = print_constants(member(run, "config"), "config", err);
    if (rc == 0)
        rc = print_constants(member(run, "summary"), "summary", err);
    if (rc == 0)
        rc = print_attempts(member(run, "attempts"), err);
    if (rc == 0)
        rc = layers_print(answer, err);
    if (rc < 0)
        return rc;
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
