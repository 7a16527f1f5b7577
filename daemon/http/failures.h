/* Wrong tokens, counted by the address that they came from, so that guessing is slow. An address
 * has a bucket of FAILURES_BURST wrong tokens, into which one comes back each FAILURES_PERIOD_S; of
 * IPv6 all addresses of a subnet (64 bits) are one. A token that is wrong again is no new guess and
 * costs nothing: a page with a token that was taken away, which connects again and again, does not
 * lock its neighbours out. Owns the buckets; loop thread. The caller brings the time, and decides
 * what a full bucket means. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/sha256.h"

#define FAILURES_BURST    20
#define FAILURES_PERIOD_S 3

struct failures;

/* Free with failures_free; NULL without memory. */
struct failures *failures_new(void);
void failures_free(struct failures *);

/* How many seconds the address has to wait until another token of it is looked at; 0: none. */
unsigned failures_wait_s(struct failures *, const struct in6_addr *from, int64_t now_ms);

/* A token from there was wrong. */
void failures_add(struct failures *, const struct in6_addr *from, const uint8_t digest[SHA256_SIZE],
                  int64_t now_ms);
