/* SHA-256 (FIPS 180-4) of a text in memory: what is kept of a token in place of it. Plain values,
 * any thread. Our own, since no library that all builds have brings it: the wheel has no OpenSSL,
 * and richctl of Debian links neither it nor libsodium. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
/* In hexadecimal digits, with a NUL. */
#define SHA256_TEXT_SIZE 65

void sha256(const void *data, size_t size, uint8_t out[SHA256_SIZE]);

/* As 64 digits in lower case; and from them: false where they are none. */
void sha256_print(const uint8_t digest[SHA256_SIZE], char out[SHA256_TEXT_SIZE]);
bool sha256_scan(const char *text, uint8_t out[SHA256_SIZE]);

/* Takes as long where they differ as where they do not. */
bool sha256_is_same(const uint8_t a[SHA256_SIZE], const uint8_t b[SHA256_SIZE]);
