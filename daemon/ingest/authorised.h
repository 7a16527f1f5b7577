/* Who may connect over a network: the file authorised_keys of the state directory, a line a key:
 *
 *     PUBLIC-KEY NAME write project=mod97,vision   # comment
 *
 * NAME is 1 to 64 of A-Z a-z 0-9 . _ -; without `project=` a key may write into every project. Owns
 * the keys as they were read last; loop thread. zap.h asks at a handshake, ingest at each message,
 * so that a key which left the file has no rights any more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/curve/keyfile.h"

struct authorised_key {
    char key[KEY_SIZE];
    char name[KEY_NAME_MAX + 1];
    bool writes;    /* the line says so: without it there is no key */
    char *projects; /* "a,b"; NULL: all */
};

struct authorised;

/* Borrows nothing. Reads nothing yet: no key is known. Returns it (free with authorised_free), or
 * NULL. */
struct authorised *authorised_new(const char *path);
void authorised_free(struct authorised *);

/* Reads the file where it has changed since, or with `always`. A file that is not there, or that
 * others than its owner may write, has no keys; a line that makes no sense grants nothing, and the
 * others count. Returns 1 when it was read, 0 when it had not changed; or -errno, with a text that
 * names the file and the lines, when there is anything to complain of. Without memory the keys stay
 * as they were. */
int authorised_refresh(struct authorised *, bool always, struct err *err);

size_t authorised_count(const struct authorised *);

/* The key, or NULL for one that is not there. Borrowed until the next refresh. */
const struct authorised_key *authorised_find(const struct authorised *, const char *key);
