/* Answers of the history as trees, parsed from their JSON: asked_series() is history_series() with
 * a tree for its answer. For tests; any thread. */
#pragma once

#include <errno.h>
#include <stdlib.h>

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
