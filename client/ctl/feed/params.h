/* The parameters of a request. Each adds a member, or leaves it out when the value is unset; when
 * memory runs out the object is freed and becomes NULL, which feedclient_call reports: a parameter
 * must not get lost on the way. Pure. */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

/* An empty object, or NULL. feedclient_call takes it. */
cJSON *params_new(void);

/* NULL is left out. */
void params_text(cJSON **params, const char *name, const char *value);
/* An array with this one string; NULL is left out. */
void params_list(cJSON **params, const char *name, const char *value);
/* A negative value is left out. */
void params_integer(cJSON **params, const char *name, int64_t value);
