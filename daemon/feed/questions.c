#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"

/* ---- texts out ------------------------------------------------------------------------------- */

const struct feed_words feed_lines = {
    .result = feed_result,
    .error = feed_error,
    .notification = feed_notification,
    .form = ANSWER_LINE,
};

void feed_send_text(struct feed_client *client, int code, char *text, size_t size)
{
    if (text && !client->is_gone)
        client->transport->send(client->arg, code, text, size);
    else
        free(text);
}

void feed_send_error(struct feed_client *client, const cJSON *object, int code, const char *why)
{
    size_t size;
    char *text = client->transport->words->error(object, code, why, &size);

    feed_send_text(client, code, text, size);
}

void feed_send_result(struct feed_client *client, const cJSON *object, cJSON *result)
{
    size_t size;
    char *text = result ? client->transport->words->result(object, result, &size) : NULL;

    if (text)
        feed_send_text(client, 0, text, size);
    else
        feed_send_error(client, object, FEED_FAILED, "out of memory");
}

/* ---- queries --------------------------------------------------------------------------------- */

void feed_lend(struct feed_client *client, struct query *query, query_work_cb *work,
               query_done_cb *done)
{
    query->work = work;
    query->done = done;
    query->is_unwanted = &client->is_gone;
    client->n_queries++;
    client->hub->n_queries++;
    readers_submit(client->hub->readers, query);
}

void feed_free_if_gone(struct feed_client *client)
{
    if (!client->is_gone || client->n_queries > 0)
        return;
    list_remove(&client->link);
    client->hub->n_clients--;
    free(client);
}

void feed_take_back(struct feed_client *client)
{
    assert(client->n_queries > 0 && client->hub->n_queries > 0);
    client->n_queries--;
    client->hub->n_queries--;
    feed_free_if_gone(client);
}

/* ---- questions ------------------------------------------------------------------------------- */

void feed_ask(struct question *question, query_work_cb *work, query_done_cb *done)
{
    feed_lend(question->client, &question->query, work, done);
}

void feed_end_question(struct question *question)
{
    struct feed_client *client = question->client;

    feed_request_release(&question->request);
    cJSON_free(question->tags);
    text_free(question->text);
    free(question);
    if (!client->is_gone)
        client->transport->ready(client->arg);
}

/* The client is lent until the end: the next request comes from below `ready`, and may end it. */
void feed_end_lent_question(struct question *question)
{
    struct feed_client *client = question->client;

    if (question->rc < 0)
        feed_send_error(client, question->request.id, feed_code_of(question->rc),
                        question->why.text);
    feed_end_question(question);
    feed_take_back(client);
}

/* ---- answers of the history ------------------------------------------------------------------ */

/* What was written down of a long answer goes back to the system from here; an arena would keep
 * what its thread's longest answer took. */
#define LONG_ANSWER_BYTES (256u << 10)

void feed_give_back(size_t size)
{
    if (size >= LONG_ANSWER_BYTES)
        malloc_trim(0);
}

/* On a reader: the text of the answer, which `answer` writes. */
static int start_answer(struct question *question, struct answer *answer)
{
    const struct feed_words *words = question->client->transport->words;

    question->text = text_new(question->client->hub->room);
    if (!question->text)
        return err_set(&question->why, -ENOMEM, "out of memory");
    answer_start(answer, words->form, question->request.id, text_stream(question->text));
    return 0;
}

static int end_answer(struct question *question, struct answer *answer)
{
    int written = answer_end(answer), rc = text_end(question->text);

    if (question->rc < 0)
        return question->rc;
    if (rc == 0 && written < 0)
        rc = written;
    if (rc == -ENOBUFS)
        return err_set(&question->why, rc,
                       "the answers that readers have not taken fill all room: ask later");
    return rc < 0 ? err_set(&question->why, rc, "the answer was not written: %s", strerror(-rc))
                  : 0;
}

/* One row a method that the history answers: how its parameters are read, and the function that
 * writes the answer. */
#define QUERY(name, params, read, put)                                                             \
    static void name(struct history *h, struct query *base)                                        \
    {                                                                                              \
        struct question *q = LIST_ENTRY(base, struct question, query);                             \
        struct answer answer;                                                                      \
        struct params p;                                                                           \
                                                                                                   \
        q->rc = read(&q->request, &p, &q->why) < 0 ? -EINVAL : start_answer(q, &answer);           \
        if (q->rc < 0)                                                                             \
            return;                                                                                \
        q->rc = put(h, &p, &answer, &q->why);                                                      \
        q->rc = end_answer(q, &answer);                                                            \
        feed_give_back(text_left(q->text));                                                        \
    }
/* The same of those that are a tree. */
#define PUT_TREE(name, params, ask)                                                                \
    static int name(struct history *h, const struct params *p, struct answer *answer,              \
                    struct err *err)                                                               \
    {                                                                                              \
        cJSON *tree;                                                                               \
        int rc = ask(h, p, &tree, err);                                                            \
                                                                                                   \
        if (rc == 0)                                                                               \
            answer_tree(answer, tree);                                                             \
        return rc;                                                                                 \
    }

PUT_TREE(put_run, feed_run, history_run_get)
PUT_TREE(put_spectrum, feed_spectrum_query, history_spectrum)
PUT_TREE(put_representations, feed_run, history_representation_list)
PUT_TREE(put_map, feed_representation_map, history_representation_map)

QUERY(work_run_list, feed_run_list, feed_run_list_read, history_run_list)
QUERY(work_run_get, feed_run, feed_run_read, put_run)
QUERY(work_layer_list, feed_run, feed_run_read, history_layer_list)
QUERY(work_series, feed_series_query, feed_series_query_read, history_series)
QUERY(work_spectrum, feed_spectrum_query, feed_spectrum_query_read, put_spectrum)
QUERY(work_representations, feed_run, feed_run_read, put_representations)
QUERY(work_map, feed_representation_map, feed_representation_map_read, put_map)
QUERY(work_scalars, feed_scalars_query, feed_scalars_query_read, history_scalars)
QUERY(work_events, feed_event_query, feed_event_query_read, history_events)

/* It has no parameters. */
static void work_views(struct history *history, struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);
    struct answer answer;

    question->rc = start_answer(question, &answer);
    if (question->rc < 0)
        return;
    question->rc = history_view_list(history, &answer, &question->why);
    question->rc = end_answer(question, &answer);
    feed_give_back(text_left(question->text));
}

static query_work_cb *const works[FEED_METHOD_COUNT] = {
    [FEED_RUN_LIST] = work_run_list,       [FEED_RUN_GET] = work_run_get,
    [FEED_LAYER_LIST] = work_layer_list,   [FEED_SERIES_QUERY] = work_series,
    [FEED_SCALARS_QUERY] = work_scalars,   [FEED_EVENT_QUERY] = work_events,
    [FEED_SPECTRUM_QUERY] = work_spectrum, [FEED_REPRESENTATION_LIST] = work_representations,
    [FEED_REPRESENTATION_MAP] = work_map,  [FEED_VIEW_LIST] = work_views,
};

static void on_answer(struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);

    if (question->rc == 0 && question->text && !question->client->is_gone) {
        question->client->transport->send_long(question->client->arg, question->text);
        question->text = NULL;
    }
    feed_end_lent_question(question);
}

void feed_lend_to_store(struct question *question)
{
    question->client->n_queries++;
    question->client->hub->n_queries++;
    store_lane_do(question->client->hub->lane, &question->task);
}

static void work_run(struct history *history, struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);
    struct answer answer;

    question->rc = start_answer(question, &answer);
    if (question->rc < 0)
        return;
    question->rc = put_run(history, &(struct feed_run){question->run}, &answer, &question->why);
    question->rc = end_answer(question, &answer);
}

void feed_ask_run(struct question *question)
{
    feed_ask(question, work_run, on_answer);
    feed_take_back(question->client); /* the loan before this one */
}

void feed_ask_history(struct question *question)
{
    assert(works[question->request.method]);
    feed_ask(question, works[question->request.method], on_answer);
}
