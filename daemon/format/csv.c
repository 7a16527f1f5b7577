#include "daemon/format/csv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

/* Columns of all rows: the measures in bins, three each, and what names a layer. */
#define MAX_COLUMNS 256

/* ---- cells ----------------------------------------------------------------------------------- */

static void put_quoted(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (const char *c = text; *c; c++)
        fputs(*c == '"' ? "\"\"" : (char[]){*c, '\0'}, out);
    fputc('"', out);
}

/* Names side by side ("partial small_sample"), anything deeper as JSON. */
static bool put_container(FILE *out, const cJSON *item)
{
    const cJSON *member;
    char *text;

    cJSON_ArrayForEach(member, item)
    {
        if (!cJSON_IsArray(item) || !cJSON_IsString(member)) {
            text = json_print(item);
            put_quoted(out, text ? text : "");
            cJSON_free(text);
            return text;
        }
    }
    cJSON_ArrayForEach(member, item)
    {
        fprintf(out, "%s%s", member == item->child ? "" : " ", member->valuestring);
    }
    return true;
}

/* Numbers of ours are raw text already, which reads back the same. */
static bool put_cell(FILE *out, const cJSON *item)
{
    if (!item || cJSON_IsNull(item))
        return true;
    if (cJSON_IsString(item))
        put_quoted(out, item->valuestring);
    else if (cJSON_IsRaw(item))
        put_quoted(out, strcmp(item->valuestring, "null") == 0 ? "" : item->valuestring);
    else if (cJSON_IsBool(item))
        fputs(cJSON_IsTrue(item) ? "true" : "false", out);
    else if (cJSON_IsNumber(item))
        fprintf(out, "%.17g", item->valuedouble);
    else
        return put_container(out, item);
    return true;
}

/* ---- the header: names in the order in which they are first met -------------------------------
 */

struct header {
    const char *name[MAX_COLUMNS];
    const char *part[MAX_COLUMNS]; /* of a binned measure: min, max, last; else NULL */
    size_t n;
};

static void add_name(struct header *h, const char *name, const char *part)
{
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->name[i], name) == 0 && !h->part[i] == !part &&
            (!part || strcmp(h->part[i], part) == 0))
            return;
    }
    if (h->n == MAX_COLUMNS)
        return;
    h->name[h->n] = name;
    h->part[h->n++] = part;
}

/* The members of `columns`: arrays, or objects of arrays. */
static void add_columns(struct header *h, const cJSON *columns)
{
    const cJSON *column, *part;

    cJSON_ArrayForEach(column, columns)
    {
        if (cJSON_IsArray(column)) {
            add_name(h, column->string, NULL);
            continue;
        }
        cJSON_ArrayForEach(part, column)
        {
            add_name(h, column->string, part->string);
        }
    }
}

static void put_header(FILE *out, const struct header *h, const char *first)
{
    if (first)
        fprintf(out, "%s%s", first, h->n > 0 ? "," : "");
    for (size_t i = 0; i < h->n; i++)
        fprintf(out, "%s%s%s%s", i > 0 ? "," : "", h->name[i], h->part[i] ? "_" : "",
                h->part[i] ? h->part[i] : "");
    fputs("\r\n", out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A row for each place in the arrays of `columns`, behind `first`. */
static bool put_columns(FILE *out, const struct header *h, const cJSON *first, const cJSON *columns)
{
    const cJSON *at[MAX_COLUMNS];
    bool more = false, good = true;

    for (size_t i = 0; i < h->n; i++) {
        const cJSON *column = cJSON_GetObjectItemCaseSensitive(columns, h->name[i]);

        if (h->part[i])
            column = cJSON_GetObjectItemCaseSensitive(column, h->part[i]);
        at[i] = column && cJSON_IsArray(column) ? column->child : NULL;
        more |= at[i] != NULL;
    }
    for (size_t k = 1; more && good; k++) {
        if (first)
            good = put_cell(out, first);
        else
            fprintf(out, "%zu", k);
        more = false;
        for (size_t i = 0; i < h->n && good; i++) {
            fputc(',', out);
            good = put_cell(out, at[i]);
            at[i] = at[i] ? at[i]->next : NULL;
            more |= at[i] != NULL;
        }
        fputs("\r\n", out);
    }
    return good;
}

/* `first` names the objects: "layer" or "name". */
static bool put_series(FILE *out, const cJSON *list, const char *first)
{
    struct header h = {.n = 0};
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        add_columns(&h, cJSON_GetObjectItemCaseSensitive(item, "columns"));
    }
    put_header(out, &h, first);
    cJSON_ArrayForEach(item, list)
    {
        if (!put_columns(out, &h, cJSON_GetObjectItemCaseSensitive(item, first),
                         cJSON_GetObjectItemCaseSensitive(item, "columns")))
            return false;
    }
    return true;
}

static bool put_objects(FILE *out, const cJSON *list)
{
    struct header h = {.n = 0};
    const cJSON *item, *member;

    cJSON_ArrayForEach(item, list)
    {
        cJSON_ArrayForEach(member, item)
        {
            add_name(&h, member->string, NULL);
        }
    }
    put_header(out, &h, NULL);
    cJSON_ArrayForEach(item, list)
    {
        for (size_t i = 0; i < h.n; i++) {
            if (i > 0)
                fputc(',', out);
            if (!put_cell(out, cJSON_GetObjectItemCaseSensitive(item, h.name[i])))
                return false;
        }
        fputs("\r\n", out);
    }
    return true;
}

/* The list of objects that an answer is about; NULL when it is an object of arrays. */
static const cJSON *list_of(const cJSON *answer)
{
    static const char *const names[] = {"runs", "layers", "scalars", "events", "metrics"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(answer, names[i]);

        if (list)
            return list;
    }
    return NULL;
}

static bool put_answer(FILE *out, const cJSON *answer)
{
    const cJSON *list = list_of(answer);
    struct header h = {.n = 0};
    const cJSON *member;

    if (list && list->child && cJSON_GetObjectItemCaseSensitive(list->child, "columns"))
        return put_series(out, list, strcmp(list->string, "scalars") == 0 ? "name" : "layer");
    if (list)
        return put_objects(out, list);
    cJSON_ArrayForEach(member, answer)
    {
        if (cJSON_IsArray(member))
            add_name(&h, member->string, NULL);
    }
    put_header(out, &h, "k");
    return put_columns(out, &h, NULL, answer);
}

char *csv_from_answer(const cJSON *answer, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    bool good = out && put_answer(out, answer);

    good = good && !ferror(out);
    if (out && fclose(out) != 0)
        good = false;
    if (good)
        return text;
    free(text);
    return NULL;
}
