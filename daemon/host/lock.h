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

/* Whether the socket file of `address` ("ipc://PATH" or "unix:PATH"; others pass) may be replaced:
 * binding takes the path over silently, even from a program that listens on it, and an explicit
 * path is not covered by the locks of our directories. Returns 0, -EADDRINUSE, or -errno. */
int lock_check_socket(const char *address, struct err *);
