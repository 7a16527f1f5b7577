/* The line that brings a trainer's user the keys for a daemon of another host:
 *
 *     richd://HOST:PORT/ and behind it the daemon's public key and the trainer's secret one
 *
 * It is a secret. Plain values; tested by test_invitation.c. */
#pragma once

#include "proto/base/err.h"
#include "proto/curve/keyfile.h"

#define INVITATION_SIZE (KEYFILE_ENDPOINT_SIZE + 2 * KEY_SIZE)

/* Of the endpoint, the daemon's key and the secret one. */
void invitation_print(const struct keyfile *, char out[INVITATION_SIZE]);

/* Reads the first line of `text`, also with blanks around it; the public key is made of the secret
 * one. Returns 0, or -EBADMSG with a text that has no key. */
int invitation_parse(const char *text, struct keyfile *out, struct err *err);
