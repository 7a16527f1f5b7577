#include "proto/base/point.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const struct point_field point_table[POINT_MEMBER_COUNT] = {
#define FIELD(name, KIND, PLACE, sentence)                                                         \
    {#name, POINT_KIND_##KIND, POINT_PLACE_##PLACE, -1, offsetof(struct point, name), sentence},
#define MEASURE(ENUM, name, unit, needs, sentence, read_as)                                        \
    {#name,                                                                                        \
     POINT_KIND_NUMBER,                                                                            \
     POINT_PLACE_ROW,                                                                              \
     METRIC_##ENUM,                                                                                \
     offsetof(struct point, value) + METRIC_##ENUM * sizeof(double),                               \
     sentence},
    POINT_FIELDS(FIELD, MEASURE)
#undef FIELD
#undef MEASURE
};

int64_t point_integer(const struct point *point, const struct point_field *field)
{
    const char *at = (const char *)point + field->offset;

    assert(field->kind != POINT_KIND_NUMBER);
    switch (field->kind) {
    case POINT_KIND_COUNT:
        return (int64_t) * (const POINT_TYPE_COUNT *)at;
    case POINT_KIND_SIZE:
        return *(const POINT_TYPE_SIZE *)at;
    case POINT_KIND_FLAGS:
        return *(const POINT_TYPE_FLAGS *)at;
    default:
        return *(const POINT_TYPE_STEP *)at;
    }
}

double point_number(const struct point *point, const struct point_field *field)
{
    double value;

    assert(field->kind == POINT_KIND_NUMBER);
    memcpy(&value, (const char *)point + field->offset, sizeof value);
    return value;
}

void point_set_integer(struct point *point, const struct point_field *field, int64_t value)
{
    char *at = (char *)point + field->offset;

    assert(field->kind != POINT_KIND_NUMBER);
    switch (field->kind) {
    case POINT_KIND_COUNT:
        *(POINT_TYPE_COUNT *)at = (POINT_TYPE_COUNT)value;
        break;
    case POINT_KIND_SIZE:
        *(POINT_TYPE_SIZE *)at = (POINT_TYPE_SIZE)value;
        break;
    case POINT_KIND_FLAGS:
        *(POINT_TYPE_FLAGS *)at = (POINT_TYPE_FLAGS)value;
        break;
    default:
        *(POINT_TYPE_STEP *)at = value;
    }
}

void point_set_number(struct point *point, const struct point_field *field, double value)
{
    assert(field->kind == POINT_KIND_NUMBER);
    memcpy((char *)point + field->offset, &value, sizeof value);
}
