#include "proto/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/limits.h"

/* Length of the UTF-8 sequence at `s`, or 0 when it is not one (table 3-7 of the Unicode standard).
 */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t length;

    if (s[0] < 0x80)
        return s[0] != 0;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (length > left)
        return 0;
    if (s[0] == 0xE0)
        low = 0xA0;
    else if (s[0] == 0xED)
        high = 0x9F;
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    }
    return length;
}

bool json_utf8_valid(const char *text, size_t size)
{
    size_t at = 0;

    while (at < size) {
        size_t length = utf8_length((const unsigned char *)text + at, size - at);

        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

/* One pass over the bytes, before cJSON allocates anything: depth, number of values, control
 * characters inside strings. */
static int scan(const char *text, size_t size, size_t max_values, struct err *err)
{
    size_t depth = 0, values = 1;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (in_string) {
            if ((unsigned char)c < 0x20)
                return err_set(err, -EPROTO, "byte %zu: control character in a string", i);
            if (c == '\\' && size - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
                return err_set(err, -EPROTO, "byte %zu: NUL in a string", i);
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        else if (c == ',')
            values++;
        if (depth > JSON_MAX_DEPTH)
            return err_set(err, -EPROTO, "byte %zu: nested deeper than %d", i, JSON_MAX_DEPTH);
        if (values > max_values)
            return err_set(err, -EPROTO, "more than %zu values", max_values);
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_duplicates(const cJSON *object, struct err *err)
{
    size_t n = (size_t)cJSON_GetArraySize(object), i = 0;
    const char **names;
    const cJSON *member;
    int rc = 0;

    if (n < 2)
        return 0;
    names = malloc(n * sizeof *names);
    if (!names)
        return err_set(err, -ENOMEM, "out of memory");
    cJSON_ArrayForEach(member, object)
    {
        names[i++] = member->string;
    }
    qsort(names, n, sizeof *names, compare_names);
    for (i = 1; i < n && rc == 0; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = err_set(err, -EPROTO, "the name \"%.64s\" appears twice", names[i]);
    }
    free(names);
    return rc;
}

/* Recursion is bounded by the depth that scan() has checked. */
static int check_tree(const cJSON *value, struct err *err)
{
    const cJSON *member;
    int rc;

    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        return err_set(err, -EPROTO, "a number is out of range");
    if (cJSON_IsObject(value)) {
        rc = check_duplicates(value, err);
        if (rc < 0)
            return rc;
    }
    cJSON_ArrayForEach(member, value)
    {
        rc = check_tree(member, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

cJSON *json_parse(const char *text, size_t size, struct err *err)
{
    return json_parse_limited(text, size, JSON_MAX_SIZE, JSON_MAX_VALUES, err);
}

cJSON *json_parse_limited(const char *text, size_t size, size_t max_size, size_t max_values,
                          struct err *err)
{
    const char *end = NULL;
    cJSON *value;

    assert(text || size == 0);
    if (size > max_size) {
        err_set(err, -EPROTO, "%zu bytes of JSON, at most %zu are read", size, max_size);
        return NULL;
    }
    if (!json_utf8_valid(text, size)) {
        err_set(err, -EPROTO, "not valid UTF-8");
        return NULL;
    }
    if (scan(text, size, max_values, err) < 0)
        return NULL;
    value = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!value) {
        err_set(err, -EPROTO, "not JSON, at byte %td", end ? end - text : 0);
        return NULL;
    }
    while (end < text + size && is_space(*end))
        end++;
    if (end != text + size) {
        err_set(err, -EPROTO, "text after the JSON value, at byte %td", end - text);
        goto fail;
    }
    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) {
        err_set(err, -EPROTO, "neither an object nor an array");
        goto fail;
    }
    if (check_tree(value, err) < 0)
        goto fail;
    return value;
fail:
    cJSON_Delete(value);
    return NULL;
}

int json_text(const cJSON *object, const char *name, size_t max_bytes, const char **out,
              struct err *err)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    if (!member || cJSON_IsNull(member))
        return 0;
    if (!cJSON_IsString(member))
        return err_set(err, -EPROTO, "\"%s\" must be a string", name);
    if (strlen(member->valuestring) > max_bytes)
        return err_set(err, -EPROTO, "\"%s\" is longer than %zu bytes", name, max_bytes);
    *out = member->valuestring;
    return 1;
}

/* "a", "b", "c", as far as there is room. */
static void list_words(const char *const *words, char *out, size_t size)
{
    size_t used = 0;

    for (int i = 0; words[i] && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s\"%s\"", i > 0 ? ", " : "", words[i]);

        used += n > 0 ? (size_t)n : 0;
    }
}

int json_word(const cJSON *object, const char *name, const char *const *words, int *out,
              struct err *err)
{
    const char *text = NULL;
    char all[160];
    int rc;

    assert(words && words[0]);
    rc = json_text(object, name, TEXT_MAX, &text, err);

    if (rc <= 0)
        return rc;
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return 1;
        }
    }
    list_words(words, all, sizeof all);
    return err_set(err, -EPROTO, "\"%s\" is \"%.64s\", expected one of %s", name, text, all);
}

/* A string of decimal digits, as 64-bit counters are sent. */
static bool parse_digits(const char *text, int64_t *out)
{
    char *end;

    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0;
}

int json_integer(const cJSON *object, const char *name, int64_t min, int64_t max, int64_t *out,
                 struct err *err)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    int64_t value = 0;
    bool exact;

    assert(min <= max);
    if (!member || cJSON_IsNull(member))
        return 0;
    if (cJSON_IsNumber(member)) {
        exact = fabs(member->valuedouble) < JSON_MAX_INTEGER &&
                member->valuedouble == floor(member->valuedouble);
        value = exact ? (int64_t)member->valuedouble : 0;
    } else {
        exact = cJSON_IsString(member) && parse_digits(member->valuestring, &value);
    }
    if (!exact || value < min || value > max)
        return err_set(err, -EPROTO, "\"%s\" must be an integer from %" PRId64 " to %" PRId64, name,
                       min, max);
    *out = value;
    return 1;
}

int json_number(const cJSON *object, const char *name, double *out, struct err *err)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    if (!member)
        return 0;
    if (cJSON_IsNull(member))
        *out = (double)NAN;
    else if (cJSON_IsNumber(member))
        *out = member->valuedouble;
    else
        return err_set(err, -EPROTO, "\"%s\" must be a number", name);
    return 1;
}

cJSON *json_from_double(double value)
{
    char buffer[JSON_DOUBLE_SIZE];

    if (!isfinite(value))
        return cJSON_CreateNull();
    json_double_text(value, buffer);
    return cJSON_CreateRaw(buffer);
}

cJSON *json_from_integer(int64_t value)
{
    char buffer[JSON_DOUBLE_SIZE];

    json_integer_text(value, buffer);
    return cJSON_CreateRaw(buffer);
}

static bool add(cJSON *object, const char *name, cJSON *item)
{
    if (item && cJSON_AddItemToObject(object, name, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool push(cJSON *array, cJSON *item)
{
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

bool json_add_double(cJSON *object, const char *name, double value)
{
    return add(object, name, json_from_double(value));
}

bool json_push_double(cJSON *array, double value)
{
    return push(array, json_from_double(value));
}

bool json_add_integer(cJSON *object, const char *name, int64_t value)
{
    return add(object, name, json_from_integer(value));
}

bool json_push_integer(cJSON *array, int64_t value)
{
    return push(array, json_from_integer(value));
}

bool json_add_counter(cJSON *object, const char *name, uint64_t value)
{
    char buffer[24];

    snprintf(buffer, sizeof buffer, "%" PRIu64, value);
    return cJSON_AddStringToObject(object, name, buffer) != NULL;
}

/* Recursion is bounded by the depth that the parser allows. */
bool json_make_exact(cJSON *value)
{
    char buffer[JSON_DOUBLE_SIZE];
    cJSON *member;

    if (cJSON_IsNumber(value)) {
        json_double_text(value->valuedouble, buffer);
        value->valuestring = cJSON_malloc(strlen(buffer) + 1);
        if (!value->valuestring)
            return false;
        strcpy(value->valuestring, buffer);
        value->type = (value->type & ~0xFF) | cJSON_Raw;
    }
    cJSON_ArrayForEach(member, value)
    {
        if (!json_make_exact(member))
            return false;
    }
    return true;
}

char *json_print(const cJSON *value)
{
    return cJSON_PrintUnformatted(value);
}

cJSON *json_push_object(cJSON *array)
{
    cJSON *object = cJSON_CreateObject();

    if (object)
        cJSON_AddItemToArray(array, object);
    return object;
}
