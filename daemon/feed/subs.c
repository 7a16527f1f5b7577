#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"
#include "daemon/format/model_json.h"
#include "proto/json.h"

static void free_sub(struct sub *s)
{
    list_remove(&s->link);
    s->client->n_subs--;
    s->client->hub->n_subs--;
    s->state = SUB_ENDED;
    if (!s->query_is_out)
        free(s);
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

    feed_send_text(s->client, 0, text, text ? size : 0);
}

/* ---- subscriptions --------------------------------------------------------------------------- */

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

/* A page has come: live when nothing is left in the store, nor was published meanwhile. */
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

    s->query_is_out = false;
    if (s->state == SUB_ENDED) {
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
    feed_take_back(c);
}

/* Goes on reading, unless a page is being read or output waits (feed_client_drained comes then). */
static void catch_up(struct sub *s)
{
    struct page_query *q;

    if (s->query_is_out || s->client->is_gone || output_waits(s->client))
        return;
    q = calloc(1, sizeof *q);
    if (!q)
        return; /* tried again when the output drains or something is published */
    q->sub = s;
    q->since = s->cursor;
    q->run_key = s->run_key;
    q->kind = s->kind;
    s->query_is_out = true;
    feed_lend(s->client, &q->query, work_page, on_page);
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
    if (s->state == SUB_ENDED) {
        free(s);
    } else if (q->rc < 0) {
        free_sub(s);
    } else {
        s->run_key = q->run_key;
        feed_send_result(q->client, q->request.id, update_params(s, &q->page));
        after_page(s, &q->page);
    }
    if (q->rc == 0)
        history_page_release(&q->page);
    feed_end_lent_question(q);
}

static void take_item(struct history_page *page, cJSON *array, cJSON *item)
{
    page->n_items += cJSON_AddItemToArray(array, item);
}

static void collect_findings(const struct sub *s, const struct record *r,
                             const struct layer_point *p, struct history_page *page)
{
    for (size_t i = 0; i < p->n_findings; i++) {
        if (p->findings[i].feed_seq > s->cursor)
            take_item(page, page->events,
                      finding_to_json(r->run, p->layer, r->attempt, &p->findings[i]));
    }
}

/* What the record holds for the subscription, beyond its cursor. */
static void collect(const struct sub *s, const struct record *r, struct history_page *page)
{
    for (size_t i = 0; i < r->n_points; i++) {
        const struct layer_point *p = &r->points[i];

        if (s->kind == CHANGE_SERIES && p->measured && p->feed_seq > s->cursor)
            take_item(page, page->points, point_to_json(r->run, p->layer, r->attempt, &p->point));
        if (s->kind == CHANGE_EVENTS)
            collect_findings(s, r, p, page);
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

void feed_subs_publish(struct feed_client *c, const struct record *r, uint64_t last_seq)
{
    if (c->is_gone)
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

int feed_subs_open(struct question *q, enum change_kind kind)
{
    struct feed_client *c = q->client;
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
    feed_ask(q, work_subscribe, on_subscribed);
    return 0;
}

int feed_subs_close(struct question *q)
{
    struct feed_unsubscribe u;
    int rc = feed_unsubscribe_read(&q->request, &u, &q->why);

    if (rc < 0)
        return rc;
    LIST_EACH(at, &q->client->subs)
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

void feed_subs_close_all(struct feed_client *c)
{
    LIST_EACH_SAFE(at, &c->subs)
    {
        free_sub(LIST_ENTRY(at, struct sub, link));
    }
}

void feed_subs_drained(struct feed_client *c)
{
    LIST_EACH(at, &c->subs)
    {
        struct sub *s = LIST_ENTRY(at, struct sub, link);

        if (s->state == SUB_READING)
            catch_up(s);
    }
}
