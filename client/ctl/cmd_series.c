/* richctl series RUN: the history, a line a point. */
#include <errno.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/rows/pointrow.h"
#include "client/ctl/rows/table.h"

/* Columns of a bin before those of its measures, which have three each. */
#define BIN_OWN   3
#define BIN_PARTS (BIN_OWN + 3 * METRIC_COUNT)

_Static_assert(BIN_PARTS <= HISTORY_MAX_COLUMNS, "a bin's columns fit a cursor");
_Static_assert(POINT_PARTS + FEED_NAMES_MAX <= HISTORY_MAX_COLUMNS, "a point's columns fit one");

/* The command while it runs. */
struct series {
    struct feedclient *feed;
    const struct options *options;
    struct history_query query; /* its name is that of the layer that is printed */
    struct pointrow_format format;
    const char *scalars[FEED_NAMES_MAX];
    struct history_column columns[POINT_PARTS + FEED_NAMES_MAX];
    const cJSON *layer;        /* of layer.list: what is the same for all its points */
    const cJSON *const *cells; /* of the row that is printed, by `columns` or those of a bin */
    bool has_heading;
};

/* A copy of the value as a member; null when there is none. */
static bool add_copy(cJSON *object, const char *name, const cJSON *value)
{
    cJSON *copy = value ? cJSON_Duplicate(value, 1) : cJSON_CreateNull();

    if (copy && cJSON_AddItemToObject(object, name, copy))
        return true;
    cJSON_Delete(copy);
    return false;
}

static bool add_place(const struct series *series, cJSON *object)
{
    return cJSON_AddStringToObject(object, "run", series->query.run) &&
           cJSON_AddStringToObject(object, "layer", series->query.name);
}

/* Those that were logged at the point's step. */
static bool add_scalars(const struct series *series, cJSON *object)
{
    cJSON *scalars = cJSON_AddObjectToObject(object, "scalars");
    bool ok = scalars != NULL;

    for (size_t i = 0; ok && i < series->format.n_scalars; i++) {
        const cJSON *value = series->cells[POINT_PARTS + i];

        if (cJSON_IsNumber(value))
            ok = add_copy(scalars, series->scalars[i], value);
    }
    return ok;
}

static bool fill_point(cJSON *object, const void *what)
{
    const struct series *series = what;
    bool ok =
        add_place(series, object) && add_copy(object, "attempt", series->cells[POINT_ATTEMPT]);

    for (int i = 0; i < POINT_MEMBER_COUNT && ok; i++) {
        const char *name = point_table[i].name;
        bool of_layer = point_table[i].place == POINT_PLACE_LAYER;

        ok = add_copy(object, name, of_layer ? member(series->layer, name) : series->cells[i]);
    }
    return ok && add_scalars(series, object);
}

/* With the first answer: what the daemon refuses has no heading. */
static void print_heading(struct series *series)
{
    if (!series->has_heading && !series->options->json && series->options->points < 0)
        pointrow_print_header(&series->format, stdout);
    series->has_heading = true;
}

static int print_point(void *context, const cJSON *const cells[], struct err *err)
{
    struct series *series = context;
    struct pointrow row = {series->query.run, series->query.name, cells};

    series->cells = cells;
    if (series->options->json)
        return jsonline_make(fill_point, series, stdout, err);
    print_heading(series);
    pointrow_print(&series->format, &row, stdout);
    return 0;
}

/* The columns of bins with the measures that are `shown` (NULL: all). Returns their number. */
static size_t bin_columns(const bool *shown, struct history_column columns[BIN_PARTS])
{
    static const struct history_column own[BIN_OWN] = {
        {NULL, "step"}, {NULL, "step_end"}, {NULL, "count"}};
    static const char *const parts[] = {"min", "max", "last"};
    size_t n = BIN_OWN;

    memcpy(columns, own, sizeof own);
    for (int i = 0; i < METRIC_COUNT; i++) {
        for (size_t k = 0; k < 3 && (!shown || shown[i]); k++)
            columns[n++] = (struct history_column){metric_table[i].name, parts[k]};
    }
    return n;
}

static int print_bin_table(const struct series *series, const cJSON *entry, struct err *err)
{
    struct history_column columns[BIN_PARTS];
    size_t n = bin_columns(series->format.shown, columns);
    char align[BIN_PARTS + 1] = "";
    struct history_cursor cursor;
    struct table *table;

    memset(align, 'r', n);
    table = table_new(align);
    for (size_t i = 0; i < n; i++)
        table_addf(table, "%s%s%s", i < BIN_OWN ? "" : columns[i].in, i < BIN_OWN ? "" : ".",
                   columns[i].name);
    history_cursor_init(&cursor, entry, columns, n);
    while (history_cursor_next(&cursor)) {
        for (size_t i = 0; i < n; i++)
            (i < BIN_OWN ? table_add_whole : table_add_number)(table, number_of(cursor.cells[i]));
    }
    printf("layer ");
    text_print(series->query.name, stdout);
    printf("\n");
    return table_finish(table, stdout, err);
}

/* {"step":...,"step_end":...,"count":...,"d_lr":{"min":...,"max":...,"last":...},...} */
static bool fill_bin(cJSON *object, const void *what)
{
    const struct series *series = what;
    struct history_column columns[BIN_PARTS];
    size_t n = bin_columns(NULL, columns);
    cJSON *measure = NULL;
    bool ok = add_place(series, object);

    for (size_t i = 0; i < n && ok; i++) {
        if (i >= BIN_OWN && (i - BIN_OWN) % 3 == 0)
            measure = cJSON_AddObjectToObject(object, columns[i].in);
        ok = add_copy(i < BIN_OWN ? object : measure, columns[i].name, series->cells[i]);
    }
    return ok;
}

static int print_bin(void *context, const cJSON *const cells[], struct err *err)
{
    struct series *series = context;

    series->cells = cells;
    return jsonline_make(fill_bin, series, stdout, err);
}

/* At most so many points, as --points asks: bins when there are more. */
static int print_bounded(struct series *series, size_t n, struct err *err)
{
    struct history_column bins[BIN_PARTS];
    cJSON *entry;
    int rc = history_get(series->feed, &series->query, &entry, err);

    if (rc < 0)
        return rc;
    if (!history_is_binned(entry))
        rc = history_walk(entry, series->columns, n, print_point, series, err);
    else if (series->options->json)
        rc = history_walk(entry, bins, bin_columns(NULL, bins), print_bin, series, err);
    else
        rc = print_bin_table(series, entry, err);
    cJSON_Delete(entry);
    return rc;
}

static int print_layer(struct series *series, const cJSON *layer, struct err *err)
{
    size_t n = POINT_PARTS + series->format.n_scalars;

    series->layer = layer;
    series->query.name = member_text(layer, "layer", "?");
    if (series->options->points >= 0)
        return print_bounded(series, n, err);
    return history_each(series->feed, &series->query, series->columns, n, print_point, series, err);
}

/* Without --metric a table also shows what the latest points have. */
static void choose_measures(struct series *series, const cJSON *layers)
{
    const cJSON *layer;

    pointrow_choose(series->format.shown, series->options->metric);
    cJSON_ArrayForEach(layer, layers)
    {
        if (!series->options->metric)
            pointrow_mark_measured(member(layer, "last"), series->format.shown);
    }
}

static void choose_columns(struct series *series, const cJSON *run)
{
    size_t *n = &series->format.n_scalars;
    const cJSON *name;

    for (int i = 0; i < POINT_MEMBER_COUNT; i++)
        series->columns[i].name = point_table[i].name;
    series->columns[POINT_ATTEMPT].name = "attempt";
    cJSON_ArrayForEach(name, member(run, "scalars"))
    {
        if (!cJSON_IsString(name) || *n == FEED_NAMES_MAX)
            continue;
        series->columns[POINT_PARTS + *n] = (struct history_column){"scalars", name->valuestring};
        series->scalars[(*n)++] = name->valuestring;
    }
    series->format.scalars = series->scalars;
    series->query.scalars = *n > 0;
}

static int print_layers(struct series *series, const cJSON *layers, struct err *err)
{
    const cJSON *layer;
    cJSON *run;
    int rc = feedclient_call(series->feed, "run.get",
                             params_of(param_text("run", series->query.run)), &run, err);

    if (rc < 0)
        return rc;
    series->format.layer = cJSON_GetArraySize(layers) > 1;
    choose_measures(series, layers);
    choose_columns(series, run);
    cJSON_ArrayForEach(layer, layers)
    {
        if (rc == 0)
            rc = print_layer(series, layer, err);
    }
    if (rc == 0)
        print_heading(series);
    cJSON_Delete(run);
    return rc;
}

int cmd_series(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct series series = {.feed = feed, .options = options};
    cJSON *answer;
    int rc;

    if (options->metric && metric_find(options->metric) < 0)
        return err_set(err, -EINVAL, "no metric \"%s\"", options->metric);
    rc = history_layers(feed, options->words[1], options->layer, &answer, err);
    if (rc < 0)
        return rc;
    /* From here on the id, so that a newer run of the same name does not slip in. */
    series.query = (struct history_query){
        .kind = HISTORY_LAYER,
        .run = member_text(answer, "run", options->words[1]),
        .attempts = options->attempts,
        .from = options->from,
        .to = options->to,
        .points = options->points,
    };
    series.format.attempt = options->attempts && strcmp(options->attempts, "all") == 0;
    rc = print_layers(&series, member(answer, "layers"), err);
    cJSON_Delete(answer);
    return rc;
}
