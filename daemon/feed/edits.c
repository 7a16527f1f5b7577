#include "daemon/feed/parts.h"
#include "proto/json.h"

/* What a person changes: a reader finds the run, the store's lane writes, and a reader answers with
 * what is then stored. The client is lent all the while. Nobody is told: who shows runs asks for
 * them again. Tested by test_hub.c. */

bool feed_may_write(const struct feed_client *client)
{
    return client->hub->lane && client->transport->may_write &&
           client->transport->may_write(client->arg);
}

int feed_check_may_write(struct question *question)
{
    return feed_may_write(question->client)
               ? 0
               : err_set(&question->why, FEED_NOT_ALLOWED,
                         "this connection may read, and not write: HTTP needs a token that writes,"
                         " a feed over TCP never does");
}

static int write_edit(struct store *store, struct store_task *task, struct err *err)
{
    const struct question *question = LIST_ENTRY(task, struct question, task);
    const struct feed_run_edit *edit = &question->edit;

    return store_edit_run(store,
                          &(struct run_edit){.run_key = question->run_key,
                                             .name = edit->name,
                                             .note = edit->note,
                                             .tags = question->tags,
                                             .has_hidden = edit->has_hidden,
                                             .hidden = edit->hidden},
                          err);
}

static void on_written(struct store_task *task)
{
    struct question *question = LIST_ENTRY(task, struct question, task);

    question->rc = task->rc;
    question->why = task->why;
    if (question->rc < 0)
        feed_end_lent_question(question);
    else
        feed_ask_run(question);
}

static void work_find(struct history *history, struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);

    question->rc = history_find_id(history, question->edit.run, &question->run_key, question->run,
                                   &question->why);
}

static void on_found(struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);

    if (question->rc < 0 || question->client->is_gone) {
        feed_end_lent_question(question);
        return;
    }
    question->task.work = write_edit;
    question->task.done = on_written;
    store_lane_do(question->client->hub->lane, &question->task);
}

int feed_edit_run(struct question *question)
{
    int rc = feed_check_may_write(question);

    if (rc == 0)
        rc = feed_run_edit_read(&question->request, &question->edit, &question->why);
    if (rc < 0)
        return rc;
    question->tags = question->edit.tags ? json_print(question->edit.tags) : NULL;
    if (question->edit.tags && !question->tags)
        return err_set(&question->why, FEED_FAILED, "out of memory");
    feed_ask(question, work_find, on_found);
    return 0;
}
