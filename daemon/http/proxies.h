/* The proxies in front of HTTP: only they may connect in clear from another host, and what they say
 * of their clients is believed. Owns their addresses, read once from the option; any thread.
 * Addresses of IPv4 are ::ffff:a.b.c.d. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

#include "proto/base/err.h"

#define PROXIES_MAX 32

struct proxy {
    struct in6_addr address;
    unsigned bits; /* of it that count, of 128 */
};

struct proxies {
    struct proxy proxy[PROXIES_MAX];
    size_t n;
};

/* Reads "ADDRESS[/BITS], ..."; NULL names none. Returns 0 or -EBADMSG. */
int proxies_read(const char *text, struct proxies *out, struct err *err);

bool proxies_have(const struct proxies *, const struct in6_addr *address);

bool proxies_is_loopback(const struct in6_addr *address);

/* Who asks: `from`, unless it is a proxy; then the last in its X-Forwarded-For that is none. NULL:
 * the request has no such header. */
struct in6_addr proxies_client(const struct proxies *, const struct in6_addr *from,
                               const char *forwarded_for);
