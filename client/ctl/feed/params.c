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

static bool add(cJSON *object, const struct param *p)
{
    assert(p->name);
    switch (p->kind) {
    case PARAM_TEXT:
        return !p->text || cJSON_AddStringToObject(object, p->name, p->text);
    case PARAM_LIST:
        return !p->text || add_list(object, p->name, p->text);
    case PARAM_FLAG:
        return !p->integer || cJSON_AddTrueToObject(object, p->name);
    default:
        return p->integer < 0 || json_add_integer(object, p->name, p->integer);
    }
}

cJSON *params_make(const struct param params[])
{
    cJSON *object = cJSON_CreateObject();

    for (const struct param *p = params; object && p->kind != PARAM_END; p++) {
        if (add(object, p))
            continue;
        /* A request without one of its parameters would ask for something else. */
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}
