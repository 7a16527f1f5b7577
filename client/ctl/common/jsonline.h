/* JSON output: one object a line, numbers exactly as they came, nothing that a terminal would obey.
 * Prints where the caller says; keeps nothing. Tested end to end by test_richctl.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/base/err.h"

/* Prints `value` and a newline. Its numbers become text (json_make_exact). Returns 0 or -ENOMEM. */
int jsonline_print(cJSON *value, FILE *out, struct err *err);

/* The same without the newline: a part of a longer line. */
int jsonline_put(cJSON *value, FILE *out, struct err *err);

/* Adds the members of `what` to an empty object; false without memory. */
typedef bool jsonline_fill_fn(cJSON *object, const void *what);
/* Prints the object that `fill` makes of `what`. Returns 0 or -ENOMEM. */
int jsonline_make(jsonline_fill_fn *fill, const void *what, FILE *out, struct err *err);
