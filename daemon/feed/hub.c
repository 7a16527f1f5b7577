#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"
#include "daemon/format/model_json.h"
#include "proto/json.h"

void feed_client_end(struct feed_client *c)
{
    if (c->arg || c->n_queries > 0 || c->n_holds > 0)
        return;
    list_remove(&c->link);
    c->hub->n_clients--;
    free(c);
}

/* ---- texts out ----------------------------------------------------------------------------- */

const struct feed_words feed_lines = {
    .result = feed_result,
    .error = feed_error,
    .notification = feed_notification,
};

void feed_send_text(struct feed_client *c, int code, char *text, size_t size)
{
    if (text && c->arg)
        c->transport->send(c->arg, code, text, size);
    else
        free(text);
}

static void send_error(struct feed_client *c, const cJSON *id, int code, const char *why)
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
        send_error(c, id, FEED_FAILED, "out of memory");
}

/* ---- queries ------------------------------------------------------------------------------- */

void feed_ask(struct feed_client *c, struct question *q, query_work_cb *work, query_done_cb *done)
{
    q->client = c;
    q->query.work = work;
    q->query.done = done;
    q->query.is_unwanted = &c->is_gone;
    c->n_queries++;
    c->hub->n_queries++;
    readers_submit(c->hub->readers, &q->query);
}

/* The request is answered. */
static void end_question(struct question *q)
{
    struct feed_client *c = q->client;

    feed_request_release(&q->request);
    free(q);
    if (c->arg)
        c->transport->ready(c->arg);
}

/* As end_question, for one that was with the readers. */
void feed_finish_question(struct question *q)
{
    struct feed_client *c = q->client;

    if (q->rc < 0)
        send_error(c, q->request.id, feed_code_of(q->rc), q->why.text);
    c->n_queries--;
    c->hub->n_queries--;
    c->n_holds++;
    end_question(q);
    c->n_holds--;
    feed_client_end(c);
}

/* On a reader, where a long answer holds nobody up while it is written down. */
static void write_answer(struct question *q, cJSON *result)
{
    q->text = q->client->transport->words->result(q->request.id, result, &q->size);
    if (!q->text)
        q->rc = err_set(&q->why, -ENOMEM, "out of memory");
}

/* One row a method that the history answers: how its parameters are read and who answers. */
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
    feed_finish_question(q);
}

/* ---- requests ------------------------------------------------------------------------------ */

static cJSON *hello(const struct feedhub *h)
{
    cJSON *o = cJSON_CreateObject();

    if (o && cJSON_AddStringToObject(o, "server", "richd") &&
        cJSON_AddStringToObject(o, "version", RICHD_VERSION) &&
        json_add_integer(o, "protocol_min", 1) && json_add_integer(o, "protocol_max", 1) &&
        json_add_counter(o, "seq", store_feed_seq(h->store)))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static cJSON *status(const struct feedhub *h)
{
    cJSON *o = cJSON_CreateObject();

    if (o)
        h->on_status(h->status_arg, o);
    return o;
}

static void answer_now(struct question *q, cJSON *result)
{
    feed_send_result(q->client, q->request.id, result);
    end_question(q);
}

/* Starts answering; a code other than 0 is sent by the caller. */
static int dispatch(struct feed_client *c, struct question *q)
{
    struct feed_hello ignored;
    int rc;

    switch (q->request.method) {
    case FEED_HELLO:
        rc = feed_hello_read(&q->request, &ignored, &q->why);
        if (rc < 0)
            return rc;
        answer_now(q, hello(c->hub));
        return 0;
    case FEED_STATUS:
        answer_now(q, status(c->hub));
        return 0;
    case FEED_METRIC_LIST:
        answer_now(q, metrics_to_json());
        return 0;
    case FEED_SERIES_SUBSCRIBE:
        return feed_subs_open(c, q, CHANGE_SERIES);
    case FEED_EVENT_SUBSCRIBE:
        return feed_subs_open(c, q, CHANGE_EVENTS);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        rc = feed_subs_close(c, q);
        if (rc == 0)
            answer_now(q, cJSON_CreateObject());
        return rc;
    default:
        feed_ask(c, q, works[q->request.method], on_answer);
        return 0;
    }
}

void feed_client_request(struct feed_client *c, const char *line, size_t size)
{
    struct question *q = calloc(1, sizeof *q);
    int rc;

    if (!q) {
        send_error(c, NULL, FEED_FAILED, "out of memory");
        c->transport->ready(c->arg);
        return;
    }
    q->client = c;
    rc = feed_request_parse(line, size, &q->request, &q->why);
    if (rc == 0)
        rc = dispatch(c, q);
    if (rc == 0)
        return;
    send_error(c, q->request.id, rc, q->why.text);
    end_question(q);
}

/* ---- clients ------------------------------------------------------------------------------- */

struct feedhub *feedhub_new(struct readers *readers, const struct store *store,
                            feed_status_cb *on_status, void *arg)
{
    struct feedhub *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->readers = readers;
    h->store = store;
    h->on_status = on_status;
    h->status_arg = arg;
    h->published = store_feed_seq(store);
    list_init(&h->clients);
    return h;
}

bool feedhub_is_quiet(const struct feedhub *h)
{
    return h->n_queries == 0;
}

void feedhub_free(struct feedhub *h)
{
    if (!h)
        return;
    assert(feedhub_is_quiet(h) && list_empty(&h->clients));
    free(h);
}

struct feed_client *feed_client_new(struct feedhub *h, const struct feed_transport *transport,
                                    void *arg)
{
    struct feed_client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->hub = h;
    c->transport = transport;
    c->arg = arg;
    list_init(&c->subs);
    list_append(&h->clients, &c->link);
    h->n_clients++;
    return c;
}

void feed_client_close(struct feed_client *c)
{
    c->arg = NULL;
    c->is_gone = true;
    feed_subs_close_all(c);
    feed_client_end(c);
}

void feed_client_drained(struct feed_client *c)
{
    feed_subs_drained(c);
}

size_t feedhub_n_clients(const struct feedhub *h)
{
    return h->n_clients;
}

size_t feedhub_n_subscriptions(const struct feedhub *h)
{
    return h->n_subs;
}
