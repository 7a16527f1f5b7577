/* What an export into a directory has written so far, so that one that was interrupted or killed is
 * taken up again: DIR/.richctl-export, whose first line is what was asked and whose others are runs
 * and when they had changed last. An export that is asked for something else begins its own; one
 * that comes to its end removes it. Blocks on the disk. Tested with its files by
 * test_richctl_export.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "proto/base/err.h"

struct journal;

/* `attempts` and `layer` may be NULL. On 0 close `*out` with journal_close. */
int journal_open(struct journal **out, const char *directory, const char *format,
                 const char *attempts, const char *layer, struct err *err);

/* Whether the run (a RUN OBJECT) was written, and has not changed since. */
bool journal_has(const struct journal *, const cJSON *run);

/* The run's file has its name. */
int journal_add(struct journal *, const cJSON *run, struct err *err);

/* Removes it when the export is whole. NULL is fine. */
void journal_close(struct journal *, bool is_whole);
