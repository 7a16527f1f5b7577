#include "client/ctl/feed/params.h"

#include <assert.h>
#include <stddef.h>

#include "proto/json.h"

static bool add_list(cJSON *object, const char *name, const char *text)
{
    cJSON *list = cJSON_CreateStringArray(&text, 1);

    if (list && cJSON_AddItemToObject(object, name, list))
        return true;
    cJSON_Delete(list);
    return false;
}

static bool add(cJSON *object, const struct param *param)
{
    assert(param->name);
    switch (param->kind) {
    case PARAM_TEXT:
        return !param->text || cJSON_AddStringToObject(object, param->name, param->text);
    case PARAM_LIST:
        return !param->text || add_list(object, param->name, param->text);
    case PARAM_FLAG:
        return !param->integer || cJSON_AddTrueToObject(object, param->name);
    default:
        return param->integer < 0 || json_add_integer(object, param->name, param->integer);
    }
}

cJSON *params_make(const struct param params[])
{
    cJSON *object = cJSON_CreateObject();

    for (const struct param *param = params; object && param->kind != PARAM_END; param++) {
        if (add(object, param))
            continue;
        /* A request without one of its parameters would ask for something else. */
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}
