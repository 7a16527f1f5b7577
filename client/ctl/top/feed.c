#include "client/ctl/top/feed.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/feed/runs.h"
#include "proto/base/clock.h"
#include "proto/base/metric.h"

/* Room is left for the points that come while the curve is shown. */
#define QUERY_POINTS (TOP_SAMPLES / 2)

static int out_of_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* From the daemon's present number on: what was before is in the list. */
static int subscribe(struct topfeed *topfeed, struct err *err)
{
    cJSON *hello;
    int rc = feedclient_call(topfeed->feed, "server.hello", params_none(), &hello, err);

    if (rc < 0)
        return rc;
    rc = feedclient_call(topfeed->feed, "series.subscribe",
                         params_of(param_text("since_seq", member_text(hello, "seq", "0"))), NULL,
                         err);
    cJSON_Delete(hello);
    return rc;
}

/* Runs that changed before the last one that was known are as they were. */
static int take_run(void *context, cJSON *run, struct err *err)
{
    struct topfeed *topfeed = context;
    double updated = member_number(run, "updated");

    if (toplist_take_run(topfeed->list, run, clock_wall_s()) < 0)
        return out_of_memory(err);
    topfeed->latest_update = fmax(topfeed->latest_update, updated);
    return updated < topfeed->known_update;
}

int topfeed_begin(struct topfeed *topfeed, struct err *err)
{
    struct runs_query query = {.project = topfeed->project, .order = "created", .limit = -1};
    int rc = subscribe(topfeed, err);

    assert(topfeed->feed && topfeed->list);
    if (rc < 0)
        return rc;
    /* A daemon that started again may have another history. */
    toplist_clear(topfeed->list);
    topfeed->latest_update = topfeed->known_update = 0;
    return runs_each(topfeed->feed, &query, take_run, topfeed, err);
}

int topfeed_refresh(struct topfeed *topfeed, struct err *err)
{
    struct runs_query query = {.project = topfeed->project, .order = "updated", .limit = -1};

    topfeed->known_update = topfeed->latest_update;
    return runs_each(topfeed->feed, &query, take_run, topfeed, err);
}

int topfeed_take_updates(struct topfeed *topfeed, struct err *err)
{
    int n = 0;

    for (;;) {
        cJSON *update, *point;
        int rc = feedclient_next(topfeed->feed, 0, &update, err);

        if (rc <= 0)
            return rc < 0 ? rc : n;
        cJSON_ArrayForEach(point, member(update, "points"))
        {
            if (rc >= 0)
                rc = toplist_take_point(topfeed->list, point);
        }
        cJSON_Delete(update);
        if (rc < 0)
            return out_of_memory(err);
        n++;
    }
}

static void fill_samples(struct toprun *run, const cJSON *entry, const char *value)
{
    const struct history_column points[] = {{NULL, "step"}, {NULL, value}};
    const struct history_column bins[] = {{NULL, "step"}, {value, "last"}};
    struct history_cursor cursor;

    history_cursor_init(&cursor, entry, history_is_binned(entry) ? bins : points, 2);
    while (history_cursor_next(&cursor))
        toprun_add_sample(run, number_of(cursor.cells[0]), number_of(cursor.cells[1]));
}

int topfeed_sample(struct topfeed *topfeed, struct toprun *run, struct err *err)
{
    struct history_query query = {
        .run = run->run, .name = run->layer, .from = -1, .to = -1, .points = QUERY_POINTS};
    cJSON *entry;
    int rc;

    assert(run);
    if (run->sampled || !run->layer)
        return 0;
    rc = history_get_shown(topfeed->feed, &query, METRIC_D_LR, &entry, err);
    /* What the daemon refuses of one run must not end the others' screen: its curve is empty. */
    if (rc < 0 && rc != -EREMOTEIO)
        return rc;
    if (!toprun_clear_samples(run))
        rc = out_of_memory(err);
    else
        fill_samples(run, entry, query.metric);
    cJSON_Delete(entry);
    /* Also when a step went back: asking again would bring the same. */
    run->sampled = run->samples != NULL;
    return run->sampled ? 1 : rc;
}
