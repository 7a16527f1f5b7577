#include "client/ctl/rows/eventline.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/feed/params.h"
#include "client/ctl/common/text.h"

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *text = member(object, name);

    return cJSON_IsString(text) ? text->valuestring : "?";
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = member(object, name);

    return cJSON_IsNumber(number) ? number->valuedouble : (double)NAN;
}

/* "0.48 -> 0.0907" */
static void print_way(const cJSON *object, FILE *out)
{
    char from[TEXT_SIZE], to[TEXT_SIZE];

    fprintf(out, "%s -> %s", text_number(number_of(object, "from"), from),
            text_number(number_of(object, "to"), to));
}

/* The word stands here alone, and only where the accuracy agreed. */
static void print_accuracy(const cJSON *event, FILE *out)
{
    const cJSON *agrees = member(event, "agrees"), *accuracy = member(event, "accuracy");

    if (!cJSON_IsBool(agrees) || !cJSON_IsObject(accuracy))
        return;
    fputs(cJSON_IsTrue(agrees) ? ", grokking-like: " : ", without generalisation: ", out);
    text_print(text_of(accuracy, "name"), out);
    fputc(' ', out);
    print_way(accuracy, out);
}

/* Rounded down: 0.9999 is not certainty. */
static double two_digits(double confidence)
{
    return floor(confidence * 100) / 100;
}

void eventline_print(const cJSON *event, FILE *out)
{
    bool falls = strcmp(text_of(event, "direction"), "fall") == 0;

    if (strcmp(text_of(event, "kind"), "transition") != 0) {
        text_print(text_of(event, "kind"), out);
        return;
    }
    fputs("transition: ", out);
    text_print(text_of(event, "metric"), out);
    fputs(falls ? " falls " : " rises ", out);
    print_way(event, out);
    fprintf(out, " over steps %.0f-%.0f (confidence %.2f)", number_of(event, "start"),
            number_of(event, "end"), two_digits(number_of(event, "confidence")));
    print_accuracy(event, out);
}

char *eventline_text(const cJSON *event)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    eventline_print(event, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

int eventline_query(struct feedclient *feed, const char *run, const char *layer, int64_t from,
                    int64_t to, cJSON **events, struct err *e)
{
    cJSON *params = params_new(), *answer;
    int rc;

    *events = NULL;
    params_text(&params, "run", run);
    params_text(&params, "layer", layer);
    params_integer(&params, "from", from);
    params_integer(&params, "to", to);
    rc = feedclient_call(feed, "event.query", params, &answer, e);
    if (rc < 0)
        return rc;
    *events = cJSON_DetachItemFromObjectCaseSensitive(answer, "events");
    cJSON_Delete(answer);
    return *events ? 0 : err_set(e, -EPROTO, "the daemon's answer has no events");
}
