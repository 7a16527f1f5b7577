#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/feed/parts.h"

/* ---- texts out ------------------------------------------------------------------------------- */

const struct feed_words feed_lines = {
    .result = feed_result,
    .error = feed_error,
    .notification = feed_notification,
};

void feed_send_text(struct feed_client *c, int code, char *text, size_t size)
{
    if (text && !c->is_gone)
        c->transport->send(c->arg, code, text, size);
    else
        free(text);
}

void feed_send_error(struct feed_client *c, const cJSON *id, int code, const char *why)
{
    size_t size;
    char *text = c->transport->words->error(id, code, why, &size);

    feed_send_text(c, code, text, size);
}

void feed_send_result(struct feed_client *c, const cJSON *id, cJSON *result)
{
    size_t size;
    char *text = result ? c->transport->words->result(id, result, &size) : NULL;

    if (text)
        feed_send_text(c, 0, text, size);
    else
        feed_send_error(c, id, FEED_FAILED, "out of memory");
}

/* ---- queries --------------------------------------------------------------------------------- */

void feed_lend(struct feed_client *c, struct query *q, query_work_cb *work, query_done_cb *done)
{
    q->work = work;
    q->done = done;
    q->is_unwanted = &c->is_gone;
    c->n_queries++;
    c->hub->n_queries++;
    readers_submit(c->hub->readers, q);
}

void feed_free_if_gone(struct feed_client *c)
{
    if (!c->is_gone || c->n_queries > 0)
        return;
    list_remove(&c->link);
    c->hub->n_clients--;
    free(c);
}

void feed_take_back(struct feed_client *c)
{
    assert(c->n_queries > 0 && c->hub->n_queries > 0);
    c->n_queries--;
    c->hub->n_queries--;
    feed_free_if_gone(c);
}

/* ---- questions ------------------------------------------------------------------------------- */

void feed_ask(struct question *q, query_work_cb *work, query_done_cb *done)
{
    feed_lend(q->client, &q->query, work, done);
}

void feed_end_question(struct question *q)
{
    struct feed_client *c = q->client;

    feed_request_release(&q->request);
    free(q);
    if (!c->is_gone)
        c->transport->ready(c->arg);
}

/* The client is lent until the end: the next request comes from below `ready`, and may end it. */
void feed_end_lent_question(struct question *q)
{
    struct feed_client *c = q->client;

    if (q->rc < 0)
        feed_send_error(c, q->request.id, feed_code_of(q->rc), q->why.text);
    feed_end_question(q);
    feed_take_back(c);
}

/* ---- answers of the history ------------------------------------------------------------------ */

/* On a reader: writing down a long answer takes time, and the loop has none. */
static void write_answer(struct question *q, cJSON *result)
{
    q->text = q->client->transport->words->result(q->request.id, result, &q->size);
    if (!q->text)
        q->rc = err_set(&q->why, -ENOMEM, "out of memory");
}

/* One row a method that the history answers: how its parameters are read, and the function that
 * answers. */
#define QUERY(name, params, read, answer)                                                          \
    static void name(struct history *h, struct query *base)                                        \
    {                                                                                              \
        struct question *q = LIST_ENTRY(base, struct question, query);                             \
        struct params p;                                                                           \
        cJSON *result;                                                                             \
                                                                                                   \
        q->rc = read(&q->request, &p, &q->why) < 0 ? -EINVAL : answer(h, &p, &result, &q->why);    \
        if (q->rc == 0)                                                                            \
            write_answer(q, result);                                                               \
    }

QUERY(work_run_list, feed_run_list, feed_run_list_read, history_run_list)
QUERY(work_run_get, feed_run, feed_run_read, history_run_get)
QUERY(work_layer_list, feed_run, feed_run_read, history_layer_list)
QUERY(work_series, feed_series_query, feed_series_query_read, history_series)
QUERY(work_spectrum, feed_spectrum_query, feed_spectrum_query_read, history_spectrum)
QUERY(work_scalars, feed_scalars_query, feed_scalars_query_read, history_scalars)
QUERY(work_events, feed_event_query, feed_event_query_read, history_events)

static query_work_cb *const works[FEED_METHOD_COUNT] = {
    [FEED_RUN_LIST] = work_run_list,       [FEED_RUN_GET] = work_run_get,
    [FEED_LAYER_LIST] = work_layer_list,   [FEED_SERIES_QUERY] = work_series,
    [FEED_SCALARS_QUERY] = work_scalars,   [FEED_EVENT_QUERY] = work_events,
    [FEED_SPECTRUM_QUERY] = work_spectrum,
};

static void on_answer(struct query *base)
{
    struct question *q = LIST_ENTRY(base, struct question, query);

    if (q->rc == 0)
        feed_send_text(q->client, 0, q->text, q->size);
    feed_end_lent_question(q);
}

void feed_ask_history(struct question *q)
{
    assert(works[q->request.method]);
    feed_ask(q, works[q->request.method], on_answer);
}
