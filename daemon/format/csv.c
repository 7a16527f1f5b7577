#include "daemon/format/csv.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/csv.h"
#include "proto/json.h"

/* ---- cells ----------------------------------------------------------------------------------- */

/* Texts with spaces between them: "partial small_sample". */
static bool put_words(FILE *out, const cJSON *words)
{
    char *text = NULL;
    size_t size;
    FILE *joined = open_memstream(&text, &size);
    const cJSON *word;

    if (!joined)
        return false;
    cJSON_ArrayForEach(word, words)
    {
        fprintf(joined, "%s%s", word == words->child ? "" : " ", word->valuestring);
    }
    if (fclose(joined) == 0)
        csv_put_text(out, text);
    free(text);
    return text;
}

/* An array of texts as words, anything deeper as JSON. */
static bool put_container(FILE *out, const cJSON *item)
{
    const cJSON *member;
    char *text;

    cJSON_ArrayForEach(member, item)
    {
        if (!cJSON_IsArray(item) || !cJSON_IsString(member)) {
            text = json_print(item);
            csv_put_quoted(out, text ? text : "");
            cJSON_free(text);
            return text;
        }
    }
    return put_words(out, item);
}

static void put_number(FILE *out, double value)
{
    char text[JSON_DOUBLE_SIZE];

    fwrite_unlocked(text, 1, json_double_text(value, text), out);
}

/* Our numbers are raw text already, which reads back the same. */
static bool put_cell(FILE *out, const cJSON *item)
{
    if (!item || cJSON_IsNull(item))
        return true;
    if (cJSON_IsString(item))
        csv_put_text(out, item->valuestring);
    else if (cJSON_IsRaw(item))
        csv_put_quoted(out, strcmp(item->valuestring, "null") == 0 ? "" : item->valuestring);
    else if (cJSON_IsBool(item))
        fputs(cJSON_IsTrue(item) ? "true" : "false", out);
    else if (cJSON_IsNumber(item))
        put_number(out, item->valuedouble);
    else
        return put_container(out, item);
    return true;
}

/* ---- the header: names in the order in which they are first met ---- */

struct column {
    const char *name;
    const char *part; /* of a column of columns: min, max, last, or a scalar; else NULL */
    const cJSON *at;  /* the next cell */
};

struct header {
    struct column *columns;
    size_t n, capacity;
    bool failed; /* memory ran out */
};

static bool has_name(const struct column *column, const char *name, const char *part)
{
    return strcmp(column->name, name) == 0 && !column->part == !part &&
           (!part || strcmp(column->part, part) == 0);
}

static void add_name(struct header *header, const char *name, const char *part)
{
    for (size_t i = 0; i < header->n; i++) {
        if (has_name(&header->columns[i], name, part))
            return;
    }
    if (header->n == header->capacity) {
        size_t capacity = header->capacity ? 2 * header->capacity : 64;
        struct column *grown = realloc(header->columns, capacity * sizeof *grown);

        header->failed |= !grown;
        if (!grown)
            return;
        header->columns = grown;
        header->capacity = capacity;
    }
    header->columns[header->n++] = (struct column){name, part, NULL};
}

/* The members of `columns`: arrays, or objects of arrays. */
static void add_columns(struct header *header, const cJSON *columns)
{
    const cJSON *column, *part;

    cJSON_ArrayForEach(column, columns)
    {
        if (cJSON_IsArray(column)) {
            add_name(header, column->string, NULL);
            continue;
        }
        cJSON_ArrayForEach(part, column)
        {
            add_name(header, column->string, part->string);
        }
    }
}

void csv_put_name(FILE *out, const char *of, const char *part)
{
    char *name = NULL;

    if (!part) {
        csv_put_text(out, of);
        return;
    }
    if (asprintf(&name, "%s_%s", of, part) < 0)
        return;
    csv_put_text(out, name);
    free(name);
}

static void put_header(FILE *out, const struct header *header, const char *first)
{
    if (first)
        fprintf(out, "%s%s", first, header->n > 0 ? "," : "");
    for (size_t i = 0; i < header->n; i++) {
        if (i > 0)
            fputc(',', out);
        csv_put_name(out, header->columns[i].name, header->columns[i].part);
    }
    fputs("\r\n", out);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Goes to the first cells; false when there is no row. */
static bool start_columns(struct header *header, const cJSON *columns)
{
    bool more = false;

    for (size_t i = 0; i < header->n; i++) {
        struct column *column = &header->columns[i];
        const cJSON *cells = cJSON_GetObjectItemCaseSensitive(columns, column->name);

        if (column->part)
            cells = cJSON_GetObjectItemCaseSensitive(cells, column->part);
        column->at = cJSON_IsArray(cells) ? cells->child : NULL;
        more |= column->at != NULL;
    }
    return more;
}

/* A row for each place in the arrays of `columns`, behind `first` or the number of the row. */
static bool put_columns(FILE *out, struct header *header, const cJSON *first, const cJSON *columns)
{
    bool more = start_columns(header, columns), good = true;

    for (size_t k = 1; more && good; k++) {
        if (first)
            good = put_cell(out, first);
        else
            fprintf(out, "%zu", k);
        more = false;
        for (size_t i = 0; i < header->n && good; i++) {
            struct column *column = &header->columns[i];

            fputc(',', out);
            good = put_cell(out, column->at);
            column->at = column->at ? column->at->next : NULL;
            more |= column->at != NULL;
        }
        fputs("\r\n", out);
    }
    return good;
}

/* `first` names the objects: "layer" or "name". */
static bool put_series(FILE *out, struct header *header, const cJSON *list, const char *first)
{
    const cJSON *item;
    bool good = true;

    cJSON_ArrayForEach(item, list)
    {
        add_columns(header, cJSON_GetObjectItemCaseSensitive(item, "columns"));
    }
    put_header(out, header, first);
    cJSON_ArrayForEach(item, list)
    {
        good = good && put_columns(out, header, cJSON_GetObjectItemCaseSensitive(item, first),
                                   cJSON_GetObjectItemCaseSensitive(item, "columns"));
    }
    return good;
}

static void add_members(struct header *header, const cJSON *object)
{
    const cJSON *member;

    cJSON_ArrayForEach(member, object)
    {
        add_name(header, member->string, NULL);
    }
}

static bool put_object(FILE *out, const struct header *header, const cJSON *object)
{
    for (size_t i = 0; i < header->n; i++) {
        if (i > 0)
            fputc(',', out);
        if (!put_cell(out, cJSON_GetObjectItemCaseSensitive(object, header->columns[i].name)))
            return false;
    }
    fputs("\r\n", out);
    return true;
}

static bool put_objects(FILE *out, struct header *header, const cJSON *list)
{
    const cJSON *item;
    bool good = true;

    cJSON_ArrayForEach(item, list)
    {
        add_members(header, item);
    }
    put_header(out, header, NULL);
    cJSON_ArrayForEach(item, list)
    {
        good = good && put_object(out, header, item);
    }
    return good;
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

static bool put_answer(FILE *out, struct header *header, const cJSON *answer)
{
    const cJSON *list = list_of(answer), *member;

    if (list && list->child && cJSON_GetObjectItemCaseSensitive(list->child, "columns"))
        return put_series(out, header, list,
                          strcmp(list->string, "scalars") == 0 ? "name" : "layer");
    if (list)
        return put_objects(out, header, list);
    cJSON_ArrayForEach(member, answer)
    {
        if (cJSON_IsArray(member))
            add_name(header, member->string, NULL);
    }
    put_header(out, header, "k");
    return put_columns(out, header, NULL, answer);
}

char *csv_from_answer(const cJSON *answer, size_t *size)
{
    struct header header = {0};
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    bool good;

    assert(cJSON_IsObject(answer));
    good = out && put_answer(out, &header, answer) && !header.failed && !ferror(out);
    free(header.columns);
    if (out && fclose(out) != 0)
        good = false;
    if (good)
        return text;
    free(text);
    return NULL;
}

/* ---- row by row ------------------------------------------------------------------------------ */

struct csv_rows {
    FILE *out;
    struct header header;
    cJSON *first; /* its members' names are the header's */
};

struct csv_rows *csv_rows_new(FILE *out)
{
    struct csv_rows *rows = calloc(1, sizeof *rows);

    if (rows)
        rows->out = out;
    return rows;
}

bool csv_rows_put(struct csv_rows *rows, cJSON *object)
{
    bool good;

    if (!rows->first) {
        add_members(&rows->header, object);
        put_header(rows->out, &rows->header, NULL);
    }
    good = put_object(rows->out, &rows->header, object) && !rows->header.failed;
    if (rows->first)
        cJSON_Delete(object);
    else
        rows->first = object;
    return good;
}

void csv_rows_end(struct csv_rows *rows)
{
    if (!rows)
        return;
    if (!rows->first)
        put_header(rows->out, &rows->header, NULL);
    cJSON_Delete(rows->first);
    free(rows->header.columns);
    free(rows);
}
