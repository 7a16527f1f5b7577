#include "client/c/points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

struct entry {
    struct richd_point point; /* first: a point's pointer is its entry's */
    const cJSON *object;
    const char **flags;
};

struct richd_points {
    cJSON *array; /* the texts and numbers below borrow from it */
    size_t n;
    struct entry entries[];
};

static double number(const cJSON *object, const char *name)
{
    double value = (double)NAN;

    json_number(object, name, &value, NULL);
    return value;
}

static int64_t integer(const cJSON *object, const char *name)
{
    int64_t value = 0;

    json_integer(object, name, 0, INT64_MAX, &value, NULL);
    return value;
}

static bool read_flags(struct entry *entry)
{
    const cJSON *flags = cJSON_GetObjectItemCaseSensitive(entry->object, "flags");
    const cJSON *flag;
    size_t n = 0;

    entry->flags = calloc((size_t)cJSON_GetArraySize(flags) + 1, sizeof *entry->flags);
    if (!entry->flags)
        return false;
    cJSON_ArrayForEach(flag, flags)
    {
        if (cJSON_IsString(flag))
            entry->flags[n++] = flag->valuestring;
    }
    entry->point.flags = entry->flags;
    return true;
}

static bool read_entry(struct entry *entry, const cJSON *object, const char *layer)
{
    entry->object = object;
    entry->point = (struct richd_point){
        .layer = layer,
        .step = integer(object, "step"),
        .time = number(object, "time"),
        .n = number(object, "n"),
        .rows_missing = (uint64_t)integer(object, "rows_missing"),
        .rows_from = integer(object, "rows_from"),
        .rows_to = integer(object, "rows_to"),
        .p = (uint32_t)integer(object, "p"),
        .c = (uint32_t)integer(object, "c"),
        .rank = (uint32_t)integer(object, "rank"),
        .d_lr = number(object, "d_lr"),
        .d_debiased = number(object, "d_debiased"),
        .u = number(object, "u"),
        .pr = number(object, "pr"),
    };
    return read_flags(entry);
}

struct richd_points *points_new(const cJSON *array)
{
    size_t n = (size_t)cJSON_GetArraySize(array);
    struct richd_points *points = calloc(1, sizeof *points + n * sizeof *points->entries);
    const cJSON *object;

    if (!points)
        return NULL;
    points->array = array ? cJSON_Duplicate(array, true) : cJSON_CreateArray();
    if (!points->array)
        goto fail;
    cJSON_ArrayForEach(object, points->array)
    {
        const char *layer = NULL;

        if (json_text(object, "layer", JSON_MAX_SIZE, &layer, NULL) != 1)
            continue;
        if (!read_entry(&points->entries[points->n], object, layer))
            goto fail;
        points->n++;
    }
    return points;
fail:
    richd_points_free(points);
    return NULL;
}

size_t richd_points_count(const struct richd_points *points)
{
    return points ? points->n : 0;
}

const struct richd_point *richd_points_at(const struct richd_points *points, size_t i)
{
    return points && i < points->n ? &points->entries[i].point : NULL;
}

const struct richd_point *richd_points_find(const struct richd_points *points, const char *layer)
{
    for (size_t i = 0; i < richd_points_count(points); i++) {
        if (layer && strcmp(points->entries[i].point.layer, layer) == 0)
            return &points->entries[i].point;
    }
    return NULL;
}

double richd_point_metric(const struct richd_point *point, const char *name)
{
    const struct entry *entry = (const struct entry *)point;

    return entry && name ? number(entry->object, name) : (double)NAN;
}

int richd_point_flag(const struct richd_point *point, const char *name)
{
    for (const char *const *flag = point && name ? point->flags : NULL; flag && *flag; flag++) {
        if (strcmp(*flag, name) == 0)
            return 1;
    }
    return 0;
}

void richd_points_free(struct richd_points *points)
{
    if (!points)
        return;
    for (size_t i = 0; i < points->n; i++)
        free(points->entries[i].flags);
    cJSON_Delete(points->array);
    free(points);
}
