#include "daemon/format/answer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/feed.h"
#include "proto/json.h"

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The tree's text, but for `left_out` bytes at its end. */
static void put_tree(struct answer *answer, cJSON *tree, size_t skipped, size_t left_out)
{
    char *text = tree ? json_print(tree) : NULL;
    size_t size = text ? strlen(text) : 0;

    answer->failed |= !text;
    if (text && size > skipped + left_out)
        fwrite_unlocked(text + skipped, 1, size - skipped - left_out, answer->out);
    cJSON_free(text);
    cJSON_Delete(tree);
}

void answer_put_text(struct answer *answer, const char *text)
{
    put_tree(answer, cJSON_CreateString(text), 0, 0);
}

void answer_put_number(FILE *out, double value)
{
    char text[JSON_DOUBLE_SIZE];

    fwrite_unlocked(text, 1, json_double_text(value, text), out);
}

void answer_put_integer(FILE *out, int64_t value)
{
    char text[JSON_DOUBLE_SIZE];

    fwrite_unlocked(text, 1, json_integer_text(value, text), out);
}

/* Of an answer whose result is null, all that stands before the null. */
static void put_envelope(struct answer *answer, const cJSON *object)
{
    static const char rest[] = "null}\n";
    size_t size;
    char *text = feed_result(object, cJSON_CreateNull(), &size);

    answer->failed |= !text;
    if (text)
        fwrite(text, 1, size - strlen(rest), answer->out);
    free(text);
}

/* ---- an answer ------------------------------------------------------------------------------- */

bool answer_is_json(const struct answer *answer)
{
    return answer->form == ANSWER_LINE || answer->form == ANSWER_JSON;
}

bool answer_is_csv(const struct answer *answer)
{
    return answer->form == ANSWER_CSV;
}

void answer_start(struct answer *answer, enum answer_form form, const cJSON *object, FILE *out)
{
    *answer = (struct answer){.out = out, .form = form};
    if (form == ANSWER_LINE)
        put_envelope(answer, object);
}

int answer_end(struct answer *answer)
{
    if (answer_is_json(answer))
        fputs(answer->form == ANSWER_LINE ? "}\n" : "\n", answer->out);
    csv_rows_end(answer->rows);
    answer->rows = NULL;
    return answer->failed ? -ENOMEM : 0;
}

void answer_tree(struct answer *answer, cJSON *tree)
{
    size_t size;
    char *text;

    if (!answer_is_csv(answer)) {
        put_tree(answer, tree, 0, 0);
        return;
    }
    text = tree ? csv_from_answer(tree, &size) : NULL;
    answer->failed |= !text;
    if (text)
        fwrite(text, 1, size, answer->out);
    free(text);
    cJSON_Delete(tree);
}

/* ---- lists ----------------------------------------------------------------------------------- */

void answer_list(struct answer *answer, cJSON *head, const char *name)
{
    answer->has_item = false;
    if (answer_is_json(answer)) {
        bool is_empty = !head || !head->child;

        put_tree(answer, head, 0, 1);
        fprintf(answer->out, "%s\"%s\":[", is_empty ? "" : ",", name);
        return;
    }
    answer->failed |= !head;
    cJSON_Delete(head);
    if (answer_is_csv(answer)) {
        answer->rows = csv_rows_new(answer->out);
        answer->failed |= !answer->rows;
    } else {
        openmetrics_start_runs(answer->out, &answer->runs);
    }
}

static void put_comma(struct answer *answer)
{
    if (answer->has_item)
        fputc_unlocked(',', answer->out);
    answer->has_item = true;
}

void answer_item_text(struct answer *answer, const char *text, size_t size)
{
    assert(answer_is_json(answer));
    put_comma(answer);
    fwrite_unlocked(text, 1, size, answer->out);
}

void answer_item_open(struct answer *answer, cJSON *item)
{
    assert(answer_is_json(answer));
    put_comma(answer);
    put_tree(answer, item, 0, 1);
}

void answer_item(struct answer *answer, cJSON *item)
{
    if (answer_is_json(answer)) {
        answer_item_open(answer, item);
        fputc_unlocked('}', answer->out);
    } else if (!item) {
        answer->failed = true;
    } else if (answer->rows) {
        answer->failed |= !csv_rows_put(answer->rows, item);
    } else {
        if (answer->form == ANSWER_RUN_METRICS)
            openmetrics_put_run(answer->out, &answer->runs, item);
        cJSON_Delete(item);
    }
}

void answer_list_end(struct answer *answer, cJSON *tail)
{
    if (!answer_is_json(answer)) {
        cJSON_Delete(tail);
        if (answer->form == ANSWER_RUN_METRICS)
            openmetrics_end_runs(answer->out, &answer->runs);
        return;
    }
    fputc_unlocked(']', answer->out);
    if (tail && tail->child) {
        fputc_unlocked(',', answer->out);
        put_tree(answer, tail, 1, 0);
    } else {
        fputc_unlocked('}', answer->out);
        cJSON_Delete(tail);
    }
}
