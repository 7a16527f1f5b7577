/* Who may ask for what over HTTP: the Host and Origin of a request, and its token, each compared
 * whole. Owns the names and the tokens, which it reads once; any thread may check. It does not know
 * what is behind a path: a request that fails here goes no further. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/http/head.h"
#include "daemon/http/tokens.h"
#include "proto/base/err.h"

struct http_access;
struct certificate;

/* What of a request decides. Texts are NULL when the header is absent, and hold all of it when it
 * came several times. */
struct http_asker {
    const char *host;
    const char *origin;
    const char *authorization;
};

/* `address` is the listener's, "ADDRESS:PORT"; `hosts`, names that a Host may have besides the
 * loopback's, with commas and blanks between (NULL: none); `token_file`, lines of `read TOKEN`,
 * `write TOKEN` or `read,write TOKEN`, which no other user may read (NULL: no token is asked for).
 * Returns 0 (free with http_access_free), or -errno. */
int http_access_new(const char *address, const char *hosts, const char *token_file,
                    struct http_access **out, struct err *err);
void http_access_free(struct http_access *);

/* Its names are good for a Host, too. Borrowed for good; NULL: none. */
void http_access_set_certificate(struct http_access *, const struct certificate *);

/* Tokens besides those of the file. Borrowed for good; NULL: none. */
void http_access_set_named(struct http_access *, const struct tokens *named);

/* Whether reading needs no token from now on. Changing what is stored needs one that writes, as
 * before. */
void http_access_let_read(struct http_access *, bool freely);

/* Host and Origin: HTTP_OK, or the status to refuse with and why. */
enum http_code http_access_check_names(const struct http_access *, const struct http_asker *,
                                       struct err *err);
/* The token in its header; NULL: there is none. */
const char *http_access_bearer(const struct http_asker *);
/* The token of a request that reads: HTTP_OK, HTTP_UNAUTHORIZED or HTTP_FORBIDDEN. */
enum http_code http_access_check_token(const struct http_access *, const struct http_asker *,
                                       struct err *err);
/* Whether the token is for changing what is stored: one of `read,write`. Where there are no tokens,
 * none is. */
bool http_access_may_edit(const struct http_access *, const char *token);
bool http_access_may_edit_by(const struct http_access *, const struct http_asker *);
/* As http_access_check_token, for a token that came by itself. */
enum http_code http_access_check_reader(const struct http_access *, const char *token,
                                        struct err *err);
/* The rights of a token by its SHA-256, as of tokens_rights. */
unsigned http_access_rights(const struct http_access *, const uint8_t digest[SHA256_SIZE]);
