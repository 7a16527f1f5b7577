#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/feed/parts.h"
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
