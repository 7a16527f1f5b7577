#include "daemon/io/model_json.h"

#include <stdbool.h>

#include "proto/json.h"

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

cJSON *flags_to_json(uint32_t flags)
{
    cJSON *array = cJSON_CreateArray();

    for (int i = 0; array && i < FLAG_COUNT; i++) {
        cJSON *name;

        if (!(flags & (1u << i)))
            continue;
        name = cJSON_CreateString(flag_name(i));
        if (!name) {
            cJSON_Delete(array);
            return NULL;
        }
        cJSON_AddItemToArray(array, name);
    }
    return array;
}

static bool add_flags(cJSON *object, uint32_t flags)
{
    cJSON *array = flags_to_json(flags);

    if (array && cJSON_AddItemToObject(object, "flags", array))
        return true;
    cJSON_Delete(array);
    return false;
}

static bool add_metrics(cJSON *object, const double *values)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (!json_add_double(object, metric_table[i].name, values[i]))
            return false;
    }
    return true;
}

cJSON *point_to_json(const char *run, const char *layer, uint32_t attempt,
                     const struct point *point)
{
    cJSON *o = cJSON_CreateObject();

    if (o && add_text(o, "run", run) && add_text(o, "layer", layer) &&
        json_add_integer(o, "attempt", attempt) && json_add_integer(o, "step", point->step) &&
        json_add_double(o, "time", point->time) && json_add_double(o, "n", point->n) &&
        json_add_integer(o, "rows_missing", (int64_t)point->rows_missing) &&
        json_add_integer(o, "p", point->p) && json_add_integer(o, "c", point->c) &&
        json_add_integer(o, "rank", point->rank) && add_metrics(o, point->value) &&
        add_flags(o, point->flags))
        return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *scalar_to_json(const char *run, uint32_t attempt, int64_t step, double time,
                      const struct scalar *scalar)
{
    cJSON *o = cJSON_CreateObject();

    if (o && add_text(o, "run", run) && add_text(o, "name", scalar->name) &&
        json_add_integer(o, "attempt", attempt) && json_add_integer(o, "step", step) &&
        json_add_double(o, "time", time) && json_add_double(o, "value", scalar->value))
        return o;
    cJSON_Delete(o);
    return NULL;
}
