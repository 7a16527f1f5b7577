/* What the store has committed goes to the shared history, one batch a step, in the order of the
 * feed. A push belongs to one thread, has a read-only connection to the store of its own, and keeps
 * in memory what the history is known to have: after a failure push_begin() asks for it again, so
 * nothing is lost or written twice. share.c decides when, and what a failure means. *
 * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <stdint.h>

#include "daemon/share/remote.h"
#include "proto/base/err.h"

struct push;

/* A random text, which tells this process from others. */
int share_session(char out[33], struct err *err);

/* `session` tells this process from others. Returns 0 (free with push_free), or -errno of the
 * store. */
int push_new(const char *store_path, const char *session, struct push **out, struct err *err);
/* Tables that it creates get so many partitions; otherwise none. */
void push_divide(struct push *, unsigned n_partitions);
void push_free(struct push *);

/* After connecting: creates the tables where there are none, compares versions, and asks how far
 * this store has come. Returns remote.h's errors, and -ENOTSUP when the tables are a newer
 * richd's. */
int push_begin(struct push *, struct remote *, struct err *err);

/* Copies one batch. Returns 1 while there is more, 0 when all is there, or -errno of the server or
 * the store. */
int push_step(struct push *, struct remote *, struct err *err);

/* One sentence where this store was found to be one of two copies; "". */
const char *push_remark(const struct push *);

/* How far the history has come, in the feed's order; 0: not known yet. */
int64_t push_position(const struct push *);
