/* The tokens of a file, of which their SHA-256 is kept alone: lines of
 *
 *     read TOKEN
 *     read,write sha256:DIGITS NAME
 *
 * The rights are `read`, `write` or `read,write`; a token stands there as it is, or as its hash
 * with a name for people, as `richctl token` writes it; # opens a line of comment. Owns what was
 * read last; loop thread. access.h says what the rights are for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/sha256.h"

/* Short enough for a header line, long enough for a secret: 16 hexadecimal digits are 64 bits. */
#define HTTP_TOKEN_MIN 16
#define HTTP_TOKEN_MAX 256

/* In the state directory: those that people were given by name. */
#define HTTP_TOKENS_FILE "tokens"

struct tokens;

enum token_rights {
    TOKEN_NONE,
    TOKEN_READS = 1,
    TOKEN_WRITES = 2,
    TOKEN_EDITS = 4, /* what is stored: one line has both of the others */
};

/* Reads nothing yet. `may_lack`: a file that is not there, or empty, holds no tokens; else it is an
 * error. Returns it (free with tokens_free), or NULL. */
struct tokens *tokens_new(const char *path, bool may_lack);
/* NULL is fine. */
void tokens_free(struct tokens *);

/* Reads the file where it has changed since, or with `always`. Returns 1 when it was read, 0 when
 * it had not changed, or -errno with a text that names the file and the line; then the tokens stay
 * as they were. Others than its owner may not read it. */
int tokens_refresh(struct tokens *, bool always, struct err *err);

/* The rights of the token with that SHA-256. It takes as long for one that is there as for one that
 * is not. NULL has no tokens. */
unsigned tokens_rights(const struct tokens *, const uint8_t digest[SHA256_SIZE]);
