/* What all daemons have written to the shared history comes into this store, for a daemon that only
 * reads. A pull belongs to the thread of the share. It fetches a window of what one source has
 * written since this store looked, and hands it over to be merged; the next one follows when that
 * is on disk. share.c decides when, and what a failure means.
 *
 * What describes runs is read in one snapshot, after the rows of the feed were read: so each of
 * these finds its run, its attempt and its layer there, also while their rows move on to later
 * batches.
 *
 * Tested with its files by test_a_reader_shows_what_all_daemons_write.py. */
#pragma once

#include "daemon/share/merge.h"
#include "daemon/share/remote.h"

struct pull;

/* Merges, and waits until it is done: 0, or -errno. */
typedef int pull_merge_fn(void *arg, struct merge *, struct err *err);

/* Returns 0 (free with pull_free), -EEXIST when the store has runs of its own, or -errno of the
 * store. */
int pull_new(const char *store_path, pull_merge_fn *, void *arg, struct pull **out,
             struct err *err);
void pull_free(struct pull *);

/* After connecting: looks which history it is. Returns remote.h's errors. */
int pull_begin(struct pull *, struct remote *, struct err *err);

/* Fetches what is new: 1 when there is more, 0 when all is here, or -errno. */
int pull_step(struct pull *, struct remote *, struct err *err);
