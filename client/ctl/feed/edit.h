/* What a person writes about a run: one request of run.edit, and its answer for the terminal.
 * Blocks on the feed; the command says what changes. Tested with its files by
 * test_richctl_edit.py. */
#pragma once

#include <cjson/cJSON.h>

#include "client/ctl/common/options.h"
#include "client/ctl/feed/feedclient.h"

/* Takes `changes` (name, note, tags or hidden; NULL says that memory ran out while it was made).
 * On 0 a line with the run's id and name is printed, or with --json its RUN OBJECT. */
int edit_run(struct feedclient *, const struct options *, const char *run, cJSON *changes,
             struct err *err);

/* An object with one member; takes `value`. NULL without memory, also of `value`. */
cJSON *edit_change(const char *name, cJSON *value);
