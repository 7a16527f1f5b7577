#include "client/ctl/common/member.h"

#include <assert.h>
#include <math.h>

const cJSON *member(const cJSON *object, const char *name)
{
    assert(name);
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *member_text(const cJSON *object, const char *name, const char *absent)
{
    const cJSON *text = member(object, name);

    return cJSON_IsString(text) ? text->valuestring : absent;
}

double number_of(const cJSON *value)
{
    return cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
}

double member_number(const cJSON *object, const char *name)
{
    return number_of(member(object, name));
}
