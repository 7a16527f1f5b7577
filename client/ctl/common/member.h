/* Members of JSON objects, as the daemon sent them: what is absent, null or of another kind reads
 * as the default. Pure; all that is returned is borrowed from the object. A message that must not
 * lack a member is read by proto/json.h instead. */
#pragma once

#include <cjson/cJSON.h>

/* The member, or NULL. */
const cJSON *member(const cJSON *object, const char *name);
/* Its text, or `absent`. */
const char *member_text(const cJSON *object, const char *name, const char *absent);
/* Its number, or NaN. */
double member_number(const cJSON *object, const char *name);
/* The number that `value` (may be NULL) is, or NaN. */
double number_of(const cJSON *value);
