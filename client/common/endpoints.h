/* Where the daemon listens: an address that was given, or one that the daemon has left in the
 * endpoints.json of its runtime directory. INGEST.md, "Finding the daemon", has the order of the
 * places and the rule that decides which files count; proto/vectors/endpoints.json has the cases.
 * The environment is read once, by endpoints_init, on the caller's thread (getenv is not safe
 * beside setenv); endpoints_find reads the files at each call, on any thread, because a daemon that
 * was started again may have moved. The caller connects. */
#pragma once

#include <stddef.h>

#include "proto/base/err.h"

/* Room for a runtime directory and a file in it, and for any path that a socket can have (107). */
#define ENDPOINT_SIZE 512
/* $XDG_RUNTIME_DIR/richd, /run/user/UID/richd, /run/richd, /tmp/richd-UID. */
#define ENDPOINTS_PLACES_MAX 4

/* Where to look. */
struct endpoints {
    char address[ENDPOINT_SIZE]; /* the address that was given; "": look into the directories */
    char directories[ENDPOINTS_PLACES_MAX][ENDPOINT_SIZE];
    size_t n_directories;
    char joined[ENDPOINT_SIZE]; /* the file of joined.h, there or not; "": it is not looked at */
    size_t chosen;              /* 1 + the directory of endpoints_stay; 0: none so far */
};

/* What was found. */
struct endpoint {
    char address[ENDPOINT_SIZE];
    size_t place; /* 1 + the directory, where its daemon lives or there is no other; else 0 */
    char source[ENDPOINT_SIZE + sizeof "/endpoints.json"]; /* the file, also of one that does not
                                                              count; "": the address was given */
};

/* Notes the places. `address` and `runtime_dir` are what the program was given, and may be NULL or
 * empty; then the environment variables `address_variable` (NULL: there is none) and
 * RICHD_RUNTIME_DIR are read. Returns 0, or -EINVAL when one of them is too long. */
int endpoints_init(struct endpoints *, const char *address, const char *address_variable,
                   const char *runtime_dir, struct err *err);

/* Fills in the address that was given, or the text `member` ("ingest", "feed") of an endpoints.json
 * that counts: of the first whose daemon lives, or else of the first. May wait for a second for
 * each place, where the daemon's feed is behind TCP. For "ingest" the daemon of another host that
 * was joined goes before them. Returns 0, -ENOENT when no place has a file
 * that counts (the sentence gives the reason for each place), or -EPROTO when the first one makes
 * no sense. */
int endpoints_find(const struct endpoints *, const char *member, struct endpoint *out,
                   struct err *err);

/* Later calls take the place of `found`, as long as its file is there, if its daemon lived: a run
 * must not go to another daemon while its own is started again. */
void endpoints_stay(struct endpoints *, const struct endpoint *found);
