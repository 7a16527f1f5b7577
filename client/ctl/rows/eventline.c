#include "client/ctl/rows/eventline.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"

/* "0.48 -> 0.0907" */
static void print_way(const cJSON *object, FILE *out)
{
    char from[TEXT_SIZE], to[TEXT_SIZE];

    fprintf(out, "%s -> %s", text_number(member_number(object, "from"), from),
            text_number(member_number(object, "to"), to));
}

/* The word stands here alone, and only where the accuracy agreed. */
static void print_accuracy(const cJSON *event, FILE *out)
{
    const cJSON *agrees = member(event, "agrees"), *accuracy = member(event, "accuracy");

    if (!cJSON_IsBool(agrees) || !cJSON_IsObject(accuracy))
        return;
    fputs(cJSON_IsTrue(agrees) ? ", grokking-like: " : ", without generalisation: ", out);
    text_print(member_text(accuracy, "name", "?"), out);
    fputc(' ', out);
    print_way(accuracy, out);
}

/* "alert, warn: loss is not finite: batch 7" */
static void print_alert(const cJSON *event, FILE *out)
{
    const char *text = member_text(event, "text", "");

    fputs("alert, ", out);
    text_print(member_text(event, "level", "info"), out);
    fputs(": ", out);
    text_print(member_text(event, "title", "?"), out);
    if (*text)
        fputs(": ", out);
    text_print(text, out);
}

void eventline_print(const cJSON *event, FILE *out)
{
    bool falls = strcmp(member_text(event, "direction", "?"), "fall") == 0;

    assert(out);
    if (strcmp(member_text(event, "kind", "?"), "alert") == 0) {
        print_alert(event, out);
        return;
    }
    if (strcmp(member_text(event, "kind", "?"), "transition") != 0) {
        text_print(member_text(event, "kind", "?"), out);
        return;
    }
    fputs(cJSON_IsNumber(member(event, "returned")) ? "excursion: " : "transition: ", out);
    text_print(member_text(event, "metric", "?"), out);
    fputs(falls ? " falls " : " rises ", out);
    print_way(event, out);
    fprintf(out, " over steps %.0f-%.0f", member_number(event, "start"),
            member_number(event, "end"));
    if (cJSON_IsNumber(member(event, "returned")))
        fprintf(out, ", back by %.0f", member_number(event, "returned"));
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

/* As the page has it (plot/marks.js). */
#define SHORTAGE                                                                                   \
    "too few points to judge: %.0f of %.0f, still needed: %.0f. Train on, or take points more "    \
    "often"

char *eventline_shortage(const cJSON *series)
{
    double points = member_number(series, "points"), needed = member_number(series, "needed");
    char *name, *text = NULL;

    if (!(points < needed))
        return NULL;
    name = text_escape(member_text(series, "metric", "?"));
    if (!name || asprintf(&text, "%s: " SHORTAGE, name, points, needed, needed - points) < 0)
        text = NULL;
    free(name);
    return text;
}
