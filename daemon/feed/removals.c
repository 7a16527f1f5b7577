#include <errno.h>
#include <math.h>

#include "daemon/feed/parts.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* What a person has leave the history: one run, or the oldest ones. The store's lane carries the
 * errand out in pieces; the client is lent all the while, and who subscribes is told of each run.
 * Tested by test_hub.c. */

static int carry_out(struct store *store, struct store_task *task, struct err *err)
{
    return store_errand(store, &LIST_ENTRY(task, struct question, task)->errand, err);
}

static cJSON *deletion_to_json(const struct errand *errand)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "run", errand->runs[0].id) &&
        json_add_integer(object, "points", errand->n_points))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *details_to_json(const struct errand *errand)
{
    cJSON *array = cJSON_CreateArray();
    bool is_whole = array != NULL;

    for (size_t i = 0; is_whole && i < errand->n_runs; i++) {
        const struct errand_run *run = &errand->runs[i];
        cJSON *object = cJSON_CreateObject();

        is_whole = object && cJSON_AddItemToArray(array, object) &&
                   cJSON_AddStringToObject(object, "run", run->id) &&
                   json_add_integer(object, "points", run->n_points) &&
                   json_add_double(object, "updated", run->updated) &&
                   json_add_integer(object, "bytes", run->bytes);
    }
    if (is_whole)
        return array;
    cJSON_Delete(array);
    return NULL;
}

static bool add_details(cJSON *object, const struct errand *errand)
{
    cJSON *details = errand->is_dry ? details_to_json(errand) : NULL;

    return !errand->is_dry || (details && cJSON_AddItemToObject(object, "details", details));
}

static cJSON *prune_to_json(const struct errand *errand)
{
    cJSON *object = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(object, "runs");
    bool is_whole = runs != NULL;

    for (size_t i = 0; is_whole && i < errand->n_runs; i++) {
        cJSON *id = cJSON_CreateString(errand->runs[i].id);

        is_whole = id && cJSON_AddItemToArray(runs, id);
    }
    if (is_whole && json_add_integer(object, "points", errand->n_points) &&
        json_add_integer(object, "bytes_before", errand->bytes_before) &&
        json_add_integer(object, "bytes_after", errand->bytes_after) && add_details(object, errand))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static void on_carried_out(struct store_task *task)
{
    struct question *question = LIST_ENTRY(task, struct question, task);
    struct errand *errand = &question->errand;

    /* An open run is the asker's mistake, and not the daemon's failure. */
    question->rc = task->rc == -EBUSY ? -EINVAL : task->rc;
    question->why = task->why;
    if (!errand->is_dry)
        feedhub_tell_left(question->client->hub, errand);
    if (question->rc == 0)
        feed_send_result(question->client, question->request.id,
                         errand->kind == ERRAND_DELETE ? deletion_to_json(errand)
                                                       : prune_to_json(errand));
    errand_release(errand);
    feed_end_lent_question(question);
}

static int start(struct question *question)
{
    question->task.work = carry_out;
    question->task.done = on_carried_out;
    feed_lend_to_store(question);
    return 0;
}

int feed_delete_run(struct question *question)
{
    struct feed_run params = {0};
    int rc = feed_check_may_write(question);

    if (rc == 0)
        rc = feed_run_read(&question->request, &params, &question->why);
    if (rc < 0)
        return rc;
    question->errand = (struct errand){.kind = ERRAND_DELETE, .time = clock_wall_s()};
    snprintf(question->errand.run, sizeof question->errand.run, "%s", params.run);
    return start(question);
}

int feed_prune(struct question *question)
{
    struct feed_prune params = {0};
    int rc = feed_check_may_write(question);

    if (rc == 0)
        rc = feed_prune_read(&question->request, &params, &question->why);
    if (rc < 0)
        return rc;
    errand_prune(&question->errand, clock_wall_s(), params.keep_days, params.max_bytes);
    question->errand.is_dry = params.is_dry;
    return start(question);
}

/* ---- who subscribes ------------------------------------------------------------------------- */

void feedhub_tell_left(struct feedhub *hub, const struct errand *errand)
{
    LIST_EACH_SAFE(at, &hub->clients)
    {
        for (size_t i = 0; i < errand->n_runs; i++)
            feed_subs_tell_left(LIST_ENTRY(at, struct feed_client, link), &errand->runs[i]);
    }
}
