#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/history/representation_parts.h"
#include "daemon/store/sql.h"
#include "proto/json.h"

/* representation.list: of which checkpoints there is one. */

static bool is_named(const cJSON *names, const char *name)
{
    const cJSON *wanted;

    cJSON_ArrayForEach(wanted, names)
    {
        if (strcmp(wanted->valuestring, name) == 0)
            return true;
    }
    return !names;
}

static int add_kept(struct map_side *side, sqlite3_stmt *statement, struct err *err)
{
    struct kept *kept;

    if (side->n == side->capacity) {
        size_t capacity = side->capacity ? 2 * side->capacity : 64;
        struct kept *grown = realloc(side->kept, capacity * sizeof *grown);

        if (!grown)
            return history_no_memory(err);
        side->kept = grown;
        side->capacity = capacity;
    }
    kept = &side->kept[side->n++];
    kept->layer_key = sqlite3_column_int64(statement, 0);
    snprintf(kept->layer, sizeof kept->layer, "%s", sql_column_text(statement, 1));
    kept->attempt = sqlite3_column_int64(statement, 2);
    kept->step = sqlite3_column_int64(statement, 3);
    kept->n_rows = sqlite3_column_int64(statement, 4);
    return sql_row_check(statement, err);
}

int representation_find(struct history *history, const char *run, const cJSON *layers, int64_t from,
                        int64_t to, struct map_side *side, struct err *err)
{
    sqlite3_stmt *statement = history->statement[SQL_REPRESENTATIONS];
    int rc = history_resolve(history, run, &side->run_key, side->run, err);

    if (rc < 0)
        return rc;
    SQL_BIND(statement, side->run_key, from, to);
    while ((rc = sql_step(statement, err)) == 1) {
        if (!is_named(layers, sql_column_text(statement, 1)))
            continue;
        rc = add_kept(side, statement, err);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc;
}

bool representation_is_last(const struct map_side *side, size_t i)
{
    return i + 1 == side->n || side->kept[i + 1].layer_key != side->kept[i].layer_key;
}

/* The columns of one layer, whose entries are first..end-1. */
static bool add_layer(cJSON *layers, const struct map_side *side, size_t first, size_t end)
{
    cJSON *layer = json_push_object(layers), *columns, *attempts, *steps;

    if (!layer || !cJSON_AddStringToObject(layer, "layer", side->kept[first].layer) ||
        !json_add_integer(layer, "probe_rows", side->kept[first].n_rows))
        return false;
    columns = cJSON_AddObjectToObject(layer, "columns");
    attempts = columns ? cJSON_AddArrayToObject(columns, "attempt") : NULL;
    steps = columns ? cJSON_AddArrayToObject(columns, "step") : NULL;
    for (size_t i = first; steps && attempts && i < end; i++) {
        if (!json_push_integer(attempts, side->kept[i].attempt) ||
            !json_push_integer(steps, side->kept[i].step))
            return false;
    }
    return steps && attempts;
}

static int list(struct history *history, const struct feed_run *params, cJSON **out,
                struct err *err)
{
    struct map_side side = {0};
    int rc = representation_find(history, params->run, NULL, 0, INT64_MAX, &side, err);
    cJSON *layers = NULL;
    size_t first = 0;

    *out = rc == 0 ? cJSON_CreateObject() : NULL;
    if (*out && cJSON_AddStringToObject(*out, "run", side.run))
        layers = cJSON_AddArrayToObject(*out, "layers");
    if (rc == 0 && !layers)
        rc = history_no_memory(err);
    for (size_t i = 0; rc == 0 && i < side.n; i++) {
        if (!representation_is_last(&side, i))
            continue;
        rc = add_layer(layers, &side, first, i + 1) ? 0 : history_no_memory(err);
        first = i + 1;
    }
    free(side.kept);
    return rc;
}

int history_representation_list(struct history *history, const struct feed_run *params, cJSON **out,
                                struct err *err)
{
    int rc = history_begin(history, out, err);

    if (rc == 0)
        rc = list(history, params, out, err);
    return history_end(history, rc, out);
}
