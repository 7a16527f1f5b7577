#include "client/ctl/export/reader.h"

#include <errno.h>

#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"

struct reading {
    struct feedclient *feed;
    const struct export_query *query;
    const struct export_format *format;
    void *writer;
    const cJSON *layer; /* of layer.list */
};

static int give(struct reading *reading, const cJSON *const cells[], struct err *err)
{
    int rc = reading->format->row(reading->writer, cells, err);

    if (rc == 0 && !reading->query->on_row(reading->query->context))
        rc = err_set(err, -EINTR, "interrupted");
    return rc;
}

static int give_scalar(void *context, const cJSON *const cells[], struct err *err)
{
    return give(context, cells, err);
}

/* What is the same for all points of a layer, the page does not repeat. */
static int give_point(void *context, const cJSON *const cells[], struct err *err)
{
    struct reading *reading = context;
    const cJSON *whole[EXPORT_LAYER_CELLS];

    for (size_t i = 0; i < EXPORT_LAYER_CELLS; i++) {
        bool of_layer =
            i >= EXPORT_POINT && point_table[i - EXPORT_POINT].place == POINT_PLACE_LAYER;

        whole[i] = of_layer ? member(reading->layer, export_layer_cell(i)) : cells[i];
    }
    return give(reading, whole, err);
}

static int read_table(struct reading *reading, const struct export_table *table, const char *run,
                      struct err *err)
{
    bool is_layer = table->kind == HISTORY_LAYER;
    size_t n = is_layer ? EXPORT_LAYER_CELLS : EXPORT_SCALAR_CELLS;
    struct history_column columns[EXPORT_LAYER_CELLS] = {0};
    struct history_query query = {.kind = table->kind,
                                  .run = run,
                                  .name = table->name,
                                  .attempts = reading->query->attempts,
                                  .from = -1,
                                  .to = -1,
                                  .points = -1};
    int rc = reading->format->begin_table(reading->writer, table, err);

    for (size_t i = 0; i < n; i++)
        columns[i].name = is_layer ? export_layer_cell(i) : export_scalar_cells[i];
    if (rc == 0)
        rc = history_each(reading->feed, &query, columns, n, is_layer ? give_point : give_scalar,
                          reading, err);
    return rc == 0 ? reading->format->end_table(reading->writer, err) : rc;
}

static int read_layers(struct reading *reading, const char *run, const cJSON *layers,
                       struct err *err)
{
    int rc = 0;

    cJSON_ArrayForEach(reading->layer, layers)
    {
        struct export_table table = {HISTORY_LAYER, member_text(reading->layer, "layer", "")};

        rc = read_table(reading, &table, run, err);
        if (rc < 0)
            break;
    }
    return rc;
}

static int read_scalars(struct reading *reading, const char *run, const cJSON *names,
                        struct err *err)
{
    const cJSON *name;
    int rc = 0;

    cJSON_ArrayForEach(name, names)
    {
        struct export_table table = {HISTORY_SCALAR, name->valuestring};

        rc = cJSON_IsString(name) ? read_table(reading, &table, run, err) : 0;
        if (rc < 0)
            break;
    }
    return rc;
}

int export_read(struct feedclient *feed, const cJSON *object, const struct export_query *query,
                const struct export_format *format, void *writer, struct err *err)
{
    struct reading reading = {feed, query, format, writer, NULL};
    struct export_run run = {.id = member_text(object, "run", ""), .object = object};
    cJSON *layers = NULL, *events = NULL;
    int rc = history_layers(feed, run.id, query->layer, &layers, err);

    if (rc == 0)
        rc = history_events(feed, run.id, query->layer, -1, -1, &events, err);
    if (rc == 0) {
        run.events = member(events, "events");
        rc = format->begin_run(writer, &run, err);
    }
    if (rc == 0)
        rc = read_layers(&reading, run.id, member(layers, "layers"), err);
    if (rc == 0 && !query->layer)
        rc = read_scalars(&reading, run.id, member(object, "scalars"), err);
    if (rc == 0)
        rc = format->end_run(writer, err);
    cJSON_Delete(events);
    cJSON_Delete(layers);
    return rc;
}
