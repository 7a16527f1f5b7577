#include "client/ctl/top/feed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "proto/base/metric.h"
#include "proto/json.h"

/* Runs of one answer: each may carry 1 MiB of config. */
#define PAGE_RUNS 100
/* Room is left for the points that come while the curve is shown. */
#define QUERY_POINTS (TOP_SAMPLES / 2)

static int out_of_memory(struct err *e)
{
    return err_set(e, -ENOMEM, "out of memory");
}

/* From the daemon's present number on: what was before is in the list. */
static int subscribe(struct topfeed *t, struct err *e)
{
    cJSON *params = params_new(), *answer;
    const char *seq = "0";
    int rc = feedclient_call(t->feed, "server.hello", params_new(), &answer, e);

    if (rc == 0) {
        json_text(answer, "seq", 32, &seq, NULL);
        params_text(&params, "since_seq", seq);
        cJSON_Delete(answer);
        rc = feedclient_call(t->feed, "series.subscribe", params, &answer, e);
        params = NULL;
    }
    if (rc == 0)
        cJSON_Delete(answer);
    cJSON_Delete(params);
    return rc;
}

/* Lists one page. Returns its number of runs; `*last` is when the last of them changed. */
static int list_page(struct topfeed *t, const char *order, int64_t offset, double *last,
                     struct err *e)
{
    cJSON *params = params_new(), *answer, *run;
    int rc, n = 0;

    params_text(&params, "project", t->project);
    params_text(&params, "order", order);
    params_integer(&params, "limit", PAGE_RUNS);
    params_integer(&params, "offset", offset);
    rc = feedclient_call(t->feed, "run.list", params, &answer, e);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(answer, "runs"))
    {
        if (rc >= 0)
            rc = toplist_take_run(t->list, run, clock_wall_s());
        json_number(run, "updated", last, NULL);
        t->latest_update = fmax(t->latest_update, *last);
        n++;
    }
    cJSON_Delete(answer);
    return rc < 0 ? out_of_memory(e) : n;
}

/* In this order a run that starts meanwhile shifts the pages so that one shows twice, and none is
 * missed. */
static int list_all(struct topfeed *t, struct err *e)
{
    int64_t taken = 0;
    int n = PAGE_RUNS;

    while (n == PAGE_RUNS) {
        double last = 0;

        n = list_page(t, "created", taken, &last, e);
        if (n < 0)
            return n;
        taken += n;
    }
    return 0;
}

int topfeed_begin(struct topfeed *t, struct err *e)
{
    int rc = subscribe(t, e);

    if (rc < 0)
        return rc;
    /* A daemon that started anew may have another history. */
    toplist_clear(t->list);
    t->latest_update = 0;
    return list_all(t, e);
}

/* Down to those that changed before the last one that was known: on a quiet day, one page. */
int topfeed_refresh(struct topfeed *t, struct err *e)
{
    double known = t->latest_update, last = known;
    int64_t taken = 0;
    int n = PAGE_RUNS;

    while (n == PAGE_RUNS && last >= known) {
        n = list_page(t, "updated", taken, &last, e);
        if (n < 0)
            return n;
        taken += n;
    }
    return 0;
}

int topfeed_take_updates(struct topfeed *t, struct err *e)
{
    int n = 0;

    for (;;) {
        cJSON *update, *point;
        int rc = feedclient_next(t->feed, 0, &update, e);

        if (rc <= 0)
            return rc < 0 ? rc : n;
        cJSON_ArrayForEach(point, cJSON_GetObjectItemCaseSensitive(update, "points"))
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

static double cell_number(const cJSON *cell)
{
    return cJSON_IsNumber(cell) ? cell->valuedouble : (double)NAN;
}

static void fill_samples(struct toprun *r, const cJSON *entry, const char *value)
{
    const char *names[] = {"step", value};
    struct history_cursor cursor;

    history_cursor_init(&cursor, entry, names, 2);
    while (history_cursor_next(&cursor))
        toprun_add_sample(r, cell_number(cursor.cells[0]), cell_number(cursor.cells[1]));
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
