#include <assert.h>
#include <stdlib.h>

#include "daemon/feed/parts.h"
#include "daemon/host/files.h"

/* Long answers may hold this part of the descriptors; 64 of 1,024. */
#define TEXT_FILES_SHARE 16

/* ---- requests -------------------------------------------------------------------------------- */

static void answer_now(struct question *question, cJSON *result)
{
    feed_send_result(question->client, question->request.id, result);
    feed_end_question(question);
}

static bool is_for_one_answer(enum feed_method method)
{
    return method != FEED_SERIES_SUBSCRIBE && method != FEED_EVENT_SUBSCRIBE &&
           method != FEED_SERIES_UNSUBSCRIBE && method != FEED_EVENT_UNSUBSCRIBE;
}

/* Starts answering; a code other than 0 is sent by the caller. */
static int dispatch(struct question *question)
{
    struct feed_hello ignored;
    int rc;

    if (question->client->transport->answers_once && !is_for_one_answer(question->request.method))
        return err_set(&question->why, FEED_NO_METHOD,
                       "here a request has one answer: /ws and /api/v1/stream have subscriptions");
    switch (question->request.method) {
    case FEED_HELLO:
        rc = feed_hello_read(&question->request, &ignored, &question->why);
        if (rc < 0)
            return rc;
        answer_now(question, feed_answer_hello(question->client));
        return 0;
    case FEED_STATUS:
        answer_now(question, feed_answer_status(question->client));
        return 0;
    case FEED_METRIC_LIST:
        answer_now(question, feed_answer_metrics());
        return 0;
    case FEED_RUN_DELETE:
        return feed_delete_run(question);
    case FEED_HISTORY_PRUNE:
        return feed_prune(question);
    case FEED_RUN_EDIT:
        return feed_edit_run(question);
    case FEED_VIEW_SAVE:
        return feed_save_view(question);
    case FEED_VIEW_DELETE:
        return feed_delete_view(question);
    case FEED_SERIES_SUBSCRIBE:
        return feed_subs_open(question, CHANGE_SERIES);
    case FEED_EVENT_SUBSCRIBE:
        return feed_subs_open(question, CHANGE_EVENTS);
    case FEED_SERIES_UNSUBSCRIBE:
    case FEED_EVENT_UNSUBSCRIBE:
        rc = feed_subs_close(question, question->request.method == FEED_EVENT_UNSUBSCRIBE
                                           ? CHANGE_EVENTS
                                           : CHANGE_SERIES);
        if (rc == 0)
            answer_now(question, cJSON_CreateObject());
        return rc;
    default:
        feed_ask_history(question);
        return 0;
    }
}

void feed_client_request(struct feed_client *client, const char *line, size_t size)
{
    struct question *question = calloc(1, sizeof *question);
    int rc;

    assert(!client->is_gone);
    if (!question) {
        feed_send_error(client, NULL, FEED_FAILED, "out of memory");
        client->transport->ready(client->arg);
        return;
    }
    question->client = client;
    rc = feed_request_parse(line, size, &question->request, &question->why);
    if (rc == 0)
        rc = dispatch(question);
    if (rc == 0)
        return;
    feed_send_error(client, question->request.id, rc, question->why.text);
    feed_end_question(question);
}

/* ---- what is new ----------------------------------------------------------------------------- */

static void note_seq(struct publication *publication, uint64_t feed_seq)
{
    if (feed_seq == 0)
        return;
    if (publication->first_seq == 0 || feed_seq < publication->first_seq)
        publication->first_seq = feed_seq;
    if (feed_seq > publication->last_seq)
        publication->last_seq = feed_seq;
}

static void note_findings(struct publication *publication, const struct finding *findings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        note_seq(publication, findings[i].feed_seq);
}

static void note_record(struct publication *publication, const struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer_point *point = &record->points[i];

        if (point->measured)
            note_seq(publication, point->feed_seq);
        note_findings(publication, point->findings, point->n_findings);
    }
    note_findings(publication, record->findings, record->n_findings);
    for (size_t i = 0; i < record->n_scalars; i++)
        note_seq(publication, record->scalar_feed_seqs[i]);
}

void feedhub_publish(struct feedhub *hub, const struct record *record)
{
    struct publication publication = {.record = record};

    note_record(&publication, record);
    if (publication.last_seq <= hub->published)
        return; /* nothing new in it */
    hub->published = publication.last_seq;
    LIST_EACH_SAFE(at, &hub->clients)
    {
        feed_subs_publish(LIST_ENTRY(at, struct feed_client, link), &publication);
    }
    feed_publication_release(&publication);
}

void feedhub_catch_up(struct feedhub *hub, uint64_t seq)
{
    if (seq <= hub->published)
        return;
    hub->published = seq;
    LIST_EACH_SAFE(at, &hub->clients)
    {
        feed_subs_catch_up(LIST_ENTRY(at, struct feed_client, link));
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

struct feedhub *feedhub_new(struct readers *readers, const struct store *store,
                            const char *directory, feed_status_cb *on_status, void *arg)
{
    const struct text_limits limits = {TEXT_MEMORY, TEXT_MEMORY_MAX, TEXT_FILES_MAX,
                                       files_limit() / TEXT_FILES_SHARE};
    struct feedhub *hub = calloc(1, sizeof *hub);

    assert(readers && store && on_status);
    if (!hub)
        return NULL;
    hub->room = text_room_new(directory, &limits);
    if (!hub->room) {
        free(hub);
        return NULL;
    }
    hub->readers = readers;
    hub->store = store;
    hub->on_status = on_status;
    hub->status_arg = arg;
    hub->published = store_feed_seq(store);
    list_init(&hub->clients);
    return hub;
}

void feedhub_set_lane(struct feedhub *hub, struct store_lane *lane)
{
    hub->lane = lane;
}

void feedhub_free(struct feedhub *hub)
{
    if (!hub)
        return;
    assert(hub->n_queries == 0 && list_empty(&hub->clients));
    text_room_free(hub->room);
    free(hub);
}

struct feed_client *feed_client_new(struct feedhub *hub, const struct feed_transport *transport,
                                    void *arg)
{
    struct feed_client *client = calloc(1, sizeof *client);

    assert(transport->words && transport->send && transport->send_long && transport->pending &&
           transport->ready);
    if (!client)
        return NULL;
    client->hub = hub;
    client->transport = transport;
    client->arg = arg;
    list_init(&client->subs);
    list_append(&hub->clients, &client->link);
    hub->n_clients++;
    return client;
}

void feed_client_close(struct feed_client *client)
{
    assert(!client->is_gone);
    client->arg = NULL;
    client->is_gone = true;
    feed_subs_close_all(client);
    readers_cancel_unwanted(client->hub->readers);
    feed_free_if_gone(client);
}

void feed_client_drained(struct feed_client *client)
{
    assert(!client->is_gone);
    feed_subs_drained(client);
}

size_t feedhub_n_clients(const struct feedhub *hub)
{
    return hub->n_clients;
}

size_t feedhub_n_subscriptions(const struct feedhub *hub)
{
    return hub->n_subs;
}
