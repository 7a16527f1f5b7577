/* A file that has its name when it is whole: it is written as NAME.part, synced, and renamed. What
 * is no plain file (/dev/stdout, a pipe) is written as it is. Blocks on the disk; the caller writes
 * into `stream`. Tested with its files by test_richctl_export.py. */
#pragma once

#include <stdio.h>

#include "proto/base/err.h"

struct outfile {
    FILE *stream;
    char *path; /* the name that it gets; NULL: stdout */
    char *part; /* where it is written; NULL: nothing is renamed */
};

/* `path` NULL is stdout. Returns 0 or -errno; then nothing has to be dropped. */
int outfile_open(struct outfile *, const char *path, struct err *err);

/* Closes it under its own name, in place of an older file. On -errno that one stays, and no part of
 * the new one. */
int outfile_keep(struct outfile *, struct err *err);

/* Closes and removes it; an older file of that name stays. */
void outfile_drop(struct outfile *);
