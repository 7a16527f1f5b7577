#include "proto/control_field.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

static int missing(const struct field *f, int rc, struct err *e)
{
    if (rc != 0 || !f->required)
        return rc < 0 ? rc : 0;
    return err_set(e, -EPROTO, "\"%s\" is missing", f->name);
}

static int read_text(const cJSON *object, const struct field *f, const char **out, struct err *e)
{
    int rc;

    *out = NULL;
    rc = json_text(object, f->name, (size_t)f->max, out, e);
    if (rc == 1 && (int64_t)strlen(*out) < f->min)
        return err_set(e, -EPROTO, "\"%s\" is empty", f->name);
    return rc;
}

static int read_choice(const cJSON *object, const struct field *f, void *out, struct err *e)
{
    int choice = 0, rc = json_word(object, f->name, f->choices, &choice, e);

    memcpy(out, &choice, sizeof choice);
    return rc;
}

static int read_bool(const cJSON *object, const struct field *f, bool *out, struct err *e)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, f->name);

    *out = cJSON_IsTrue(member);
    if (member && !cJSON_IsBool(member) && !cJSON_IsNull(member))
        return err_set(e, -EPROTO, "\"%s\" must be true or false", f->name);
    return member != NULL;
}

static int read_field(const cJSON *object, const struct field *f, void *body, struct err *e)
{
    void *out = (char *)body + f->offset;

    switch (f->kind) {
    case FIELD_TEXT:
        return read_text(object, f, out, e);
    case FIELD_INTEGER:
        *(int64_t *)out = f->absent;
        return json_integer(object, f->name, f->min, f->max, out, e);
    case FIELD_NUMBER:
        *(double *)out = (double)NAN;
        return json_number(object, f->name, out, e);
    case FIELD_BOOL:
        return read_bool(object, f, out, e);
    case FIELD_CHOICE:
        return read_choice(object, f, out, e);
    }
    return 0;
}

int field_read_all(const cJSON *object, const struct field *fields, void *body, struct err *e)
{
    int rc = 0;

    for (const struct field *f = fields; f->name && rc == 0; f++)
        rc = missing(f, read_field(object, f, body, e), e);
    return rc;
}

static bool write_integer(cJSON *object, const struct field *f, int64_t value)
{
    if (value != f->absent || f->required)
        return json_add_integer(object, f->name, value);
    return !f->says_null || cJSON_AddNullToObject(object, f->name);
}

static bool write_field(cJSON *object, const struct field *f, const void *body)
{
    const void *in = (const char *)body + f->offset;
    const char *text;
    int choice;

    switch (f->kind) {
    case FIELD_TEXT:
        text = *(const char *const *)in;
        assert(text || !f->required);
        return !text || cJSON_AddStringToObject(object, f->name, text);
    case FIELD_INTEGER:
        return write_integer(object, f, *(const int64_t *)in);
    case FIELD_NUMBER:
        return isnan(*(const double *)in) || json_add_double(object, f->name, *(const double *)in);
    case FIELD_BOOL:
        return (f->says_nothing && !*(const bool *)in) ||
               cJSON_AddBoolToObject(object, f->name, *(const bool *)in) != NULL;
    case FIELD_CHOICE:
        memcpy(&choice, in, sizeof choice);
        assert(choice >= 0);
        return cJSON_AddStringToObject(object, f->name, f->choices[choice]) != NULL;
    }
    return false;
}

bool field_write_all(cJSON *object, const struct field *fields, const void *body)
{
    for (const struct field *f = fields; f->name; f++) {
        if (!write_field(object, f, body))
            return false;
    }
    return true;
}
