#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"
#include "proto/base/clock.h"
#include "proto/json.h"

/* Between two tries to read a page for which there was no room, or that could not be read: twice as
 * long each time. A page costs milliseconds of a reader, and is thrown away. */
#define PAUSE_MS_MIN 500
#define PAUSE_MS_MAX 30000

static void free_sub(struct sub *sub)
{
    list_remove(&sub->link);
    sub->client->n_subs--;
    sub->client->hub->n_subs--;
    sub->state = SUB_ENDED;
    if (!sub->query_is_out)
        free(sub);
}

/* With many readers the share of each is smaller: what is behind it is read from the store. */
static bool output_waits(const struct feed_client *client)
{
    size_t share = FEED_PENDING_ALL / client->hub->n_clients;

    share = share > FEED_MAX_PENDING ? FEED_MAX_PENDING : share;
    share = share < FEED_PENDING_MIN ? FEED_PENDING_MIN : share;
    return client->transport->pending(client->arg) > share;
}

/* Where long texts wait. */
static struct text *to_text(struct text_room *room, const char *line, size_t size, int *rc)
{
    struct text *text = line ? text_new(room) : NULL;

    *rc = -ENOMEM;
    if (!text)
        return NULL;
    fwrite(line, 1, size, text_stream(text));
    *rc = text_end(text);
    if (*rc == 0)
        return text;
    text_free(text);
    return NULL;
}

/* On a reader: the page as the answer to `question`, or without one as an update. What it reads of
 * the subscription never changes. */
static int write_page(const struct sub *sub, const struct question *question,
                      struct history_page *page, struct text **out, struct err *err)
{
    const struct feed_words *words = sub->client->transport->words;
    cJSON *params = feed_update_params(sub, page);
    size_t size = 0;
    char *line = NULL;
    int rc;

    if (params)
        line = question ? words->result(question->request.id, params, &size)
                        : words->notification(feed_method(sub), params, &size);
    *out = to_text(sub->client->hub->room, line, size, &rc);
    free(line);
    return *out ? 0 : err_set(err, rc, FEED_NO_ROOM);
}

static void send_page(struct sub *sub, struct text **text)
{
    sub->client->transport->send_long(sub->client->arg, *text);
    *text = NULL;
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
    struct text *text; /* NULL: there is nothing in the page */
    struct err why;
    int rc;
};

static void catch_up(struct sub *sub);

/* A page has come: live when nothing is left in the store, nor was published meanwhile. */
static void after_page(struct sub *sub, const struct history_page *page)
{
    bool all = page->reached >= page->committed && page->reached >= sub->client->hub->published;

    sub->cursor = page->reached;
    sub->state = all ? SUB_LIVE : SUB_READING;
    if (!all)
        catch_up(sub);
}

static void work_page(struct history *history, struct query *base)
{
    struct page_query *q = LIST_ENTRY(base, struct page_query, query);

    q->rc = history_changes(history, q->kind, q->run_key, q->since, HISTORY_PAGE_MAX, &q->page,
                            &q->why);
    if (q->rc < 0)
        return;
    if (q->page.n_items > 0)
        q->rc = write_page(q->sub, NULL, &q->page, &q->text, &q->why);
    history_page_drop(&q->page);
    feed_give_back(q->text ? text_left(q->text) : 0);
}

static void pause_reading(struct sub *sub)
{
    int64_t pause_ms = sub->pause_ms ? 2 * sub->pause_ms : PAUSE_MS_MIN;

    sub->pause_ms = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    sub->again_ms = clock_monotonic_ms() + sub->pause_ms;
}

static void on_page(struct query *base)
{
    struct page_query *q = LIST_ENTRY(base, struct page_query, query);
    struct sub *sub = q->sub;
    struct feed_client *client = sub->client;

    sub->query_is_out = false;
    if (sub->state == SUB_ENDED) {
        free(sub);
    } else if (q->rc == 0) {
        sub->pause_ms = sub->again_ms = 0;
        if (q->text)
            send_page(sub, &q->text);
        after_page(sub, &q->page);
    } else {
        pause_reading(sub);
        log_warn_limited(&client->hub->limit, "a page of the history could not be read: %s",
                         q->why.text);
    }
    text_free(q->text);
    free(q);
    feed_take_back(client);
}

/* Goes on reading, unless a page is being read, has just failed, or output waits: tried again at
 * feed_client_drained, which comes at each tick. */
static void catch_up(struct sub *sub)
{
    struct page_query *query;

    if (sub->query_is_out || sub->client->is_gone || output_waits(sub->client))
        return;
    if (sub->pause_ms > 0 && clock_monotonic_ms() < sub->again_ms)
        return;
    query = calloc(1, sizeof *query);
    if (!query)
        return; /* tried again when the output drains or something is published */
    query->sub = sub;
    query->since = sub->cursor;
    query->run_key = sub->run_key;
    query->kind = sub->kind;
    sub->query_is_out = true;
    query->query.is_patient = true;
    feed_lend(sub->client, &query->query, work_page, on_page);
}

static int answer_changes(struct history *history, struct question *question)
{
    int rc = history_changes(history, question->sub->kind, question->run_key,
                             question->subscribe.since_seq, HISTORY_PAGE_MAX, &question->page,
                             &question->why);

    if (rc == 0)
        rc = write_page(question->sub, question, &question->page, &question->text, &question->why);
    history_page_drop(&question->page);
    return rc;
}

/* On a reader: the subscription itself stays with the loop, which looks at it meanwhile. */
static void work_subscribe(struct history *history, struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);

    if (question->subscribe.run)
        question->rc =
            history_find_run(history, question->subscribe.run, &question->run_key, &question->why);
    if (question->rc == 0)
        question->rc = question->subscribe.has_since_seq ? answer_changes(history, question)
                                                         : feed_answer_latest(history, question);
    feed_give_back(question->rc == 0 ? text_left(question->text) : 0);
}

static void on_subscribed(struct query *base)
{
    struct question *question = LIST_ENTRY(base, struct question, query);
    struct sub *sub = question->sub;

    sub->query_is_out = false;
    if (sub->state == SUB_ENDED) {
        free(sub);
    } else if (question->rc < 0) {
        free_sub(sub);
    } else {
        sub->run_key = question->run_key;
        send_page(sub, &question->text);
        after_page(sub, &question->page);
    }
    feed_end_lent_question(question);
}

/* A part of the record has come with a page. As feed_publication_text. */
static int make_rest(const struct sub *sub, const struct publication *publication, char **text,
                     size_t *size)
{
    struct history_page page = {.reached = publication->last_seq};
    int rc = feed_collect(sub, publication->record, &page);

    if (rc == 0 && page.n_items > 0) {
        *text = feed_update_text(sub, &page, size);
        rc = *text ? 1 : -ENOMEM;
    }
    history_page_release(&page);
    return rc;
}

/* What finds no memory is read from the history later. */
static void publish_to(struct sub *sub, struct publication *publication)
{
    size_t size = 0;
    char *text = NULL;
    int rc = sub->cursor >= publication->first_seq
                 ? make_rest(sub, publication, &text, &size)
                 : feed_publication_text(publication, sub, &text, &size);

    if (rc < 0)
        sub->state = SUB_READING;
    if (rc < 1)
        return;
    feed_send_text(sub->client, 0, text, size);
    sub->cursor = publication->last_seq;
}

void feed_subs_publish(struct feed_client *client, struct publication *publication)
{
    if (client->is_gone)
        return;
    LIST_EACH(at, &client->subs)
    {
        struct sub *sub = LIST_ENTRY(at, struct sub, link);

        if (sub->run_key != 0 && sub->run_key != publication->record->run_key)
            continue;
        if (output_waits(client))
            sub->state = SUB_READING;
        if (sub->state == SUB_LIVE)
            publish_to(sub, publication);
        else
            catch_up(sub);
    }
}

void feed_subs_catch_up(struct feed_client *client)
{
    LIST_EACH(at, &client->subs)
    {
        struct sub *sub = LIST_ENTRY(at, struct sub, link);

        if (sub->state == SUB_LIVE)
            sub->state = SUB_READING;
        catch_up(sub);
    }
}

static void tell_left(struct sub *sub, const char *run)
{
    cJSON *params = cJSON_CreateObject();
    size_t size = 0;
    char *text;

    json_add_integer(params, "sub", sub->id);
    cJSON_AddStringToObject(params, "run", run);
    text = sub->client->transport->words->notification("run.deleted", params, &size);
    feed_send_text(sub->client, 0, text, size);
}

void feed_subs_tell_left(struct feed_client *client, const struct errand_run *run)
{
    if (client->is_gone)
        return;
    LIST_EACH(at, &client->subs)
    {
        struct sub *sub = LIST_ENTRY(at, struct sub, link);

        if (sub->state == SUB_LIVE && (sub->run_key == 0 || sub->run_key == run->run_key) &&
            !output_waits(client))
            tell_left(sub, run->id);
    }
}

int feed_subs_open(struct question *question, enum change_kind kind)
{
    struct feed_client *client = question->client;
    int rc = feed_subscribe_read(&question->request, &question->subscribe, &question->why);

    if (rc < 0)
        return rc;
    if (client->n_subs >= FEED_MAX_SUBS)
        return err_set(&question->why, FEED_TOO_MANY,
                       "this connection has %d subscriptions already", FEED_MAX_SUBS);
    question->sub = calloc(1, sizeof *question->sub);
    if (!question->sub)
        return err_set(&question->why, FEED_FAILED, "out of memory");
    question->sub->client = client;
    question->sub->kind = kind;
    question->sub->id = ++client->next_sub;
    question->sub->query_is_out = true;
    list_append(&client->subs, &question->sub->link);
    client->n_subs++;
    client->hub->n_subs++;
    question->query.is_patient = true;
    feed_ask(question, work_subscribe, on_subscribed);
    return 0;
}

int feed_subs_close(struct question *question, enum change_kind kind)
{
    struct feed_unsubscribe unsubscribe;
    int rc = feed_unsubscribe_read(&question->request, &unsubscribe, &question->why);

    if (rc < 0)
        return rc;
    LIST_EACH(at, &question->client->subs)
    {
        struct sub *sub = LIST_ENTRY(at, struct sub, link);

        if (sub->id != unsubscribe.sub || sub->kind != kind)
            continue;
        free_sub(sub);
        return 0;
    }
    return err_set(&question->why, FEED_NOT_FOUND, "no subscription %lld on this connection",
                   (long long)unsubscribe.sub);
}

void feed_subs_close_all(struct feed_client *client)
{
    LIST_EACH_SAFE(at, &client->subs)
    {
        free_sub(LIST_ENTRY(at, struct sub, link));
    }
}

void feed_subs_drained(struct feed_client *client)
{
    LIST_EACH(at, &client->subs)
    {
        struct sub *sub = LIST_ENTRY(at, struct sub, link);

        if (sub->state == SUB_READING)
            catch_up(sub);
    }
}
