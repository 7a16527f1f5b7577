/* Where the feed is: an address given outright, or the endpoints.json of a daemon's runtime
 * directory. Called once, at the start, by main; reads files and the environment and keeps
 * nothing. Connecting is left to feedclient. */
#pragma once

#include "proto/base/err.h"

/* Room for a path of any length that a socket can have, and its prefix. */
#define ENDPOINT_SIZE 512

struct endpoint {
    char address[ENDPOINT_SIZE]; /* unix:PATH or tcp:ADDRESS:PORT */
    char source[ENDPOINT_SIZE];  /* the file that said so; empty when given outright */
};

/* Fills `out`. `feed` (an address) wins, then `runtime_dir`; both may be NULL. Otherwise
 * $RICHD_RUNTIME_DIR, or the first of $XDG_RUNTIME_DIR/richd, /run/richd and /tmp/richd-UID that
 * holds an endpoints.json. Returns 0, -ENOTCONN with the places looked at, or -EPROTO for a file
 * that makes no sense. */
int endpoints_find(const char *feed, const char *runtime_dir, struct endpoint *out, struct err *e);
