#include "daemon/http/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/format/csv.h"
#include "daemon/format/openmetrics.h"
#include "proto/json.h"

/* How long a browser waits before it connects again. */
#define RETRY_MS 2000

/* {"error":{"code","message"}} as the feed has it, without the envelope. */
static char *error_words(const cJSON *object, int code, const char *text, size_t *size)
{
    char *line = feed_error(NULL, code, text, size), *at = line ? strstr(line, "\"error\":") : NULL;

    (void)object;
    if (!at)
        return line;
    *size -= (size_t)(at - line) - 1;
    memmove(line + 1, at, *size);
    return line;
}

static char *json_words(const cJSON *object, cJSON *result, size_t *size)
{
    char *text = json_print(result), *line = NULL;
    int n = text ? asprintf(&line, "%s\n", text) : -1;

    (void)object;
    cJSON_free(text);
    cJSON_Delete(result);
    *size = n < 0 ? 0 : (size_t)n;
    return n < 0 ? NULL : line;
}

/* Takes the tree, as words do, for writers that do not. */
static char *write_and_delete(char *(*write)(const cJSON *, size_t *), cJSON *result, size_t *size)
{
    char *text = write(result, size);

    cJSON_Delete(result);
    return text;
}

static char *csv_words(const cJSON *object, cJSON *result, size_t *size)
{
    (void)object;
    return write_and_delete(csv_from_answer, result, size);
}

static char *metrics_words(const cJSON *object, cJSON *result, size_t *size)
{
    (void)object;
    return write_and_delete(openmetrics_status, result, size);
}

/* `seq` is the event's id: a reader that connects again with it misses nothing. */
static char *put_event(const char *before, const char *name, cJSON *params, size_t *size)
{
    const cJSON *seq = cJSON_GetObjectItemCaseSensitive(params, "seq");
    char *data = json_print(params), *text = NULL;
    int n = data && cJSON_IsString(seq) ? asprintf(&text, "%sid: %s\nevent: %s\ndata: %s\n\n",
                                                   before, seq->valuestring, name, data)
                                        : -1;

    cJSON_free(data);
    cJSON_Delete(params);
    *size = n < 0 ? 0 : (size_t)n;
    return n < 0 ? NULL : text;
}

static char *event_words(const char *method, cJSON *params, size_t *size)
{
    return put_event("", method, params, size);
}

/* The answer to the subscription is the first event. */
static char *first_event_words(const cJSON *object, cJSON *result, size_t *size)
{
    const char *method =
        cJSON_GetObjectItemCaseSensitive(result, "points") ? "series.update" : "event.update";
    char retry[32];

    (void)object;
    snprintf(retry, sizeof retry, "retry: %d\n", RETRY_MS);
    return put_event(retry, method, result, size);
}

const struct feed_words http_json = {json_words, error_words, event_words, ANSWER_JSON};
const struct feed_words http_csv = {csv_words, error_words, event_words, ANSWER_CSV};
const struct feed_words http_metrics = {metrics_words, error_words, event_words, ANSWER_JSON};
const struct feed_words http_run_metrics = {json_words, error_words, event_words,
                                            ANSWER_RUN_METRICS};
const struct feed_words http_events = {first_event_words, error_words, event_words, ANSWER_JSON};
