#include "client/ctl/feed/history.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"

/* Rows of one answer: 3 MB of text and 30 MB as cJSON keeps them. */
#define PAGE_ROWS 10000
#define STEP_MAX  ((int64_t)1 << 53)

/* How the two queries differ. */
static const struct {
    const char *method, *name_parameter, *list, *name;
} kinds[] = {
    [HISTORY_LAYER] = {"series.query", "layer", "layers", "layer"},
    [HISTORY_SCALAR] = {"scalars.query", "names", "scalars", "name"},
};

static cJSON *make_params(const struct history_query *query)
{
    const char *parameter = kinds[query->kind].name_parameter;

    return params_of(param_text("run", query->run),
                     query->kind == HISTORY_LAYER ? param_text(parameter, query->name)
                                                  : param_list(parameter, query->name),
                     param_list("metrics", query->metric), param_text("attempts", query->attempts),
                     param_text("spacing", query->spacing), param_integer("from", query->from),
                     param_integer("to", query->to), param_integer("points", query->points));
}

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

int history_get(struct feedclient *feed, const struct history_query *query, cJSON **entry,
                struct err *e)
{
    cJSON *answer;
    int rc;

    assert(query && query->run && query->name && entry);
    *entry = NULL;
    rc = feedclient_call(feed, kinds[query->kind].method, make_params(query), &answer, e);
    if (rc < 0)
        return rc;
    *entry = detach_named(cJSON_GetObjectItemCaseSensitive(answer, kinds[query->kind].list),
                          kinds[query->kind].name, query->name);
    cJSON_Delete(answer);
    return 0;
}

bool history_is_binned(const cJSON *entry)
{
    return cJSON_IsTrue(member(entry, "binned"));
}

static const cJSON *find_column(const cJSON *columns, const char *name)
{
    const char *dot = strchr(name, '.');
    char first[64];

    if (!dot)
        return cJSON_GetObjectItemCaseSensitive(columns, name);
    snprintf(first, sizeof first, "%.*s", (int)(dot - name), name);
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(columns, first),
                                            dot + 1);
}

void history_cursor_init(struct history_cursor *cursor, const cJSON *entry,
                         const char *const names[], size_t n)
{
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(entry, "columns");

    assert(n > 0 && n <= HISTORY_MAX_COLUMNS);
    memset(cursor, 0, sizeof *cursor);
    cursor->n = n;
    for (size_t i = 0; i < n; i++) {
        const cJSON *column = find_column(columns, names[i]);

        cursor->cells[i] = cJSON_IsArray(column) ? column->child : NULL;
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

/* What history_each carries through its ranges. */
struct walk {
    struct feedclient *feed;
    struct history_query query;
    const char *const *names;
    size_t n;
    history_row_fn *on_row;
    void *context;
};

static int walk_range(struct walk *walk, int64_t from, int64_t to, struct err *e);

static int walk_rows(struct walk *walk, const cJSON *entry, struct err *e)
{
    struct history_cursor cursor;
    int rc = 0;

    history_cursor_init(&cursor, entry, walk->names, walk->n);
    while (rc == 0 && history_cursor_next(&cursor))
        rc = walk->on_row(walk->context, cursor.cells, e);
    return rc;
}

static int64_t whole(const cJSON *cell)
{
    return cJSON_IsNumber(cell) ? (int64_t)cell->valuedouble : 0;
}

/* A range that the daemon's bins do not divide is divided here. */
static int halve(struct walk *walk, int64_t from, int64_t to, struct err *e)
{
    int64_t middle = from + (to - from) / 2;
    int rc;

    if (from == to)
        return err_set(e, -EPROTO, "more than %d rows at step %" PRId64, PAGE_ROWS, from);
    rc = walk_range(walk, from, middle, e);
    return rc < 0 ? rc : walk_range(walk, middle + 1, to, e);
}

/* The bins say how many rows lie where: neighbours are joined while their rows fit a page. */
static int walk_bins(struct walk *walk, const cJSON *entry, int64_t from, int64_t to, struct err *e)
{
    static const char *const names[] = {"step", "step_end", "count"};
    int64_t first = from, last = from, rows = 0;
    struct history_cursor cursor;
    int rc = 0;

    history_cursor_init(&cursor, entry, names, 3);
    while (rc == 0 && history_cursor_next(&cursor)) {
        int64_t step = whole(cursor.cells[0]), count = whole(cursor.cells[2]);

        if (rows > 0 && rows + count > PAGE_ROWS && step > first) {
            rc = walk_range(walk, first, step - 1, e);
            first = step;
            rows = 0;
        }
        rows += count;
        last = whole(cursor.cells[1]);
    }
    if (rc < 0)
        return rc;
    last = last < first ? first : last;
    /* The last bin is the whole range again: asking the same would never end. */
    return first == from && last >= to ? halve(walk, from, to, e)
                                       : walk_range(walk, first, last, e);
}

static int walk_range(struct walk *walk, int64_t from, int64_t to, struct err *e)
{
    cJSON *entry;
    int rc;

    walk->query.from = from;
    walk->query.to = to;
    rc = history_get(walk->feed, &walk->query, &entry, e);
    if (rc < 0 || !entry)
        return rc;
    rc = history_is_binned(entry) ? walk_bins(walk, entry, from, to, e) : walk_rows(walk, entry, e);
    cJSON_Delete(entry);
    return rc;
}

int history_each(struct feedclient *feed, const struct history_query *query,
                 const char *const names[], size_t n, history_row_fn *on_row, void *context,
                 struct err *e)
{
    struct walk walk = {feed, *query, names, n, on_row, context};

    walk.query.points = PAGE_ROWS;
    return walk_range(&walk, query->from < 0 ? 0 : query->from,
                      query->to < 0 ? STEP_MAX : query->to, e);
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

static int keep_layer(cJSON *answer, const char *run, const char *layer, struct err *e)
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
    return err_set(e, -ENOENT, "run %s has no layer \"%s\"; it has: %s", run, layer, names);
}

int history_layers(struct feedclient *feed, const char *run, const char *layer, cJSON **answer,
                   struct err *e)
{
    int rc = feedclient_call(feed, "layer.list", params_of(param_text("run", run)), answer, e);

    assert(run && answer);
    if (rc < 0 || !layer)
        return rc;
    rc = keep_layer(*answer, run, layer, e);
    if (rc < 0) {
        cJSON_Delete(*answer);
        *answer = NULL;
    }
    return rc;
}

int history_events(struct feedclient *feed, const char *run, const char *layer, int64_t from,
                   int64_t to, cJSON **events, struct err *e)
{
    cJSON *answer;
    int rc = feedclient_call(feed, "event.query",
                             params_of(param_text("run", run), param_text("layer", layer),
                                       param_integer("from", from), param_integer("to", to)),
                             &answer, e);

    assert(run && events);
    *events = NULL;
    if (rc < 0)
        return rc;
    *events = cJSON_DetachItemFromObjectCaseSensitive(answer, "events");
    cJSON_Delete(answer);
    return *events ? 0 : err_set(e, -EPROTO, "the daemon's answer has no events");
}
