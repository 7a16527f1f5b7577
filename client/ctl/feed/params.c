#include "client/ctl/feed/params.h"

#include <stdbool.h>
#include <stddef.h>

#include "proto/json.h"

static void keep_if(bool added, cJSON **params)
{
    if (added)
        return;
    cJSON_Delete(*params);
    *params = NULL;
}

cJSON *params_new(void)
{
    return cJSON_CreateObject();
}

void params_text(cJSON **params, const char *name, const char *value)
{
    if (value)
        keep_if(cJSON_AddStringToObject(*params, name, value) != NULL, params);
}

void params_list(cJSON **params, const char *name, const char *value)
{
    cJSON *list;

    if (!value)
        return;
    list = cJSON_CreateStringArray(&value, 1);
    if (list && cJSON_AddItemToObject(*params, name, list))
        return;
    cJSON_Delete(list);
    keep_if(false, params);
}

void params_integer(cJSON **params, const char *name, int64_t value)
{
    if (value >= 0)
        keep_if(json_add_integer(*params, name, value), params);
}
