/* The descriptors of this process: their limit, and what part of it readers may have, so that
 * neither readers nor trainers take what the others and the daemon itself need. Owns the counts,
 * one set for the process as its limit is; main's thread, but for files_leaves_room. Who connects,
 * and what becomes of one who may not, the sockets know. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

/* Raises the soft limit as far as it may, and to FILES_MAX at most. Returns 0, or -EMFILE when what
 * there is does not suffice, with a text that says how many do. */
int files_init(struct err *);

enum files_reader {
    FILES_FEED,
    FILES_HTTP,
    FILES_READERS,
};

/* From now on readers of this kind have a share of their own: `wanted`, or an eighth of all.
 * Returns it. */
size_t files_reserve(enum files_reader, size_t wanted);
/* So many of it are in use. */
void files_note(enum files_reader, size_t n);

/* Whether a trainer may have the new descriptor `fd`: then the shares of readers, and what the
 * daemon itself needs, are still free. The kernel gives the lowest that is free, so as many as its
 * number are in use. From any thread. */
bool files_leaves_room(int fd);

/* The soft limit, as files_init left it. */
size_t files_limit(void);
