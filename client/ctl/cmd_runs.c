/* richctl runs: the runs, newest first. */
#include <stdlib.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/runs.h"
#include "client/ctl/rows/table.h"
#include "proto/base/clock.h"

/* Layers shown of one run; the others are counted. */
#define SHOWN_LAYERS 3

/* "head 0.0941, body 0.31, and 2 more". */
static void add_layers(struct table *t, const cJSON *layers)
{
    char *text = NULL, number[TEXT_SIZE];
    const cJSON *layer;
    size_t size, n = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        table_add(t, "?");
        return;
    }
    cJSON_ArrayForEach(layer, layers)
    {
        if (n < SHOWN_LAYERS)
            fprintf(out, "%s%s %s", n > 0 ? ", " : "", member_text(layer, "layer", "?"),
                    text_number(member_number(layer, "d_lr"), number));
        n++;
    }
    if (n > SHOWN_LAYERS)
        fprintf(out, ", and %zu more", n - SHOWN_LAYERS);
    fclose(out);
    table_add(t, n > 0 ? text : NULL);
    free(text);
}

static int add_run(void *table, cJSON *run, struct err *e)
{
    struct table *t = table;
    char age[TEXT_SIZE];

    (void)e;
    table_add(t, member_text(run, "run", NULL));
    table_addf(t, "%s/%s", member_text(run, "project", ""), member_text(run, "name", ""));
    table_add(t, member_text(run, "state", NULL));
    table_add_whole(t, member_number(run, "attempt"));
    table_add_whole(t, member_number(run, "last_step"));
    add_layers(t, member(run, "layers"));
    table_add(t, text_age(member_number(run, "updated"), clock_wall_s(), age));
    return 0;
}

static int print_json(void *context, cJSON *run, struct err *e)
{
    (void)context;
    return jsonline_print(run, stdout, e);
}

int cmd_runs(struct feedclient *feed, const struct options *o, struct err *e)
{
    static const char *const heading[] = {"RUN",  "PROJECT/NAME", "STATE",  "ATTEMPT",
                                          "STEP", "D_LR",         "UPDATED"};
    struct runs_query q = {.project = o->project, .state = o->state, .limit = o->limit};
    struct table *t;
    int rc;

    if (o->json)
        return runs_each(feed, &q, print_json, NULL, e);
    t = table_new("lllrrll");
    table_add_each(t, heading, sizeof heading / sizeof heading[0]);
    rc = runs_each(feed, &q, add_run, t, e);
    if (rc == 0)
        return table_finish(t, stdout, e);
    table_free(t);
    return rc;
}
