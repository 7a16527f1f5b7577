/* A damaged database made whole from what can be read of it, as sqlite3's .recover does: row by row
 * into a fresh file, which then takes the place of the damaged one. Blocks on the disk; the caller
 * has no connection of its own open, except readers, which then go on with the old file. The store
 * decides when. Tested by test_repair.c. */
#pragma once

#include <stdint.h>

#include "daemon/store/notes.h"
#include "proto/base/err.h"

/* Rewrites the database at `path`. The damaged file keeps its content under another name
 * (store_set_aside). `notes` tell what was lost, by table and run. `feed_seq` is the last number
 * that is known to be given out. Returns 0; or -EUCLEAN when not even the list of tables can be
 * read; or another -errno, such as -ENOSPC: in both cases the file is as it was, unless its fresh
 * one was ready: call store_repair_finish before the file is opened. */
int store_repair_file(const char *path, uint64_t feed_seq, struct store_notes *notes,
                      struct err *err);

/* Ends a repair that a crash has interrupted when its file was ready. Returns 0 or -errno. */
int store_repair_finish(const char *path, struct err *err);
