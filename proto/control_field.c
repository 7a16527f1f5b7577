#include "proto/control_field.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static int missing(const struct field *field, int rc, struct err *err)
{
    if (rc != 0 || !field->required)
        return rc < 0 ? rc : 0;
    return err_set(err, -EPROTO, "\"%s\" is missing", field->name);
}

static int read_text(const cJSON *object, const struct field *field, const char **out,
                     struct err *err)
{
    int rc;

    *out = NULL;
    rc = json_text(object, field->name, (size_t)field->max, out, err);
    if (rc == 1 && (int64_t)strlen(*out) < field->min)
        return err_set(err, -EPROTO, "\"%s\" is empty", field->name);
    return rc;
}

static int read_choice(const cJSON *object, const struct field *field, void *out, struct err *err)
{
    int choice = 0, rc = json_word(object, field->name, field->choices, &choice, err);

    memcpy(out, &choice, sizeof choice);
    return rc;
}

static int read_number(const cJSON *object, const struct field *field, double *out, struct err *err)
{
    int rc;

    *out = (double)NAN;
    rc = json_number(object, field->name, out, err);
    if (rc == 1 && field->max > 0 && (*out < (double)field->min || *out > (double)field->max))
        return err_set(err, -EPROTO, "\"%s\" must be a number from %" PRId64 " to %" PRId64,
                       field->name, field->min, field->max);
    return rc;
}

static int read_bool(const cJSON *object, const struct field *field, bool *out, struct err *err)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, field->name);

    *out = cJSON_IsTrue(member);
    if (member && !cJSON_IsBool(member) && !cJSON_IsNull(member))
        return err_set(err, -EPROTO, "\"%s\" must be true or false", field->name);
    return member != NULL;
}

static int read_field(const cJSON *object, const struct field *field, void *body, struct err *err)
{
    void *out = (char *)body + field->offset;

    switch (field->kind) {
    case FIELD_TEXT:
        return read_text(object, field, out, err);
    case FIELD_INTEGER:
        *(int64_t *)out = field->absent;
        return json_integer(object, field->name, field->min, field->max, out, err);
    case FIELD_NUMBER:
        return read_number(object, field, out, err);
    case FIELD_BOOL:
        return read_bool(object, field, out, err);
    case FIELD_CHOICE:
        return read_choice(object, field, out, err);
    }
    return 0;
}

int field_read_all(const cJSON *object, const struct field *fields, void *body, struct err *err)
{
    int rc = 0;

    for (const struct field *field = fields; field->name && rc == 0; field++)
        rc = missing(field, read_field(object, field, body, err), err);
    return rc;
}

static bool write_integer(cJSON *object, const struct field *field, int64_t value)
{
    if (value != field->absent || field->required)
        return json_add_integer(object, field->name, value);
    return !field->says_null || cJSON_AddNullToObject(object, field->name);
}

static bool write_field(cJSON *object, const struct field *field, const void *body)
{
    const void *in = (const char *)body + field->offset;
    const char *text;
    int choice;

    switch (field->kind) {
    case FIELD_TEXT:
        text = *(const char *const *)in;
        assert(text || !field->required);
        return !text || cJSON_AddStringToObject(object, field->name, text);
    case FIELD_INTEGER:
        return write_integer(object, field, *(const int64_t *)in);
    case FIELD_NUMBER:
        return isnan(*(const double *)in) ||
               json_add_double(object, field->name, *(const double *)in);
    case FIELD_BOOL:
        return (field->says_nothing && !*(const bool *)in) ||
               cJSON_AddBoolToObject(object, field->name, *(const bool *)in) != NULL;
    case FIELD_CHOICE:
        memcpy(&choice, in, sizeof choice);
        assert(choice >= 0);
        return cJSON_AddStringToObject(object, field->name, field->choices[choice]) != NULL;
    }
    return false;
}

bool field_write_all(cJSON *object, const struct field *fields, const void *body)
{
    for (const struct field *field = fields; field->name; field++) {
        if (!write_field(object, field, body))
            return false;
    }
    return true;
}
