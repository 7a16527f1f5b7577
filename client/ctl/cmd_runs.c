/* richctl runs: the runs that the options mean, newest first or as --sort says. */
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/filter.h"
#include "client/ctl/feed/runs.h"
#include "client/ctl/rows/table.h"
#include "proto/base/clock.h"
#include "proto/base/metric.h"

/* Layers shown of one run; the others are counted. */
#define SHOWN_LAYERS 3

/* "head 0.0573, body 0.31*, and 2 more". */
static void add_layers(struct table *table, const cJSON *layers)
{
    char *text = NULL, number[TEXT_SIZE];
    const cJSON *layer;
    size_t size, n = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        table_add(table, "?");
        return;
    }
    cJSON_ArrayForEach(layer, layers)
    {
        if (n < SHOWN_LAYERS)
            fprintf(out, "%s%s %s", n > 0 ? ", " : "", member_text(layer, "layer", "?"),
                    shown_member(layer, METRIC_D_LR, number));
        n++;
    }
    if (n > SHOWN_LAYERS)
        fprintf(out, ", and %zu more", n - SHOWN_LAYERS);
    fclose(out);
    table_add(table, n > 0 ? text : NULL);
    free(text);
}

/* "lr" of "lr=1e-4..1e-2". */
static void name_key(const char *condition, char *name, size_t size)
{
    snprintf(name, size, "%.*s", (int)strcspn(condition, "="), condition);
}

/* What was asked of the configuration is worth a column. */
static void add_keys(struct table *table, const struct option_list *asked, const cJSON *config)
{
    char name[FILTER_KEY_SIZE];

    for (size_t i = 0; i < asked->n; i++) {
        name_key(asked->items[i], name, sizeof name);
        if (config)
            table_add_json(table, filter_config_value(config, name));
        else
            table_add(table, name);
    }
}

static void add_state(struct table *table, const cJSON *run)
{
    const char *state = member_text(run, "state", "-");

    table_addf(table, "%s%s", state, cJSON_IsTrue(member(run, "hidden")) ? ", hidden" : "");
}

struct list {
    struct table *table;
    const struct options *options;
};

static int add_run(void *context, cJSON *run, struct err *err)
{
    const struct list *list = context;
    struct table *table = list->table;
    char age[TEXT_SIZE];

    (void)err;
    table_add(table, member_text(run, "run", NULL));
    table_addf(table, "%s/%s", member_text(run, "project", ""), member_text(run, "name", ""));
    add_state(table, run);
    table_add_whole(table, member_number(run, "attempt"));
    table_add_whole(table, member_number(run, "last_step"));
    add_layers(table, member(run, "layers"));
    add_keys(table, &list->options->config, member(run, "config"));
    table_add(table, text_age(member_number(run, "updated"), clock_wall_s(), age));
    return 0;
}

static int print_json(void *context, cJSON *run, struct err *err)
{
    (void)context;
    return jsonline_print(run, stdout, err);
}

static int print_table(struct feedclient *feed, const struct runs_query *query,
                       const struct options *options, struct err *err)
{
    static const char *const heading[] = {"RUN",     "PROJECT/NAME", "STATE",
                                          "ATTEMPT", "STEP",         "LAYER D_LR"};
    char align[7 + OPTIONS_LIST_MAX + 1] = "lllrrl";
    struct list list = {.options = options};
    int rc;

    memset(align + 6, 'l', 1 + options->config.n);
    list.table = table_new(align);
    table_add_each(list.table, heading, sizeof heading / sizeof heading[0]);
    add_keys(list.table, &options->config, NULL);
    table_add(list.table, "UPDATED");
    rc = runs_each(feed, query, add_run, &list, err);
    if (rc == 0)
        return table_finish(list.table, stdout, err);
    table_free(list.table);
    return rc;
}

int cmd_runs(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct runs_query query = {.limit = options->limit, .config = options->json};
    cJSON *filter;
    int rc = filter_make(options, &filter, err);

    if (rc < 0)
        return rc;
    query.filter = filter;
    rc = options->json ? runs_each(feed, &query, print_json, NULL, err)
                       : print_table(feed, &query, options, err);
    cJSON_Delete(filter);
    return rc;
}
