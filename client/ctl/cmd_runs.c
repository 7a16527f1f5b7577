/* richctl runs: the runs, newest first. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/table.h"
#include "client/ctl/common/text.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* Runs of one answer. */
#define PAGE_RUNS 100
/* Layers shown of one run; the others are counted. */
#define SHOWN_LAYERS 3

/* The run as text: absent members are "-", and numbers NaN. */
static const char *text_of(const cJSON *run, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(run, name);

    return cJSON_IsString(member) ? member->valuestring : NULL;
}

static double number_of(const cJSON *run, const char *name)
{
    double value = (double)NAN;

    json_number(run, name, &value, NULL);
    return value;
}

static void add_whole(struct table *t, double value)
{
    if (isfinite(value))
        table_addf(t, "%.0f", value);
    else
        table_add(t, NULL);
}

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
        const char *name = text_of(layer, "layer");

        if (n < SHOWN_LAYERS)
            fprintf(out, "%s%s %s", n > 0 ? ", " : "", name ? name : "?",
                    text_number(number_of(layer, "d_lr"), number));
        n++;
    }
    if (n > SHOWN_LAYERS)
        fprintf(out, ", and %zu more", n - SHOWN_LAYERS);
    fclose(out);
    table_add(t, n > 0 ? text : NULL);
    free(text);
}

static void add_run(struct table *t, const cJSON *run, double now_s)
{
    const char *project = text_of(run, "project"), *name = text_of(run, "name");
    char age[TEXT_SIZE];

    table_add(t, text_of(run, "run"));
    table_addf(t, "%s/%s", project ? project : "", name ? name : "");
    table_add(t, text_of(run, "state"));
    add_whole(t, number_of(run, "attempt"));
    add_whole(t, number_of(run, "last_step"));
    add_layers(t, cJSON_GetObjectItemCaseSensitive(run, "layers"));
    table_add(t, text_age(number_of(run, "updated"), now_s, age));
}

/* One page of the list, at most `limit` runs. */
static int fetch_page(struct feedclient *feed, const struct options *o, int64_t offset,
                      int64_t limit, cJSON **answer, struct err *e)
{
    cJSON *params = params_new();

    params_text(&params, "project", o->project);
    params_text(&params, "state", o->state);
    params_integer(&params, "limit", limit);
    params_integer(&params, "offset", offset);
    return feedclient_call(feed, "run.list", params, answer, e);
}

/* Prints one page's runs, or adds them to the table. Returns their number, or an error. */
static int take_page(const cJSON *answer, struct table *t, struct err *e)
{
    double now_s = clock_wall_s();
    cJSON *run;
    int n = 0;

    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(answer, "runs"))
    {
        int rc = 0;

        if (t)
            add_run(t, run, now_s);
        else
            rc = jsonline_print(run, stdout, e);
        if (rc < 0)
            return rc;
        n++;
    }
    return n;
}

/* A run that starts while the pages are read shifts them: it may show one run twice, and hides
 * none. */
static int take_all(struct feedclient *feed, const struct options *o, struct table *t,
                    struct err *e)
{
    int64_t taken = 0;

    for (;;) {
        int64_t limit = PAGE_RUNS;
        cJSON *answer;
        int rc;

        if (o->limit >= 0 && o->limit - taken < limit)
            limit = o->limit - taken;
        if (limit == 0)
            return 0;
        rc = fetch_page(feed, o, taken, limit, &answer, e);
        if (rc < 0)
            return rc;
        rc = take_page(answer, t, e);
        cJSON_Delete(answer);
        if (rc < limit)
            return rc < 0 ? rc : 0;
        taken += rc;
    }
}

static struct table *new_table(void)
{
    static const char *const heading[] = {"RUN",  "PROJECT/NAME", "STATE",  "ATTEMPT",
                                          "STEP", "D_LR",         "UPDATED"};
    struct table *t = table_new("lllrrll");

    for (size_t i = 0; t && i < sizeof heading / sizeof heading[0]; i++)
        table_add(t, heading[i]);
    return t;
}

int cmd_runs(struct feedclient *feed, const struct options *o, struct err *e)
{
    struct table *t;
    int rc;

    if (o->json)
        return take_all(feed, o, NULL, e);
    t = new_table();
    if (!t)
        return err_set(e, -ENOMEM, "out of memory");
    rc = take_all(feed, o, t, e);
    if (rc == 0 && table_print(t, stdout) < 0)
        rc = err_set(e, -ENOMEM, "out of memory");
    table_free(t);
    return rc;
}
