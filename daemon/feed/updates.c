#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"
#include "daemon/format/model_json.h"
#include "proto/json.h"

/* What a subscription is told, written down. */

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

cJSON *feed_update_params(const struct sub *sub, struct history_page *page)
{
    cJSON *params = cJSON_CreateObject();

    if (params && json_add_integer(params, "sub", sub->id) &&
        json_add_counter(params, "seq", page->reached) &&
        (sub->kind == CHANGE_EVENTS ? move_array(params, "events", &page->events)
                                    : move_array(params, "points", &page->points) &&
                                          move_array(params, "scalars", &page->scalars)))
        return params;
    cJSON_Delete(params);
    return NULL;
}

const char *feed_method(const struct sub *sub)
{
    return sub->kind == CHANGE_EVENTS ? "event.update" : "series.update";
}

char *feed_update_text(const struct sub *sub, struct history_page *page, size_t *size)
{
    cJSON *params = feed_update_params(sub, page);

    *size = 0;
    return params ? sub->client->transport->words->notification(feed_method(sub), params, size)
                  : NULL;
}

/* ---- what a record brings -------------------------------------------------------------------- */

static bool take_item(struct history_page *page, cJSON **array, cJSON *item)
{
    if (!*array)
        *array = cJSON_CreateArray();
    if (*array && cJSON_AddItemToArray(*array, item)) {
        page->n_items++;
        return true;
    }
    cJSON_Delete(item);
    return false;
}

/* `layer` NULL: those of scalars. */
static bool collect_findings(const struct sub *sub, const char *run, const char *layer,
                             const struct finding *findings, size_t n, struct history_page *page)
{
    for (size_t i = 0; i < n; i++) {
        if (findings[i].feed_seq > sub->cursor &&
            !take_item(page, &page->events, finding_to_json(run, layer, &findings[i])))
            return false;
    }
    return true;
}

static bool collect_events(const struct sub *sub, const struct record *record,
                           struct history_page *page)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer_point *point = &record->points[i];

        if (!collect_findings(sub, record->run, point->layer, point->findings, point->n_findings,
                              page))
            return false;
    }
    return collect_findings(sub, record->run, NULL, record->findings, record->n_findings, page);
}

static bool collect_series(const struct sub *sub, const struct record *record,
                           struct history_page *page)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct layer_point *point = &record->points[i];

        if (point->measured && point->feed_seq > sub->cursor &&
            !take_item(page, &page->points,
                       point_to_json(record->run, point->layer, record->attempt, &point->point)))
            return false;
    }
    for (size_t i = 0; i < record->n_scalars; i++) {
        if (record->scalar_feed_seqs[i] > sub->cursor &&
            !take_item(page, &page->scalars,
                       scalar_to_json(record->run, record->attempt, record->step, record->time,
                                      &record->scalars[i])))
            return false;
    }
    return true;
}

int feed_collect(const struct sub *sub, const struct record *record, struct history_page *page)
{
    bool is_whole = sub->kind == CHANGE_EVENTS ? collect_events(sub, record, page)
                                               : collect_series(sub, record, page);

    return is_whole ? 0 : -ENOMEM;
}

/* "sub" is the first member behind the method, which holds no text of a client. */
static int write_publication(struct publication_text *made, const struct sub *sub,
                             const struct publication *publication)
{
    static const char before[] = "\"sub\":";
    struct history_page page = {.reached = publication->last_seq};
    int rc = feed_collect(sub, publication->record, &page);
    const char *at;

    if (rc == 0 && page.n_items > 0) {
        made->text = feed_update_text(sub, &page, &made->size);
        at = made->text ? strstr(made->text, before) : NULL;
        assert(at || !made->text);
        made->id_at = at ? (size_t)(at - made->text) + strlen(before) : 0;
        made->id_end = at ? made->id_at + strspn(made->text + made->id_at, "0123456789") : 0;
        rc = made->text ? 0 : -ENOMEM;
    }
    history_page_release(&page);
    return rc;
}

/* NULL without memory. */
static const struct publication_text *find_text(struct publication *publication,
                                                const struct sub *sub)
{
    struct publication_text *made = publication->text;

    for (size_t i = 0; i < publication->n_texts; i++, made++) {
        if (made->words == sub->client->transport->words->notification && made->kind == sub->kind)
            return made;
    }
    assert(publication->n_texts < PUBLICATION_TEXTS);
    *made = (struct publication_text){.words = sub->client->transport->words->notification,
                                      .kind = sub->kind};
    if (write_publication(made, sub, publication) < 0)
        return NULL;
    publication->n_texts++;
    return made;
}

int feed_publication_text(struct publication *publication, const struct sub *sub, char **text,
                          size_t *size)
{
    const struct publication_text *made = find_text(publication, sub);
    char id[24], *at;
    size_t n_id, n_rest;

    if (!made)
        return -ENOMEM;
    if (!made->text)
        return 0;
    n_id = (size_t)snprintf(id, sizeof id, "%" PRId64, sub->id);
    n_rest = made->size - made->id_end;
    at = *text = malloc(made->id_at + n_id + n_rest + 1);
    if (!at)
        return -ENOMEM;
    *size = made->id_at + n_id + n_rest;
    memcpy(at, made->text, made->id_at);
    memcpy(at + made->id_at, id, n_id);
    memcpy(at + made->id_at + n_id, made->text + made->id_end, n_rest);
    at[*size] = '\0';
    return 1;
}

void feed_publication_release(struct publication *publication)
{
    for (size_t i = 0; i < publication->n_texts; i++)
        free(publication->text[i].text);
}

/* ---- the latest of everything ---------------------------------------------------------------- */

/* An answer whose lists are written while they are read: first the answer with empty lists is made,
 * then the things of each go between its brackets. */
struct snapshot {
    const struct question *question;
    struct history_page page;
    char *frame; /* NULL: not made yet */
    size_t size, written;
    const char *list; /* the one that is open */
    FILE *out;
};

static bool make_frame(struct snapshot *snapshot)
{
    struct history_page empty = {.reached = snapshot->page.reached};
    const struct question *question = snapshot->question;
    cJSON *params = feed_update_params(question->sub, &empty);

    if (params)
        snapshot->frame = question->client->transport->words->result(question->request.id, params,
                                                                     &snapshot->size);
    history_page_drop(&empty);
    return snapshot->frame;
}

/* Up to the bracket that opens the list. A text that a client has sent cannot look like it, since
 * its quotes are escaped. */
static void open_list(struct snapshot *snapshot, const char *list)
{
    char open[16];
    const char *at = snapshot->frame + snapshot->written, *end;

    snprintf(open, sizeof open, "\"%s\":[", list);
    end = strstr(at, open);
    assert(end);
    end += strlen(open);
    fwrite(at, 1, (size_t)(end - at), snapshot->out);
    snapshot->written += (size_t)(end - at);
    snapshot->list = list;
}

static int put_latest(void *arg, const char *list, cJSON *thing)
{
    struct snapshot *snapshot = arg;
    char *text = thing ? json_print(thing) : NULL;
    bool is_good = text && (snapshot->frame || make_frame(snapshot));

    if (is_good && snapshot->list == list)
        fputc_unlocked(',', snapshot->out);
    else if (is_good)
        open_list(snapshot, list);
    if (is_good)
        fputs_unlocked(text, snapshot->out);
    cJSON_free(text);
    cJSON_Delete(thing);
    return is_good ? 0 : -ENOMEM;
}

static int write_latest(struct history *history, struct question *question, struct err *err)
{
    struct snapshot snapshot = {.question = question, .out = text_stream(question->text)};
    int rc = history_latest(history, question->sub->kind, question->run_key, &snapshot.page,
                            put_latest, &snapshot, err);

    if (rc == 0 && !snapshot.frame && !make_frame(&snapshot))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        fwrite(snapshot.frame + snapshot.written, 1, snapshot.size - snapshot.written,
               snapshot.out);
    free(snapshot.frame);
    history_page_drop(&snapshot.page);
    question->page = snapshot.page;
    return rc;
}

int feed_answer_latest(struct history *history, struct question *question)
{
    int rc, ended;

    question->text = text_new(question->client->hub->room);
    if (!question->text)
        return err_set(&question->why, -ENOMEM, "out of memory");
    rc = write_latest(history, question, &question->why);
    ended = text_end(question->text);
    if (rc < 0)
        return rc;
    return ended < 0 ? err_set(&question->why, ended, FEED_NO_ROOM) : 0;
}
