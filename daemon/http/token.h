/* The token of a page that nobody gave one: STATE-DIR/page.token, made at the first start and kept,
 * so that a link goes on working. Owns nothing; main's thread, at the start, while the directory's
 * lock is held. access.h reads the file as any file of tokens. */
#pragma once

#include "proto/base/err.h"

/* 128 bits in hexadecimal digits, and a NUL. */
#define HTTP_TOKEN_SIZE 33

/* Puts the token into `token`, and its file's path into `*path` (free with free). A file that has
 * none, or that others may read, is replaced. Returns 0 or -errno. */
int http_token_keep(const char *dir, char token[HTTP_TOKEN_SIZE], char **path, struct err *err);
