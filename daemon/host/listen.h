/* The addresses at which trainers are met, from the option `listen`: "ipc://PATH",
 * "tcp://ADDRESS:PORT", or several with commas between. One that is no path and not on the loopback
 * is a network's, where keys are asked for. Plain values, main's thread at the start; paths.h fills
 * the option in, ingest binds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

/* As many as the networks that a host is in. */
#define LISTEN_MAX          8
#define LISTEN_ADDRESS_SIZE 256

struct listen {
    char local[LISTEN_ADDRESS_SIZE];            /* the first that needs no key; "": there is none */
    char more[LISTEN_MAX][LISTEN_ADDRESS_SIZE]; /* of the network */
    size_t n_more;
};

/* Whether a socket can have the path. Returns 0 or -EBADMSG with a text. */
int listen_check_path(const char *path, struct err *err);

/* Returns 0 or -EBADMSG with a text. */
int listen_parse(const char *text, struct listen *out, struct err *err);
