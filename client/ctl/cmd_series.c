/* richctl series RUN: the history, a line a point. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/feed/scalars.h"
#include "client/ctl/rows/table.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "proto/json.h"

/* Columns of a bin: 3, and 3 for each measure. */
#define BIN_PARTS     (3 + 3 * METRIC_COUNT)
#define BIN_NAME_SIZE 40

_Static_assert(BIN_PARTS <= HISTORY_MAX_COLUMNS, "a bin's columns fit a cursor");

/* The command while it runs. */
struct series {
    struct feedclient *feed;
    const struct options *options;
    struct history_query query;
    struct scalarindex *scalars;
    double *values; /* of the scalars at the point being printed */
    bool *present;
    struct pointrow_format format;
    const char *run;
    const char *layer;
    const cJSON *entry;        /* of the layer: what is the same for all its points */
    const cJSON *const *cells; /* of the row that is printed */
};

static int out_of_memory(struct err *e)
{
    return err_set(e, -ENOMEM, "out of memory");
}

static int64_t whole(const cJSON *cell)
{
    return cJSON_IsNumber(cell) ? (int64_t)cell->valuedouble : 0;
}

/* A copy of the value as a member; null when there is none. */
static bool add_copy(cJSON *object, const char *name, const cJSON *value)
{
    cJSON *copy = value ? cJSON_Duplicate(value, 1) : cJSON_CreateNull();

    if (copy && cJSON_AddItemToObject(object, name, copy))
        return true;
    cJSON_Delete(copy);
    return false;
}

static bool add_scalars(const struct series *s, cJSON *object)
{
    cJSON *scalars = cJSON_AddObjectToObject(object, "scalars");
    bool ok = scalars != NULL;

    for (size_t i = 0; ok && i < s->format.n_scalars; i++) {
        if (s->present[i])
            ok = json_add_double(scalars, s->format.scalars[i], s->values[i]);
    }
    return ok;
}

/* The members of a point, in the order that the manual gives. */
static bool fill_point(cJSON *object, const void *what)
{
    const struct series *s = what;
    const cJSON *const *cells = s->cells;
    bool ok = cJSON_AddStringToObject(object, "run", s->run) &&
              cJSON_AddStringToObject(object, "layer", s->layer) &&
              add_copy(object, "attempt", cells[POINT_ATTEMPT]);

    for (int i = 0; i < POINT_MEMBER_COUNT && ok; i++) {
        const char *name = point_table[i].name;

        ok = add_copy(object, name,
                      point_table[i].place == POINT_PLACE_LAYER
                          ? cJSON_GetObjectItemCaseSensitive(s->entry, name)
                          : cells[i]);
    }
    return ok && add_scalars(s, object);
}

static int on_point(void *context, const cJSON *const cells[], struct err *e)
{
    struct series *s = context;
    struct pointrow row = {s->run, s->layer, cells, s->values};

    s->cells = cells;
    scalarindex_find(s->scalars, whole(cells[POINT_step]), whole(cells[POINT_ATTEMPT]), s->values,
                     s->present);
    if (s->options->json)
        return jsonline_make(fill_point, s, stdout, e);
    pointrow_print(&s->format, &row, stdout);
    return 0;
}

/* The names of a bin's columns, as a cursor takes them: of one measure, of those shown, or (NULL,
 * NULL) of all. Returns their number. */
static size_t bin_names(const char *metric, const bool *shown, char text[][BIN_NAME_SIZE],
                        const char *names[])
{
    static const char *const parts[] = {"min", "max", "last"};
    size_t n = 3;

    names[0] = "step";
    names[1] = "step_end";
    names[2] = "count";
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (metric ? strcmp(metric, metric_table[i].name) != 0 : shown && !shown[i])
            continue;
        for (size_t k = 0; k < 3; k++, n++) {
            snprintf(text[n], BIN_NAME_SIZE, "%s.%s", metric_table[i].name, parts[k]);
            names[n] = text[n];
        }
    }
    return n;
}

static int print_bin_table(const struct series *s, const cJSON *entry, struct err *e)
{
    char text[BIN_PARTS][BIN_NAME_SIZE], align[BIN_PARTS + 1];
    const char *names[BIN_PARTS];
    size_t n = bin_names(s->options->metric, s->format.shown, text, names);
    struct history_cursor cursor;
    struct table *t;

    memset(align, 'r', n);
    align[n] = '\0';
    t = table_new(align);
    table_add_each(t, names, n);
    history_cursor_init(&cursor, entry, names, n);
    while (history_cursor_next(&cursor)) {
        for (size_t i = 0; i < n; i++)
            (i < 3 ? table_add_whole : table_add_number)(t, number_of(cursor.cells[i]));
    }
    printf("layer ");
    text_print(s->layer, stdout);
    printf("\n");
    return table_finish(t, stdout, e);
}

/* {"step":...,"step_end":...,"count":...,"d_lr":{"min":...,"max":...,"last":...},...} */
static bool fill_bin(cJSON *object, const void *what)
{
    const struct series *s = what;
    const cJSON *const *cells = s->cells;
    static const char *const whole_names[] = {"step", "step_end", "count"};
    bool ok = cJSON_AddStringToObject(object, "run", s->run) &&
              cJSON_AddStringToObject(object, "layer", s->layer);

    for (size_t i = 0; i < 3 && ok; i++)
        ok = add_copy(object, whole_names[i], cells[i]);
    for (int i = 0; i < METRIC_COUNT && ok; i++) {
        cJSON *bin = cJSON_AddObjectToObject(object, metric_table[i].name);

        ok = bin && add_copy(bin, "min", cells[3 + 3 * i]) &&
             add_copy(bin, "max", cells[4 + 3 * i]) && add_copy(bin, "last", cells[5 + 3 * i]);
    }
    return ok;
}

static int print_bin_json(struct series *s, const cJSON *entry, struct err *e)
{
    char text[BIN_PARTS][BIN_NAME_SIZE];
    const char *names[BIN_PARTS];
    struct history_cursor cursor;
    int rc = 0;

    history_cursor_init(&cursor, entry, names, bin_names(NULL, NULL, text, names));
    while (rc == 0 && history_cursor_next(&cursor)) {
        s->cells = cursor.cells;
        rc = jsonline_make(fill_bin, s, stdout, e);
    }
    return rc;
}

/* At most so many points, as --points asks: bins when there are more. */
static int print_bounded(struct series *s, const char *const names[], struct err *e)
{
    struct history_cursor cursor;
    cJSON *entry;
    int rc = history_get(s->feed, &s->query, &entry, e);

    if (rc < 0 || !entry)
        return rc;
    if (history_is_binned(entry)) {
        rc = s->options->json ? print_bin_json(s, entry, e) : print_bin_table(s, entry, e);
    } else {
        history_cursor_init(&cursor, entry, names, POINT_PARTS);
        while (rc == 0 && history_cursor_next(&cursor))
            rc = on_point(s, cursor.cells, e);
    }
    cJSON_Delete(entry);
    return rc;
}

static int print_layer(struct series *s, const cJSON *layer, struct err *e)
{
    const char *names[POINT_PARTS];

    s->layer = member_text(layer, "layer", "?");
    s->entry = layer;
    s->query.name = s->layer;
    pointrow_names(names);
    if (s->options->points >= 0)
        return print_bounded(s, names, e);
    return history_each(s->feed, &s->query, names, POINT_PARTS, on_point, s, e);
}

/* With --json all measures are printed, whatever --metric says; the daemon still gets to say that
 * it knows no such measure. */
static int check_metric(struct series *s, const cJSON *layers, struct err *e)
{
    struct history_query query = s->query;
    cJSON *entry = NULL;
    int rc;

    if (!s->options->metric || !layers || !layers->child)
        return 0;
    query.name = member_text(layers->child, "layer", "?");
    query.metric = s->options->metric;
    query.points = 4;
    rc = history_get(s->feed, &query, &entry, e);
    cJSON_Delete(entry);
    return rc;
}

/* The columns of a table are the measures of the latest points, and those that all points have. */
static int prepare(struct series *s, const cJSON *layers, struct err *e)
{
    const cJSON *layer;
    int rc = check_metric(s, layers, e);

    if (rc == 0)
        rc = scalarindex_load(s->feed, &s->query, &s->scalars, e);
    if (rc < 0)
        return rc;
    s->format = (struct pointrow_format){
        .layer = cJSON_GetArraySize(layers) > 1,
        .attempt = s->options->attempts && strcmp(s->options->attempts, "all") == 0,
        .metric = s->options->metric,
    };
    for (int i = METRIC_D_LR; i <= METRIC_PR; i++)
        s->format.shown[i] = true;
    cJSON_ArrayForEach(layer, layers)
    {
        pointrow_mark_measured(member(layer, "last"), s->format.shown);
    }
    s->format.scalars = scalarindex_names(s->scalars, &s->format.n_scalars);
    s->values = calloc(s->format.n_scalars + 1, sizeof *s->values);
    s->present = calloc(s->format.n_scalars + 1, sizeof *s->present);
    return s->values && s->present ? 0 : out_of_memory(e);
}

static int print_layers(struct series *s, const cJSON *layers, struct err *e)
{
    const cJSON *layer;
    int rc = prepare(s, layers, e);

    if (rc == 0 && !s->options->json && s->options->points < 0)
        pointrow_print_header(&s->format, stdout);
    cJSON_ArrayForEach(layer, layers)
    {
        if (rc == 0)
            rc = print_layer(s, layer, e);
    }
    scalarindex_free(s->scalars);
    free(s->values);
    free(s->present);
    return rc;
}

int cmd_series(struct feedclient *feed, const struct options *o, struct err *e)
{
    struct series s = {.feed = feed, .options = o, .run = o->words[1]};
    cJSON *answer;
    int rc = history_layers(feed, s.run, o->layer, &answer, e);

    if (rc < 0)
        return rc;
    /* From here on the id, so that a newer run of the same name does not slip in. */
    s.run = member_text(answer, "run", s.run);
    s.query = (struct history_query){
        .kind = HISTORY_LAYER,
        .run = s.run,
        .attempts = o->attempts,
        .from = o->from,
        .to = o->to,
        .points = o->points,
    };
    rc = print_layers(&s, member(answer, "layers"), e);
    cJSON_Delete(answer);
    return rc;
}
