#include "daemon/io/feedhub.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/log.h"
#include "daemon/io/model_json.h"
#include "proto/feed.h"
#include "proto/json.h"

struct feedhub {
    struct readers *readers;
    const struct store *store;
    feed_status_cb *on_status;
    void *status_arg;
    struct list clients;
    size_t n_clients;
    size_t n_subs;
    size_t n_queries;   /* out with the readers */
    uint64_t published; /* last sequence number that went through feedhub_publish */
    struct log_limit limit;
};

struct feed_client {
    struct list link;
    struct feedhub *hub;
    const struct feed_transport *transport;
    void *arg; /* the transport's; NULL when the connection is gone */
    struct list subs;
    size_t n_subs;
    int64_t next_sub;
    size_t n_queries;
    size_t n_holds; /* functions below us on the stack that still use it */
};

enum sub_state {
    SUB_READING,
    SUB_LIVE,
};

struct sub {
    struct list link;
    struct feed_client *client;
    int64_t id;
    int64_t run_key; /* 0: all runs */
    enum change_kind kind;
    enum sub_state state;
    uint64_t cursor; /* everything up to here was sent */
    bool query_is_out;
    bool over; /* unsubscribed while a query is out */
};

static void free_client_if_done(struct feed_client *c)
{
    if (c->arg || c->n_queries > 0 || c->n_holds > 0)
        return;
    list_remove(&c->link);
    c->hub->n_clients--;
    free(c);
}

static void free_sub(struct sub *s)
{
    list_remove(&s->link);
    s->client->n_subs--;
    s->client->hub->n_subs--;
    if (s->query_is_out)
        s->over = true;
    else
        free(s);
}

/* ---- texts out ----------------------------------------------------------------------------- */

const struct feed_words feed_lines = {
    .result = feed_result,
    .error = feed_error,
    .notification = feed_notification,
};

static void send_text(struct feed_client *c, int code, char *text, size_t size)
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

    send_text(c, code, text, size);
}

static void send_result(struct feed_client *c, const cJSON *id, cJSON *result)
{
    size_t size;
    char *text = result ? c->transport->words->result(id, result, &size) : NULL;

    if (text)
        send_text(c, 0, text, size);
    else
        send_error(c, id, FEED_FAILED, "out of memory");
}

static bool output_waits(const struct feed_client *c)
{
    return c->transport->pending(c->arg) > FEED_MAX_PENDING;
}

/* Moves an array into the update; an empty one in place of one that is NULL. */
static bool move_array(cJSON *params, const char *name, cJSON **array)
{
    if (!*array)
        *array = cJSON_CreateArray();
    if (!*array || !cJSON_AddItemToObject(params, name, *array))
        return false;
    *array = NULL;
    return true;
}

/* {"sub","seq"} and what the page holds of the subscription's kind, which is taken from it. */
static cJSON *update_params(const struct sub *s, struct history_page *page)
{
    cJSON *params = cJSON_CreateObject();

    if (params && json_add_integer(params, "sub", s->id) &&
        json_add_counter(params, "seq", page->reached) &&
        (s->kind == CHANGE_EVENTS ? move_array(params, "events", &page->events)
                                  : move_array(params, "points", &page->points) &&
                                        move_array(params, "scalars", &page->scalars)))
        return params;
    cJSON_Delete(params);
    return NULL;
}

static void send_update(struct sub *s, struct history_page *page)
{
    cJSON *params = update_params(s, page);
    const char *method = s->kind == CHANGE_EVENTS ? "event.update" : "series.update";
    size_t size;
    char *text = params ? s->client->transport->words->notification(method, params, &size) : NULL;

    send_text(s->client, 0, text, text ? size : 0);
}

/* ---- queries ------------------------------------------------------------------------------- */

/* A request with the readers. */
struct question {
    struct query query;
    struct feed_client *client;
    struct feed_request request;
    char *text; /* the answer */
    size_t size;
    int rc;
    struct err why;

    struct sub *sub; /* series.subscribe, event.subscribe */
    struct feed_subscribe subscribe;
    int64_t run_key;
    struct history_page page;
};

static void ask(struct feed_client *c, struct question *q, query_work_cb *work, query_done_cb *done)
{
    q->client = c;
    q->query.work = work;
    q->query.done = done;
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
static void finish_question(struct question *q)
{
    struct feed_client *c = q->client;

    if (q->rc < 0)
        send_error(c, q->request.id, feed_code_of(q->rc), q->why.text);
    c->n_queries--;
    c->hub->n_queries--;
    c->n_holds++;
    end_question(q);
    c->n_holds--;
    free_client_if_done(c);
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
        send_text(q->client, 0, q->text, q->size);
    finish_question(q);
}

/* ---- subscriptions ------------------------------------------------------------------------- */

/* Reads the page after a subscription's cursor. */
struct page_query {
    struct query query;
    struct sub *sub;
    uint64_t since;
    int64_t run_key;
    enum change_kind kind;
    struct history_page page;
    struct err why;
    int rc;
};

static void catch_up(struct sub *s);

/* A page arrived: live when nothing is left, neither in the store nor published since it was read.
 */
static void after_page(struct sub *s, const struct history_page *page)
{
    bool all = page->reached >= page->committed && page->reached >= s->client->hub->published;

    s->cursor = page->reached;
    s->state = all ? SUB_LIVE : SUB_READING;
    if (!all)
        catch_up(s);
}

static void work_page(struct history *h, struct query *base)
{
    struct page_query *q = LIST_ENTRY(base, struct page_query, query);

    q->rc = history_changes(h, q->kind, q->run_key, q->since, HISTORY_PAGE_MAX, &q->page, &q->why);
}

static void on_page(struct query *base)
{
    struct page_query *q = LIST_ENTRY(base, struct page_query, query);
    struct sub *s = q->sub;
    struct feed_client *c = s->client;

    c->n_queries--;
    c->hub->n_queries--;
    s->query_is_out = false;
    if (s->over) {
        free(s);
    } else if (q->rc == 0) {
        if (q->page.n_items > 0)
            send_update(s, &q->page);
        after_page(s, &q->page);
    } else {
        log_warn_limited(&c->hub->limit, "a page of the history could not be read: %s",
                         q->why.text);
    }
    if (q->rc == 0)
        history_page_release(&q->page);
    free(q);
    free_client_if_done(c);
}

/* Goes on reading, unless a page is being read or output waits (feed_client_drained comes then). */
static void catch_up(struct sub *s)
{
    struct page_query *q;

    if (s->query_is_out || !s->client->arg || output_waits(s->client))
        return;
    q = calloc(1, sizeof *q);
    if (!q)
        return; /* tried again when the output drains or something is published */
    q->query.work = work_page;
    q->query.done = on_page;
    q->sub = s;
    q->since = s->cursor;
    q->run_key = s->run_key;
    q->kind = s->kind;
    s->query_is_out = true;
    s->client->n_queries++;
    s->client->hub->n_queries++;
    readers_submit(s->client->hub->readers, &q->query);
}

/* On a reader: the subscription itself stays with the loop, which looks at it meanwhile. */
static void work_subscribe(struct history *h, struct query *base)
{
    struct question *q = LIST_ENTRY(base, struct question, query);

    if (q->subscribe.run)
        q->rc = history_find_run(h, q->subscribe.run, &q->run_key, &q->why);
    if (q->rc < 0)
        return;
    if (q->subscribe.has_since_seq)
        q->rc = history_changes(h, q->sub->kind, q->run_key, q->subscribe.since_seq,
                                HISTORY_PAGE_MAX, &q->page, &q->why);
    else
        q->rc = history_latest(h, q->sub->kind, q->run_key, &q->page, &q->why);
}

static void on_subscribed(struct query *base)
{
    struct question *q = LIST_ENTRY(base, struct question, query);
    struct sub *s = q->sub;

    s->query_is_out = false;
    if (s->over) {
        free(s);
    } else if (q->rc < 0) {
        free_sub(s);
    } else {
        s->run_key = q->run_key;
        send_result(q->client, q->request.id, update_params(s, &q->page));
        after_page(s, &q->page);
    }
    if (q->rc == 0)
        history_page_release(&q->page);
    finish_question(q);
}

static void take_item(struct history_page *page, cJSON *array, cJSON *item)
{
    page->n_items += cJSON_AddItemToArray(array, item);
}

/* What the record holds for the subscription, beyond its cursor. */
static void collect(const struct sub *s, const struct record *r, struct history_page *page)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (s->kind == CHANGE_SERIES && p->measured && p->feed_seq > s->cursor)
            take_item(page, page->points, point_to_json(r->run, p->layer, r->attempt, &p->point));
        if (s->kind == CHANGE_EVENTS && p->has_finding && p->finding_feed_seq > s->cursor)
            take_item(page, page->events,
                      finding_to_json(r->run, p->layer, r->attempt, &p->finding));
    }
    for (size_t i = 0; i < r->n_scalars && s->kind == CHANGE_SERIES; i++) {
        if (r->scalar_feed_seqs[i] > s->cursor)
            take_item(page, page->scalars,
                      scalar_to_json(r->run, r->attempt, r->step, r->time, &r->scalars[i]));
    }
}

static void publish_to(struct sub *s, const struct record *r, uint64_t last_seq)
{
    struct history_page page = {
        .points = cJSON_CreateArray(),
        .scalars = cJSON_CreateArray(),
        .events = cJSON_CreateArray(),
        .reached = last_seq,
    };

    collect(s, r, &page);
    if (page.n_items > 0) {
        send_update(s, &page);
        s->cursor = last_seq;
    }
    history_page_release(&page);
}

static uint64_t last_feed_seq(const struct record *r)
{
    uint64_t last = 0;

    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (p->measured && p->feed_seq > last)
            last = p->feed_seq;
        if (p->has_finding && p->finding_feed_seq > last)
            last = p->finding_feed_seq;
    }
    for (size_t i = 0; i < r->n_scalars; i++) {
        if (r->scalar_feed_seqs[i] > last)
            last = r->scalar_feed_seqs[i];
    }
    return last;
}

static void publish_to_client(struct feed_client *c, const struct record *r, uint64_t last_seq)
{
    if (!c->arg)
        return;
    LIST_EACH(at, &c->subs)
    {
        struct sub *s = LIST_ENTRY(at, struct sub, link);

        if (s->run_key != 0 && s->run_key != r->run_key)
            continue;
        if (output_waits(c))
            s->state = SUB_READING;
        if (s->state == SUB_LIVE)
            publish_to(s, r, last_seq);
        else
            catch_up(s);
    }
}

void feedhub_publish(struct feedhub *h, const struct record *r)
{
    uint64_t last_seq = last_feed_seq(r);

    if (last_seq <= h->published)
        return; /* nothing new in it */
    h->published = last_seq;
    LIST_EACH_SAFE(at, &h->clients)
    {
        publish_to_client(LIST_ENTRY(at, struct feed_client, link), r, last_seq);
    }
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

static int subscribe(struct feed_client *c, struct question *q, enum change_kind kind)
{
    int rc = feed_subscribe_read(&q->request, &q->subscribe, &q->why);

    if (rc < 0)
        return rc;
    if (c->n_subs >= FEED_MAX_SUBS)
        return err_set(&q->why, FEED_TOO_MANY, "this connection has %d subscriptions already",
                       FEED_MAX_SUBS);
    q->sub = calloc(1, sizeof *q->sub);
    if (!q->sub)
        return err_set(&q->why, FEED_FAILED, "out of memory");
    q->sub->client = c;
    q->sub->kind = kind;
    q->sub->id = ++c->next_sub;
    q->sub->query_is_out = true;
    list_append(&c->subs, &q->sub->link);
    c->n_subs++;
    c->hub->n_subs++;
    ask(c, q, work_subscribe, on_subscribed);
    return 0;
}

static int unsubscribe(struct feed_client *c, struct question *q)
{
    struct feed_unsubscribe u;
    int rc = feed_unsubscribe_read(&q->request, &u, &q->why);

    if (rc < 0)
        return rc;
    LIST_EACH(at, &c->subs)
    {
        struct sub *s = LIST_ENTRY(at, struct sub, link);

        if (s->id != u.sub)
            continue;
        free_sub(s);
        return 0;
    }
    return err_set(&q->why, FEED_NOT_FOUND, "no subscription %lld on this connection",
                   (long long)u.sub);
}

static void answer_now(struct question *q, cJSON *result)
{
    send_result(q->client, q->request.id, result);
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
        return subscribe(c, q, CHANGE_SERIES);
    case FEED_EVENT_SUBSCRIBE:
        return subscribe(c, q, CHANGE_EVENTS);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        rc = unsubscribe(c, q);
        if (rc == 0)
            answer_now(q, cJSON_CreateObject());
        return rc;
    default:
        ask(c, q, works[q->request.method], on_answer);
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
    LIST_EACH_SAFE(at, &c->subs)
    {
        free_sub(LIST_ENTRY(at, struct sub, link));
    }
    free_client_if_done(c);
}

void feed_client_drained(struct feed_client *c)
{
    LIST_EACH(at, &c->subs)
    {
        struct sub *s = LIST_ENTRY(at, struct sub, link);

        if (s->state == SUB_READING)
            catch_up(s);
    }
}

size_t feedhub_n_clients(const struct feedhub *h)
{
    return h->n_clients;
}

size_t feedhub_n_subscriptions(const struct feedhub *h)
{
    return h->n_subs;
}
