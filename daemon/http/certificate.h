/* Who we are to clients that connect by TLS: a certificate with its chain, and its key, in PEM
 * files that are read again when they change, as they do when a certificate is renewed. Owns what
 * was read of them last; connections keep what they began with. Loop thread only. tls.c uses it for
 * a connection; all of OpenSSL is in these two files. without_tls.c stands in their place where
 * richd is built without OpenSSL. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

/* A name of a host has at most 253 bytes. */
#define CERTIFICATE_NAME_SIZE 256

struct certificate;

/* Reads both files, which it remembers. Others than its owner may not read the key, but for the
 * group of one that root owns. Returns 0 (free with certificate_free), or -errno with a sentence
 * that names the file: -ENOTSUP without OpenSSL. */
int certificate_new(const char *path, const char *key_path, struct certificate **out,
                    struct err *err);
/* NULL is fine. */
void certificate_free(struct certificate *);

/* Reads the files where one has changed since, or with `always`. Returns 1 when they were read, 0
 * when neither had changed, or -errno, when those of before stay in use; they are tried again each
 * time until they are good, as one may have come before the other. */
int certificate_refresh(struct certificate *, bool always, struct err *err);

/* Whether it says that we are this host, a name or an address without brackets. */
bool certificate_is_for(const struct certificate *, const char *name);
/* The first name in it that is no pattern, and not localhost where there is another; "": none. */
void certificate_name(const struct certificate *, char out[CERTIFICATE_NAME_SIZE]);
/* Seconds since 1970 at which it expires. */
double certificate_expires(const struct certificate *);
/* What a person should do something about at the time `now`: it is no longer good, or soon, or what
 * lies in the files could not be read. "": nothing. */
void certificate_problem(const struct certificate *, double now, struct err *problem);

/* For a connection: an SSL * that is not yet on a socket (SSL_free), or NULL without memory. */
struct ssl_st *certificate_session(const struct certificate *);
