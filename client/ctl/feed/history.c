#include "client/ctl/feed/history.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"
#include "proto/base/metric.h"

/* Rows of a page: 3 MB of text and 30 MB as cJSON keeps them. */
#define PAGE_ROWS 10000

/* How the two queries differ. */
static const struct {
    const char *method, *name_parameter, *list, *name;
} kinds[] = {
    [HISTORY_LAYER] = {"series.query", "layer", "layers", "layer"},
    [HISTORY_SCALAR] = {"scalars.query", "names", "scalars", "name"},
};

/* Detaches from an array the object whose `key` is `name`. */
static cJSON *detach_named(cJSON *array, const char *key, const char *name)
{
    cJSON *entry;

    cJSON_ArrayForEach(entry, array)
    {
        if (strcmp(member_text(entry, key, ""), name) == 0)
            return cJSON_DetachItemViaPointer(array, entry);
    }
    return NULL;
}

/* Asks for all rows or bins (`limit` -1), or for a page of so many rows behind the place `next`. */
static int ask(struct feedclient *feed, const struct history_query *query, int64_t limit,
               const char *next, cJSON **entry, struct err *err)
{
    const char *parameter = kinds[query->kind].name_parameter;
    cJSON *answer;
    int rc = feedclient_call(
        feed, kinds[query->kind].method,
        params_of(param_text("run", query->run),
                  query->kind == HISTORY_LAYER ? param_text(parameter, query->name)
                                               : param_list(parameter, query->name),
                  param_list("metrics", query->metric), param_flag("scalars", query->scalars),
                  param_text("attempts", query->attempts), param_text("spacing", query->spacing),
                  param_integer("from", query->from), param_integer("to", query->to),
                  param_integer("points", query->points), param_integer("limit", limit),
                  param_text("next", next)),
        &answer, err);

    *entry = NULL;
    if (rc < 0)
        return rc;
    *entry = detach_named(cJSON_GetObjectItemCaseSensitive(answer, kinds[query->kind].list),
                          kinds[query->kind].name, query->name);
    cJSON_Delete(answer);
    return 0;
}

int history_get(struct feedclient *feed, const struct history_query *query, cJSON **entry,
                struct err *err)
{
    assert(query && query->run && query->name && entry);
    return ask(feed, query, -1, NULL, entry, err);
}

/* Whether the entry's measure is a number in any row. */
static bool has_numbers(const cJSON *entry, const char *metric)
{
    const cJSON *column = member(member(entry, "columns"), metric), *cell;

    if (history_is_binned(entry))
        column = member(column, "last");
    cJSON_ArrayForEach(cell, column)
    {
        if (cJSON_IsNumber(cell))
            return true;
    }
    return false;
}

int history_get_shown(struct feedclient *feed, struct history_query *query, int plain,
                      cJSON **entry, struct err *err)
{
    int corrected = metric_corrected(plain), rc;

    assert(query && metric_plain(plain) == plain);
    query->metric = metric_table[corrected].name;
    rc = history_get(feed, query, entry, err);
    if (rc < 0 || !*entry || corrected == plain || has_numbers(*entry, query->metric))
        return rc;
    cJSON_Delete(*entry);
    query->metric = metric_table[plain].name;
    return history_get(feed, query, entry, err);
}

int history_first(struct feedclient *feed, const struct history_query *query, cJSON **entry,
                  struct err *err)
{
    struct history_query first = *query;

    first.from = first.to = first.points = -1;
    first.spacing = NULL;
    return ask(feed, &first, 1, NULL, entry, err);
}

bool history_is_binned(const cJSON *entry)
{
    return cJSON_IsTrue(member(entry, "binned"));
}

void history_cursor_init(struct history_cursor *cursor, const cJSON *entry,
                         const struct history_column columns[], size_t n)
{
    const cJSON *all = member(entry, "columns");

    assert(n > 0 && n <= HISTORY_MAX_COLUMNS);
    cursor->n = n;
    cursor->started = false;
    for (size_t i = 0; i < n; i++) {
        const cJSON *array =
            member(columns[i].in ? member(all, columns[i].in) : all, columns[i].name);

        cursor->cells[i] = cJSON_IsArray(array) ? array->child : NULL;
    }
}

bool history_cursor_next(struct history_cursor *cursor)
{
    assert(cursor->n > 0);
    for (size_t i = 0; cursor->started && i < cursor->n; i++) {
        if (cursor->cells[i])
            cursor->cells[i] = cursor->cells[i]->next;
    }
    cursor->started = true;
    return cursor->cells[0] != NULL;
}

int history_walk(const cJSON *entry, const struct history_column columns[], size_t n,
                 history_row_fn *on_row, void *context, struct err *err)
{
    struct history_cursor cursor;
    int rc = 0;

    history_cursor_init(&cursor, entry, columns, n);
    while (rc == 0 && history_cursor_next(&cursor))
        rc = on_row(context, cursor.cells, err);
    return rc;
}

int history_each(struct feedclient *feed, const struct history_query *query,
                 const struct history_column columns[], size_t n, history_row_fn *on_row,
                 void *context, struct err *err)
{
    cJSON *page = NULL;
    int rc;

    assert(query && query->run && query->name && on_row);
    do {
        cJSON *before = page;

        rc = ask(feed, query, PAGE_ROWS, member_text(before, "next", NULL), &page, err);
        cJSON_Delete(before);
        if (rc == 0)
            rc = history_walk(page, columns, n, on_row, context, err);
    } while (rc == 0 && member_text(page, "next", NULL));
    cJSON_Delete(page);
    return rc;
}

/* The names in an array of layers, with commas. */
static void list_names(const cJSON *layers, char *text, size_t size)
{
    const cJSON *entry;
    size_t used = 0;

    snprintf(text, size, "none");
    cJSON_ArrayForEach(entry, layers)
    {
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     member_text(entry, "layer", "?"));
    }
}

static int keep_layer(cJSON *answer, const char *run, const char *layer, struct err *err)
{
    cJSON *layers = cJSON_GetObjectItemCaseSensitive(answer, "layers");
    cJSON *entry = detach_named(layers, "layer", layer), *only = cJSON_CreateArray();
    char names[256];

    if (entry && only) {
        cJSON_AddItemToArray(only, entry);
        cJSON_ReplaceItemInObjectCaseSensitive(answer, "layers", only);
        return 0;
    }
    cJSON_Delete(only);
    cJSON_Delete(entry);
    list_names(layers, names, sizeof names);
    return err_set(err, -ENOENT, "run %s has no layer \"%s\"; it has: %s", run, layer, names);
}

int history_layers(struct feedclient *feed, const char *run, const char *layer, cJSON **answer,
                   struct err *err)
{
    int rc = feedclient_call(feed, "layer.list", params_of(param_text("run", run)), answer, err);

    assert(run && answer);
    if (rc < 0 || !layer)
        return rc;
    rc = keep_layer(*answer, run, layer, err);
    if (rc < 0) {
        cJSON_Delete(*answer);
        *answer = NULL;
    }
    return rc;
}

int history_events(struct feedclient *feed, const char *run, const char *layer, int64_t from,
                   int64_t to, cJSON **answer, struct err *err)
{
    int rc = feedclient_call(feed, "event.query",
                             params_of(param_text("run", run), param_text("layer", layer),
                                       param_integer("from", from), param_integer("to", to)),
                             answer, err);

    assert(run && answer);
    if (rc < 0 || cJSON_IsArray(member(*answer, "events")))
        return rc;
    cJSON_Delete(*answer);
    *answer = NULL;
    return err_set(err, -EPROTO, "the daemon's answer has no events");
}
