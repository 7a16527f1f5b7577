/* The tokens of a page that nobody gave one: STATE-DIR/page.token, made at the first start and
 * kept, so that a link goes on working: one that reads alone, and one of the owner, who writes as
 * well. Owns nothing; main's thread, at the start, while the directory's lock is held. access.h
 * reads the file as any file of tokens. */
#pragma once

#include "proto/base/err.h"

/* 128 bits in hexadecimal digits, and a NUL. */
#define HTTP_TOKEN_SIZE 33

struct http_tokens {
    char read[HTTP_TOKEN_SIZE];
    char write[HTTP_TOKEN_SIZE]; /* reads, too */
};

/* Puts the tokens into `tokens`, and their file's path into `*path` (free with free). One that the
 * file lacks is made, as of a file that others may read both are. Returns 0 or -errno. */
int http_token_keep(const char *dir, struct http_tokens *, char **path, struct err *err);
