#include "client/ctl/feed/runs.h"

#include <assert.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"

/* Runs of one answer. Each may carry 1 MiB of config, where it is asked for; else the most that the
 * feed gives, since it sorts all runs for each page. */
#define PAGE_RUNS_CONFIG 100
#define PAGE_RUNS        1000

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

/* What the query says of itself, then its filter. NULL without memory. */
static cJSON *make_params(const struct runs_query *query, int64_t limit, int64_t offset)
{
    cJSON *params =
        params_of(param_text("project", query->project), param_text("state", query->state),
                  param_text("order", query->order), param_integer("limit", limit),
                  param_integer("offset", offset), param_flag("config", query->config));
    const cJSON *parameter;

    cJSON_ArrayForEach(parameter, query->filter)
    {
        cJSON *copy = cJSON_Duplicate(parameter, 1);

        cJSON_DeleteItemFromObjectCaseSensitive(params, parameter->string);
        if (params && copy && cJSON_AddItemToObject(params, parameter->string, copy))
            continue;
        cJSON_Delete(copy);
        cJSON_Delete(params);
        return NULL;
    }
    return params;
}

int runs_each(struct feedclient *feed, const struct runs_query *query, runs_fn *on_run,
              void *context, struct err *err)
{
    bool has_config = query->config || member(query->filter, "config");
    int64_t page = has_config ? PAGE_RUNS_CONFIG : PAGE_RUNS;
    int64_t left = query->limit >= 0 ? query->limit : INT64_MAX, taken = 0, asked = page, n = asked;
    int rc = 0;

    assert(on_run);
    while (rc == 0 && left > 0 && n == asked) {
        asked = left < page ? left : page;
        rc = take_page(feed, make_params(query, asked, taken), on_run, context, &n, err);
        taken += n;
        left -= n;
    }
    return rc < 0 ? rc : 0;
}
