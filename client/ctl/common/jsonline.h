/* JSON output: one object a line, numbers exactly as they came, nothing that a terminal would obey.
 * Writes to stdout for the commands; keeps nothing. */
#pragma once

#include <cjson/cJSON.h>
#include <stdio.h>

#include "proto/base/err.h"

/* Prints `value` and a newline. Its numbers become text (json_make_exact). Returns 0 or -ENOMEM. */
int jsonline_print(cJSON *value, FILE *out, struct err *e);
