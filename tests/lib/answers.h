/* Answers of the history as trees, parsed from their JSON: asked_series() is history_series() with
 * a tree for its answer. For tests; any thread. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/history/history.h"

#define ASKED(name, params)                                                                        \
    static inline int asked_##name(struct history *history, const struct params *p, cJSON **out,   \
                                   struct err *err)                                                \
    {                                                                                              \
        struct answer answer;                                                                      \
        char *text = NULL;                                                                         \
        size_t size;                                                                               \
        FILE *stream = open_memstream(&text, &size);                                               \
        int rc;                                                                                    \
                                                                                                   \
        *out = NULL;                                                                               \
        if (!stream)                                                                               \
            return -ENOMEM;                                                                        \
        answer_start(&answer, ANSWER_JSON, NULL, stream);                                          \
        rc = history_##name(history, p, &answer, err);                                             \
        if (answer_end(&answer) < 0 && rc == 0)                                                    \
            rc = -ENOMEM;                                                                          \
        if (fclose(stream) != 0 && rc == 0)                                                        \
            rc = -ENOMEM;                                                                          \
        if (rc == 0)                                                                               \
            *out = cJSON_Parse(text);                                                              \
        if (rc == 0 && !*out)                                                                      \
            rc = -ENOMEM;                                                                          \
        free(text);                                                                                \
        return rc;                                                                                 \
    }

ASKED(run_list, feed_run_list)
ASKED(layer_list, feed_run)
ASKED(series, feed_series_query)
ASKED(scalars, feed_scalars_query)
ASKED(events, feed_event_query)

/* The things of history_latest in the lists of the page. */
static inline int asked_put(void *arg, const char *list, cJSON *thing)
{
    struct history_page *page = arg;
    cJSON **into = strcmp(list, "points") == 0    ? &page->points
                   : strcmp(list, "scalars") == 0 ? &page->scalars
                                                  : &page->events;

    if (!*into)
        *into = cJSON_CreateArray();
    if (*into && cJSON_AddItemToArray(*into, thing))
        return 0;
    cJSON_Delete(thing);
    return -ENOMEM;
}

/* history_latest() with a page that lists all (free with history_page_release). */
static inline int asked_latest(struct history *history, enum change_kind kind, int64_t run_key,
                               struct history_page *out, struct err *err)
{
    struct history_page lists = {0}, page;
    int rc = history_latest(history, kind, run_key, &page, asked_put, &lists, err);

    history_page_drop(&page);
    *out = page;
    out->points = lists.points;
    out->scalars = lists.scalars;
    out->events = lists.events;
    if (rc < 0)
        history_page_release(out);
    return rc;
}
