/* Which runs the options mean (--project, --tag, --config ...), as parameters of run.list. Pure.
 * Tested by test_filter.c. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "client/ctl/common/options.h"

/* Room for a key of the configuration as run.list takes it. */
#define FILTER_KEY_SIZE 257

/* On 0 `*out` is the object (free with cJSON_Delete); NULL after -EINVAL, with a sentence about the
 * option, and -ENOMEM. */
int filter_make(const struct options *, cJSON **out, struct err *err);

/* Whether any option chooses runs; hidden ones are not chosen by --hidden alone. */
bool filter_is_given(const struct options *);

/* A value of the configuration by its name, or by a way into it ("model.depth"); NULL: none. */
const cJSON *filter_config_value(const cJSON *config, const char *name);
