/* richctl runs: the runs, newest first. */
#include <stdlib.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/text.h"
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

static int add_run(void *context, cJSON *run, struct err *err)
{
    struct table *table = context;
    char age[TEXT_SIZE];

    (void)err;
    table_add(table, member_text(run, "run", NULL));
    table_addf(table, "%s/%s", member_text(run, "project", ""), member_text(run, "name", ""));
    table_add(table, member_text(run, "state", NULL));
    table_add_whole(table, member_number(run, "attempt"));
    table_add_whole(table, member_number(run, "last_step"));
    add_layers(table, member(run, "layers"));
    table_add(table, text_age(member_number(run, "updated"), clock_wall_s(), age));
    return 0;
}

static int print_json(void *context, cJSON *run, struct err *err)
{
    (void)context;
    return jsonline_print(run, stdout, err);
}

int cmd_runs(struct feedclient *feed, const struct options *options, struct err *err)
{
    static const char *const heading[] = {"RUN",  "PROJECT/NAME", "STATE",  "ATTEMPT",
                                          "STEP", "D_LR",         "UPDATED"};
    struct runs_query query = {.project = options->project,
                               .state = options->state,
                               .limit = options->limit,
                               .config = options->json};
    struct table *table;
    int rc;

    if (options->json)
        return runs_each(feed, &query, print_json, NULL, err);
    table = table_new("lllrrll");
    table_add_each(table, heading, sizeof heading / sizeof heading[0]);
    rc = runs_each(feed, &query, add_run, table, err);
    if (rc == 0)
        return table_finish(table, stdout, err);
    table_free(table);
    return rc;
}
