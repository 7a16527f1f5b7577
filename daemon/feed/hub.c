#include <assert.h>
#include <stdlib.h>

#include "daemon/feed/parts.h"

/* ---- requests -------------------------------------------------------------------------------- */

static void answer_now(struct question *q, cJSON *result)
{
    feed_send_result(q->client, q->request.id, result);
    feed_end_question(q);
}

/* Starts answering; a code other than 0 is sent by the caller. */
static int dispatch(struct question *q)
{
    struct feed_hello ignored;
    int rc;

    switch (q->request.method) {
    case FEED_HELLO:
        rc = feed_hello_read(&q->request, &ignored, &q->why);
        if (rc < 0)
            return rc;
        answer_now(q, feed_answer_hello(q->client->hub));
        return 0;
    case FEED_STATUS:
        answer_now(q, feed_answer_status(q->client->hub));
        return 0;
    case FEED_METRIC_LIST:
        answer_now(q, feed_answer_metrics());
        return 0;
    case FEED_SERIES_SUBSCRIBE:
        return feed_subs_open(q, CHANGE_SERIES);
    case FEED_EVENT_SUBSCRIBE:
        return feed_subs_open(q, CHANGE_EVENTS);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        rc = feed_subs_close(q);
        if (rc == 0)
            answer_now(q, cJSON_CreateObject());
        return rc;
    default:
        feed_ask_history(q);
        return 0;
    }
}

void feed_client_request(struct feed_client *c, const char *line, size_t size)
{
    struct question *q = calloc(1, sizeof *q);
    int rc;

    assert(!c->is_gone);
    if (!q) {
        feed_send_error(c, NULL, FEED_FAILED, "out of memory");
        c->transport->ready(c->arg);
        return;
    }
    q->client = c;
    rc = feed_request_parse(line, size, &q->request, &q->why);
    if (rc == 0)
        rc = dispatch(q);
    if (rc == 0)
        return;
    feed_send_error(c, q->request.id, rc, q->why.text);
    feed_end_question(q);
}

/* ---- what is new ----------------------------------------------------------------------------- */

static uint64_t last_feed_seq(const struct record *r)
{
    uint64_t last = 0;

    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (p->measured && p->feed_seq > last)
            last = p->feed_seq;
        if (p->n_findings > 0 && p->findings[p->n_findings - 1].feed_seq > last)
            last = p->findings[p->n_findings - 1].feed_seq;
    }
    for (size_t i = 0; i < r->n_scalars; i++) {
        if (r->scalar_feed_seqs[i] > last)
            last = r->scalar_feed_seqs[i];
    }
    return last;
}

void feedhub_publish(struct feedhub *h, const struct record *r)
{
    uint64_t last_seq = last_feed_seq(r);

    if (last_seq <= h->published)
        return; /* nothing new in it */
    h->published = last_seq;
    LIST_EACH_SAFE(at, &h->clients)
    {
        feed_subs_publish(LIST_ENTRY(at, struct feed_client, link), r, last_seq);
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

struct feedhub *feedhub_new(struct readers *readers, const struct store *store,
                            feed_status_cb *on_status, void *arg)
{
    struct feedhub *h = calloc(1, sizeof *h);

    assert(readers && store && on_status);
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

void feedhub_free(struct feedhub *h)
{
    if (!h)
        return;
    assert(h->n_queries == 0 && list_empty(&h->clients));
    free(h);
}

struct feed_client *feed_client_new(struct feedhub *h, const struct feed_transport *transport,
                                    void *arg)
{
    struct feed_client *c = calloc(1, sizeof *c);

    assert(transport->words && transport->send && transport->pending && transport->ready);
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
    assert(!c->is_gone);
    c->arg = NULL;
    c->is_gone = true;
    feed_subs_close_all(c);
    feed_free_if_gone(c);
}

void feed_client_drained(struct feed_client *c)
{
    assert(!c->is_gone);
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
