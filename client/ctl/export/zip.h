/* A ZIP archive of files that are stored as they are, written from front to back: a pipe will do.
 * Dates are 1980's first day, so that the same content is the same bytes. Owns its list of entries;
 * borrows `out`, whose errors its owner finds. What is beyond 4 GiB or 65,534 entries is written as
 * ZIP64, and nothing else is. Tested by test_zip.c and test_richctl_export.py. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/err.h"

struct zip;

/* What is written without ZIP64 at most: a size or a place in the file, and entries. */
struct zip_limits {
    uint64_t bytes;
    size_t entries;
};

/* `limits` NULL: the format's own; tests have smaller ones. Returns NULL without memory. */
struct zip *zip_new(FILE *out, const struct zip_limits *limits);
void zip_free(struct zip *);

/* Adds a file `name` of `head` and then all of `body` (NULL: nothing), which is read from its
 * beginning, twice. Returns 0, -ENOMEM, or -EIO when `body` cannot be read. */
int zip_add(struct zip *, const char *name, const void *head, size_t head_size, FILE *body,
            struct err *err);

/* Writes the list of entries, which ends the archive. */
void zip_finish(struct zip *);
