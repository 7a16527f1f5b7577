/* A ZIP archive of files that are stored as they are, written from front to back: a pipe will do.
 * Dates are 1980's first day, so that the same content is the same bytes. Owns its list of entries;
 * borrows `out`, whose errors its owner finds. Without ZIP64: 4 GiB and 65,535 entries. Tested by
 * test_richctl_export.py. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "proto/base/err.h"

struct zip;

/* NULL: no memory. */
struct zip *zip_new(FILE *out);
void zip_free(struct zip *);

/* Adds a file `name` of `head` and then all of `body` (NULL: nothing), which is read from its
 * beginning, twice. Returns 0, -EFBIG, -ENOMEM, or -EIO when `body` cannot be read. */
int zip_add(struct zip *, const char *name, const void *head, size_t head_size, FILE *body,
            struct err *err);

/* Writes the list of entries, which ends the archive. Returns 0 or -EFBIG. */
int zip_finish(struct zip *, struct err *err);
