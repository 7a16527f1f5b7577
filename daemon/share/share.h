/* The history that several daemons share, in a PostgreSQL database: what this daemon's store has
 * committed is copied there by a thread of its own, behind the trainings. Acknowledgements,
 * questions and the page stay with the store, so a server that is slow or away costs nothing but
 * lag. The loop opens and closes a share and asks for its state; nothing here blocks it.
 *
 * The way of a row: share.c connects and asks push.c for one batch after the other. A batch is read
 * from the store over a read-only connection (push_read.c), with the numbers that the shared
 * history has for attempts, layers and scalars (names.c), is kept as arrays (rows.c), and goes in
 * one transaction with the position that it reaches (push.c). tables.c is the one list of the
 * shared tables, from which their creation and all statements are made; remote.c makes libpq's
 * calls. proto/SHARED.md says what the tables mean. Where libpq is not there to be built with,
 * without.c stands in the place of all of them.
 *
 * Tested with its files by test_what_is_stored_is_copied_to_the_shared_history.py. */
#pragma once

#include <stdint.h>

#include "proto/base/err.h"

struct share;
struct store;

/* What is known of it, for server.status. */
struct share_status {
    char server[160];    /* "HOST:PORT/DATABASE" */
    char problem[512];   /* one sentence; "": none */
    double behind_since; /* seconds since 1970: since then something has waited; 0: nothing waits */
    int64_t n_waiting;   /* points, values and events that wait */
};

/* Whether `url` (postgresql://... or libpq's key=value) can be used. Returns 0 or -EINVAL; -ENOTSUP
 * where richd was built without libpq. */
int share_check(const char *url, struct err *err);

/* Starts to copy the store at `path`, which `store` has open. Borrows `store`; copies the texts.
 * Returns 0 (free with share_close), -ENOMEM, -EAGAIN without a thread, or share_check's error. */
int share_open(const char *url, const char *path, const struct store *store, struct share **out,
               struct err *err);

/* Ends the thread: what was not copied yet is at the next start. Blocks for the time of a statement
 * that is being looked at, at most SHARE_CLOSE_S; a thread that a name server holds up is left
 * behind. NULL is fine. */
#define SHARE_CLOSE_S 2
void share_close(struct share *);

void share_status(struct share *, struct share_status *out);
