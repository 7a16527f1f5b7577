/* The daemon of another host that the user has joined (`richctl join`), and the keys for it: the
 * file `joined` of the user's configuration. INGEST.md, "Over a network", has its place. Stateless;
 * the path is noted on the caller's thread, since getenv is not safe beside setenv, and the file
 * read on any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

#define JOINED_PATH_SIZE 512

/* "$XDG_CONFIG_HOME/richd/joined" or "$HOME/.config/richd/joined". Returns 0, or -ENOENT where both
 * are unset, or too long for `size`. */
int joined_path(char *out, size_t size);

/* The same of `upstream`, where a daemon that forwards what it has finds its keys: trainers do not
 * look there, so they stay with that daemon. */
int upstream_path(char *out, size_t size);

/* Whether there is something at the path, be it good or not. "" is no path. */
bool joined_exists(const char *path);

/* Has the socket, which connects to `address` next, ask for and show the keys of the file, where
 * that is for the address; else it stays as it is. Returns 0, -ENOTSUP where libzmq has no CURVE,
 * or -EACCES: the address is of another host, and there is no key for it. What is said to it could
 * be read by all on the way, so it is not connected to. */
int joined_set_keys(const char *path, const char *address, void *socket);
