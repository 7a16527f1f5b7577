/* All layers of a run in words: where each stands, a table of its measures, and what its flags
 * mean. Pure but for the terminal's width, where sentences fold; borrows the answer. What is
 * fetched, and what a run says beside its layers, is cmd_show.c's. Tested end to end by
 * test_richctl.py. */
#pragma once

#include <cjson/cJSON.h>

#include "proto/base/err.h"

/* Prints `answer`, of layer.list, to standard output; nothing where there are no layers. Returns 0
 * or -ENOMEM. */
int layers_print(const cJSON *answer, struct err *err);
