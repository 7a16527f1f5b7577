#include <errno.h>

#include "daemon/feed/parts.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* The views of the page that a person saves and deletes: the store's lane writes, with the client
 * lent meanwhile. Nobody is told: a page asks for the list when its menu is opened. Tested by
 * test_hub.c. */

static int write_view(struct store *store, struct store_task *task, struct err *err)
{
    const struct question *question = LIST_ENTRY(task, struct question, task);

    return question->view.query ? store_save_view(store, &question->view, err)
                                : store_delete_view(store, question->view.name, err);
}

static cJSON *view_to_json(const struct view_edit *view)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "name", view->name) &&
        (!view->query || json_add_double(object, "saved", view->time)))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static void on_written(struct store_task *task)
{
    struct question *question = LIST_ENTRY(task, struct question, task);

    /* A name that is taken is the asker's mistake, and not the daemon's failure. */
    question->rc = task->rc == -EEXIST ? -EINVAL : task->rc;
    question->why = task->why;
    if (question->rc == 0)
        feed_send_result(question->client, question->request.id, view_to_json(&question->view));
    feed_end_lent_question(question);
}

static int start(struct question *question)
{
    question->task.work = write_view;
    question->task.done = on_written;
    feed_lend_to_store(question);
    return 0;
}

int feed_save_view(struct question *question)
{
    struct feed_view_save params;
    int rc = feed_check_may_write(question);

    if (rc == 0)
        rc = feed_view_save_read(&question->request, &params, &question->why);
    if (rc < 0)
        return rc;
    question->view = (struct view_edit){.name = params.name,
                                        .query = params.query,
                                        .note = params.note,
                                        .replace = params.replace,
                                        .time = clock_wall_s()};
    return start(question);
}

int feed_delete_view(struct question *question)
{
    struct feed_view_delete params;
    int rc = feed_check_may_write(question);

    if (rc == 0)
        rc = feed_view_delete_read(&question->request, &params, &question->why);
    if (rc < 0)
        return rc;
    question->view = (struct view_edit){.name = params.name};
    return start(question);
}
