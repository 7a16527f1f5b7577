/* Whether a directory lies where a database should not: on a file system that other machines write
 * as well, or that a program makes. SQLite's locks and its write-ahead log need one of this machine
 * (sqlite.org/useovernet.html). Owns nothing; any thread. */
#pragma once

#include "proto/base/err.h"

/* The name of such a file system by its number in statfs(2), "NFS"; NULL: it is none. */
const char *filesystem_name(unsigned long type);

/* Returns 0, also where nobody can say, or -EXDEV with a sentence that says what to do. */
int filesystem_check(const char *dir, struct err *);
