#include "client/ctl/feed/history.h"

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

static cJSON *make_params(const struct history_query *q)
{
    const char *parameter = kinds[q->kind].name_parameter;

    return params_of(param_text("run", q->run),
                     q->kind == HISTORY_LAYER ? param_text(parameter, q->name)
                                              : param_list(parameter, q->name),
                     param_list("metrics", q->metric), param_text("attempts", q->attempts),
                     param_text("spacing", q->spacing), param_integer("from", q->from),
                     param_integer("to", q->to), param_integer("points", q->points));
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

int history_get(struct feedclient *feed, const struct history_query *q, cJSON **entry,
                struct err *e)
{
    cJSON *answer;
    int rc;

    *entry = NULL;
    rc = feedclient_call(feed, kinds[q->kind].method, make_params(q), &answer, e);
    if (rc < 0)
        return rc;
    *entry = detach_named(cJSON_GetObjectItemCaseSensitive(answer, kinds[q->kind].list),
                          kinds[q->kind].name, q->name);
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

void history_cursor_init(struct history_cursor *c, const cJSON *entry, const char *const names[],
                         size_t n)
{
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(entry, "columns");

    memset(c, 0, sizeof *c);
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        const cJSON *column = find_column(columns, names[i]);

        c->cells[i] = cJSON_IsArray(column) ? column->child : NULL;
    }
}

bool history_cursor_next(struct history_cursor *c)
{
    for (size_t i = 0; c->started && i < c->n; i++) {
        if (c->cells[i])
            c->cells[i] = c->cells[i]->next;
    }
    c->started = true;
    return c->cells[0] != NULL;
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

static int walk_range(struct walk *w, int64_t from, int64_t to, struct err *e);

static int walk_rows(struct walk *w, const cJSON *entry, struct err *e)
{
    struct history_cursor c;
    int rc = 0;

    history_cursor_init(&c, entry, w->names, w->n);
    while (rc == 0 && history_cursor_next(&c))
        rc = w->on_row(w->context, c.cells, e);
    return rc;
}

static int64_t whole(const cJSON *cell)
{
    return cJSON_IsNumber(cell) ? (int64_t)cell->valuedouble : 0;
}

/* A range that the daemon's bins do not divide is divided here. */
static int halve(struct walk *w, int64_t from, int64_t to, struct err *e)
{
    int64_t middle = from + (to - from) / 2;
    int rc;

    if (from == to)
        return err_set(e, -EPROTO, "more than %d rows at step %" PRId64, PAGE_ROWS, from);
    rc = walk_range(w, from, middle, e);
    return rc < 0 ? rc : walk_range(w, middle + 1, to, e);
}

/* The bins say how many rows lie where: neighbours are joined while their rows fit a page. */
static int walk_bins(struct walk *w, const cJSON *entry, int64_t from, int64_t to, struct err *e)
{
    static const char *const names[] = {"step", "step_end", "count"};
    int64_t first = from, last = from, rows = 0;
    struct history_cursor c;
    int rc = 0;

    history_cursor_init(&c, entry, names, 3);
    while (rc == 0 && history_cursor_next(&c)) {
        int64_t step = whole(c.cells[0]), count = whole(c.cells[2]);

        if (rows > 0 && rows + count > PAGE_ROWS && step > first) {
            rc = walk_range(w, first, step - 1, e);
            first = step;
            rows = 0;
        }
        rows += count;
        last = whole(c.cells[1]);
    }
    if (rc < 0)
        return rc;
    last = last < first ? first : last;
    /* The last bin is the whole range again: asking the same would never end. */
    return first == from && last >= to ? halve(w, from, to, e) : walk_range(w, first, last, e);
}

static int walk_range(struct walk *w, int64_t from, int64_t to, struct err *e)
{
    cJSON *entry;
    int rc;

    w->query.from = from;
    w->query.to = to;
    rc = history_get(w->feed, &w->query, &entry, e);
    if (rc < 0 || !entry)
        return rc;
    rc = history_is_binned(entry) ? walk_bins(w, entry, from, to, e) : walk_rows(w, entry, e);
    cJSON_Delete(entry);
    return rc;
}

int history_each(struct feedclient *feed, const struct history_query *q, const char *const names[],
                 size_t n, history_row_fn *on_row, void *context, struct err *e)
{
    struct walk w = {feed, *q, names, n, on_row, context};

    w.query.points = PAGE_ROWS;
    return walk_range(&w, q->from < 0 ? 0 : q->from, q->to < 0 ? STEP_MAX : q->to, e);
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

    *events = NULL;
    if (rc < 0)
        return rc;
    *events = cJSON_DetachItemFromObjectCaseSensitive(answer, "events");
    cJSON_Delete(answer);
    return *events ? 0 : err_set(e, -EPROTO, "the daemon's answer has no events");
}
