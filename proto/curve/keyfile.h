/* Files that hold a secret key of CURVE: one pair of keys, and for a client the daemon that they
 * are for. Lines of `word value`: `public`, `secret`, `server`, `endpoint`; # begins a comment. A
 * key is 40 characters of Z85. Such a file has the mode 0600, and one that others may read is
 * refused. Plain values and files, any thread. INGEST.md, "Over a network", says who has which
 * file. */
#pragma once

#include <stdbool.h>

#include "proto/base/err.h"

/* 32 bytes in Z85, and a NUL. */
#define KEY_SIZE 41
/* A name of a host, its port, and tcp:// */
#define KEYFILE_ENDPOINT_SIZE 300

struct keyfile {
    char public_key[KEY_SIZE];
    char secret_key[KEY_SIZE];
    char server_key[KEY_SIZE];            /* "" where the pair is the daemon's own */
    char endpoint[KEYFILE_ENDPOINT_SIZE]; /* "tcp://HOST:PORT", or "" */
};

/* Whether the first 40 characters can be a key; what follows is not looked at. */
bool key_is_valid(const char *text);

/* What a key is called, for people and logs: 1 to KEY_NAME_MAX of A-Z a-z 0-9 . _ - */
#define KEY_NAME_MAX 64
bool key_name_is_valid(const char *name);

/* Returns 0, -ENOENT when there is no such file, -EPERM when others may read it or it is not ours,
 * -EBADMSG when it lacks the pair or has a line that makes no sense, or -errno. The text names the
 * file, never a key. */
int keyfile_read(const char *path, struct keyfile *, struct err *err);

/* A new pair of keys; the rest stays. Returns 0, or -ENOTSUP where libzmq was built without CURVE.
 */
int keyfile_make_pair(struct keyfile *, struct err *err);

/* Writes it with the mode 0600, and to the disk. What is there stays unless `replaces`, and is then
 * replaced in one move. Returns 0, -EEXIST or -errno. */
int keyfile_write(const char *path, const struct keyfile *, bool replaces, struct err *err);

/* Reads it, or makes a pair and writes it where there is no such file. Returns as those do. */
int keyfile_keep(const char *path, struct keyfile *, struct err *err);
