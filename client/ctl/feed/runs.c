#include "client/ctl/feed/runs.h"

#include <assert.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"

/* Runs of one answer: each may carry 1 MiB of config, where it is asked for. */
#define PAGE_RUNS 100

/* Takes one page; `*n` is the number of its runs. Returns what `on_run` said of the last one. */
static int take_page(struct feedclient *feed, cJSON *params, runs_fn *on_run, void *context,
                     int64_t *n, struct err *err)
{
    cJSON *answer, *run;
    int rc = feedclient_call(feed, "run.list", params, &answer, err);

    *n = 0;
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(run, member(answer, "runs"))
    {
        rc = on_run(context, run, err);
        if (rc < 0)
            break;
        ++*n;
    }
    cJSON_Delete(answer);
    return rc;
}

int runs_each(struct feedclient *feed, const struct runs_query *query, runs_fn *on_run,
              void *context, struct err *err)
{
    int64_t left = query->limit >= 0 ? query->limit : INT64_MAX, taken = 0, asked = PAGE_RUNS,
            n = asked;
    int rc = 0;

    assert(on_run);
    while (rc == 0 && left > 0 && n == asked) {
        asked = left < PAGE_RUNS ? left : PAGE_RUNS;
        rc = take_page(
            feed,
            params_of(param_text("project", query->project), param_text("state", query->state),
                      param_text("order", query->order), param_integer("limit", asked),
                      param_integer("offset", taken), param_flag("config", query->config)),
            on_run, context, &n, err);
        taken += n;
        left -= n;
    }
    return rc < 0 ? rc : 0;
}
