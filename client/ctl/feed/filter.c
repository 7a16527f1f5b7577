#include "client/ctl/feed/filter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/feed/params.h"
#include "proto/json.h"

bool filter_is_given(const struct options *options)
{
    return options->project || options->group || options->state || options->search ||
           options->tags.n > 0 || options->config.n > 0;
}

/* ---- KEY=VALUE ------------------------------------------------------------------------------- */

/* A decimal number of `length` bytes, or NaN. */
static double number_in(const char *text, size_t length)
{
    char copy[64], *end;
    double value;

    if (length == 0 || length >= sizeof copy)
        return (double)NAN;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (strspn(copy, "0123456789+-.eE") != length)
        return (double)NAN;
    value = strtod(copy, &end);
    return *end == '\0' && isfinite(value) ? value : (double)NAN;
}

/* "1e-4..1e-2", "1e-4.." or "..1e-2"; NULL when it is none, or without memory. */
static cJSON *parse_range(const char *text)
{
    const char *dots = strstr(text, "..");
    size_t low_length = dots ? (size_t)(dots - text) : 0;
    double low = number_in(text, low_length);
    double high = dots ? number_in(dots + 2, strlen(dots + 2)) : (double)NAN;
    cJSON *range;

    if (!dots || (isnan(low) && low_length > 0) || (isnan(high) && dots[2]) ||
        (isnan(low) && isnan(high)))
        return NULL;
    range = cJSON_CreateObject();
    if (!isnan(low))
        json_add_double(range, "min", low);
    if (!isnan(high))
        json_add_double(range, "max", high);
    return range;
}

/* As JSON has it: 8, true, null, "8"; else a text as it stands. */
static cJSON *parse_value(const char *text)
{
    double number = number_in(text, strlen(text));
    cJSON *quoted;

    if (!isnan(number))
        return json_from_double(number);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return cJSON_CreateBool(*text == 't');
    if (strcmp(text, "null") == 0)
        return cJSON_CreateNull();
    quoted = *text == '"' ? cJSON_ParseWithOpts(text, NULL, true) : NULL;
    return quoted ? quoted : cJSON_CreateString(text);
}

static int add_condition(cJSON *config, const char *text, struct err *err)
{
    size_t length = strcspn(text, "=");
    char key[FILTER_KEY_SIZE];
    cJSON *value;

    if (length == 0 || length >= sizeof key || text[length] != '=')
        return err_set(err, -EINVAL, "--config takes KEY=VALUE or KEY=LOW..HIGH, not \"%.64s\"",
                       text);
    memcpy(key, text, length);
    key[length] = '\0';
    if (cJSON_GetObjectItemCaseSensitive(config, key))
        return err_set(err, -EINVAL, "--config names \"%s\" twice", key);
    value = parse_range(text + length + 1);
    if (!value)
        value = parse_value(text + length + 1);
    if (value && cJSON_AddItemToObject(config, key, value))
        return 0;
    cJSON_Delete(value);
    return err_set(err, -ENOMEM, "out of memory");
}

static int add_config(cJSON *filter, const struct option_list *list, struct err *err)
{
    cJSON *config = list->n > 0 ? cJSON_AddObjectToObject(filter, "config") : NULL;
    int rc = list->n > 0 && !config ? err_set(err, -ENOMEM, "out of memory") : 0;

    for (size_t i = 0; rc == 0 && i < list->n; i++)
        rc = add_condition(config, list->items[i], err);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int add_tags(cJSON *filter, const struct option_list *list, struct err *err)
{
    cJSON *tags = list->n > 0 ? cJSON_CreateStringArray(list->items, (int)list->n) : NULL;

    if (list->n == 0 || (tags && cJSON_AddItemToObject(filter, "tags", tags)))
        return 0;
    cJSON_Delete(tags);
    return err_set(err, -ENOMEM, "out of memory");
}

/* Times begin with the newest, all else with the smallest. */
static int add_order(cJSON *filter, const struct options *options, struct err *err)
{
    const char *sort = options->sort ? options->sort : "created";
    bool newest_first = strcmp(sort, "created") == 0 || strcmp(sort, "updated") == 0;

    if (!options->reverse || cJSON_AddBoolToObject(filter, "descending", !newest_first))
        return 0;
    return err_set(err, -ENOMEM, "out of memory");
}

int filter_make(const struct options *options, cJSON **out, struct err *err)
{
    cJSON *filter =
        params_of(param_text("project", options->project), param_text("group", options->group),
                  param_text("state", options->state), param_text("search", options->search),
                  param_text("sort", options->sort), param_flag("hidden", options->hidden));
    int rc =
        filter ? add_tags(filter, &options->tags, err) : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0)
        rc = add_config(filter, &options->config, err);
    if (rc == 0)
        rc = add_order(filter, options, err);
    if (rc < 0)
        cJSON_Delete(filter);
    *out = rc < 0 ? NULL : filter;
    return rc;
}

const cJSON *filter_config_value(const cJSON *config, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, name);
    char part[FILTER_KEY_SIZE];

    while (!value && *name && cJSON_IsObject(config)) {
        size_t length = strcspn(name, ".");

        snprintf(part, sizeof part, "%.*s", (int)length, name);
        config = cJSON_GetObjectItemCaseSensitive(config, part);
        name += length + (name[length] == '.');
        if (!*name)
            value = config;
    }
    return value;
}
