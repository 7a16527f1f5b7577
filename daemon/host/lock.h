/* What keeps a second daemon away: a lock on each of our directories, and a look at a socket file
 * before it is replaced. Owns nothing, the caller holds the lock; main's thread, at the start and
 * the end. paths.h makes the directories. */
#pragma once

#include "proto/base/err.h"

/* Takes `dir`/richd.lock, for the life of the process at most. Returns the lock (release with
 * lock_release), -EBUSY with a text that names the holder, or -errno. */
int lock_take(const char *dir, struct err *);
/* -1 is fine. */
void lock_release(int lock);

/* Whether the path of `address` ("ipc://PATH" or "unix:PATH", shorter than a socket's name; others
 * pass) is free, or has a socket at which nobody listens, which may be removed. Binding takes a
 * path over silently, whatever is there, and an explicit path is not covered by the locks of our
 * directories. Returns 0, -EADDRINUSE when a program listens there, -EEXIST when there is something
 * else, a link among it, or -errno when nobody can say so. */
int lock_check_socket(const char *address, struct err *);
