#include "client/ctl/top/feed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "client/ctl/common/member.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/feed/runs.h"
#include "proto/base/metric.h"

/* Room is left for the points that come while the curve is shown. */
#define QUERY_POINTS (TOP_SAMPLES / 2)

static int out_of_memory(struct err *e)
{
    return err_set(e, -ENOMEM, "out of memory");
}

/* From the daemon's present number on: what was before is in the list. */
static int subscribe(struct topfeed *t, struct err *e)
{
    cJSON *hello;
    int rc = feedclient_call(t->feed, "server.hello", params_none(), &hello, e);

    if (rc < 0)
        return rc;
    rc = feedclient_call(t->feed, "series.subscribe",
                         params_of(param_text("since_seq", member_text(hello, "seq", "0"))), NULL,
                         e);
    cJSON_Delete(hello);
    return rc;
}

/* Runs that changed before the last one that was known are as they were. */
static int take_run(void *context, cJSON *run, struct err *e)
{
    struct topfeed *t = context;
    double updated = member_number(run, "updated");

    if (toplist_take_run(t->list, run, clock_wall_s()) < 0)
        return out_of_memory(e);
    t->latest_update = fmax(t->latest_update, updated);
    return updated < t->known_update;
}

int topfeed_begin(struct topfeed *t, struct err *e)
{
    struct runs_query q = {.project = t->project, .order = "created", .limit = -1};
    int rc = subscribe(t, e);

    if (rc < 0)
        return rc;
    /* A daemon that started again may have another history. */
    toplist_clear(t->list);
    t->latest_update = t->known_update = 0;
    return runs_each(t->feed, &q, take_run, t, e);
}

int topfeed_refresh(struct topfeed *t, struct err *e)
{
    struct runs_query q = {.project = t->project, .order = "updated", .limit = -1};

    t->known_update = t->latest_update;
    return runs_each(t->feed, &q, take_run, t, e);
}

int topfeed_take_updates(struct topfeed *t, struct err *e)
{
    int n = 0;

    for (;;) {
        cJSON *update, *point;
        int rc = feedclient_next(t->feed, 0, &update, e);

        if (rc <= 0)
            return rc < 0 ? rc : n;
        cJSON_ArrayForEach(point, member(update, "points"))
        {
            if (rc >= 0)
                rc = toplist_take_point(t->list, point);
        }
        cJSON_Delete(update);
        if (rc < 0)
            return out_of_memory(e);
        n++;
    }
}

static void fill_samples(struct toprun *r, const cJSON *entry, const char *value)
{
    const char *names[] = {"step", value};
    struct history_cursor cursor;

    history_cursor_init(&cursor, entry, names, 2);
    while (history_cursor_next(&cursor))
        toprun_add_sample(r, number_of(cursor.cells[0]), number_of(cursor.cells[1]));
}

int topfeed_sample(struct topfeed *t, struct toprun *r, struct err *e)
{
    const char *d_lr = metric_table[METRIC_D_LR].name;
    struct history_query query = {.run = r->run,
                                  .name = r->layer,
                                  .metric = d_lr,
                                  .from = -1,
                                  .to = -1,
                                  .points = QUERY_POINTS};
    char last[32];
    cJSON *entry;
    int rc;

    if (r->sampled || !r->layer)
        return 0;
    rc = history_get(t->feed, &query, &entry, e);
    /* What the daemon refuses of one run must not end the others' screen. */
    if (rc == -EREMOTEIO) {
        r->sampled = true;
        return 0;
    }
    if (rc < 0)
        return rc;
    snprintf(last, sizeof last, "%s.last", d_lr);
    if (!toprun_clear_samples(r))
        rc = out_of_memory(e);
    else if (entry)
        fill_samples(r, entry, history_is_binned(entry) ? last : d_lr);
    cJSON_Delete(entry);
    r->sampled = true;
    return rc < 0 ? rc : 1;
}
