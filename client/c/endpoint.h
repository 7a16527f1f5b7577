/* Where the daemon listens: told by the program, by the environment, or found in endpoints.json.
 * The environment is read once, on the thread that connects (getenv is not safe beside setenv); the
 * file is read by the sender before every connection, because a restarted daemon may have moved.
 * Connecting is left to the sender. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* A runtime directory and endpoints.json fit, and so does any path a socket can have (107). */
#define ENDPOINT_MAX 512

struct endpoint;

/* `address` and `runtime_dir` may be NULL. Returns NULL when memory ran out. */
struct endpoint *endpoint_new(const char *address, const char *runtime_dir);

/* NULL is fine. */
void endpoint_free(struct endpoint *);

/* Writes the address to connect to. Returns 0, -ENOENT when no daemon has left one, or -EPROTO when
 * a file is not as it should be. */
int endpoint_find(const struct endpoint *, char address[ENDPOINT_MAX], struct err *e);
