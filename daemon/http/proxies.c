#include "daemon/http/proxies.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SIZE 64 /* of an address with its bits */
#define BITS_V4   96 /* in front of an address of IPv4 */

/* An address in numbers, in brackets or not. Returns its bits, 32 or 128, or 0. */
static unsigned read_address(const char *text, struct in6_addr *out)
{
    static const struct in6_addr v4 = {.s6_addr = {[10] = 0xff, 0xff}};
    size_t size = strlen(text);
    char bare[TEXT_SIZE] = "";

    if (size > 2 && size < sizeof bare && text[0] == '[' && text[size - 1] == ']')
        memcpy(bare, text + 1, size - 2);
    *out = v4;
    if (inet_pton(AF_INET, text, &out->s6_addr[12]) == 1)
        return 32;
    return inet_pton(AF_INET6, *bare ? bare : text, out) == 1 ? 128 : 0;
}

static int add(struct proxies *proxies, char *word, struct err *err)
{
    struct proxy proxy;
    char *slash = strchr(word, '/'), *end = NULL;
    unsigned bits;
    long given = 0;

    if (slash) {
        *slash = '\0';
        given = strtol(slash + 1, &end, 10);
    }
    bits = read_address(word, &proxy.address);
    if (bits == 0 || (slash && (end == slash + 1 || *end || given < 1 || given > (long)bits)))
        return err_set(err, -EBADMSG, "\"%s%s%s\" is not an address in numbers, or ADDRESS/BITS",
                       word, slash ? "/" : "", slash ? slash + 1 : "");
    if (proxies->n == PROXIES_MAX)
        return err_set(err, -EBADMSG, "more than %d proxies", PROXIES_MAX);
    proxy.bits = 128 - bits + (slash ? (unsigned)given : bits);
    proxies->proxy[proxies->n++] = proxy;
    return 0;
}

int proxies_read(const char *text, struct proxies *out, struct err *err)
{
    int rc = 0;

    *out = (struct proxies){.n = 0};
    for (const char *at = text ? text : ""; *at && rc == 0;) {
        size_t size = strcspn(at, ", \t");
        char word[TEXT_SIZE];

        if (size >= sizeof word)
            return err_set(err, -EBADMSG, "\"%.64s\" is not an address in numbers", at);
        snprintf(word, sizeof word, "%.*s", (int)size, at);
        if (size > 0)
            rc = add(out, word, err);
        at += size > 0 ? size : 1;
    }
    return rc == 0 && text && out->n == 0 ? err_set(err, -EBADMSG, "no address is named") : rc;
}

static bool is_same(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    unsigned mask = 0xff00u >> rest & 0xff;

    return memcmp(a, b, whole) == 0 &&
           (rest == 0 || ((a->s6_addr[whole] ^ b->s6_addr[whole]) & mask) == 0);
}

bool proxies_have(const struct proxies *proxies, const struct in6_addr *address)
{
    for (size_t i = 0; i < proxies->n; i++) {
        if (is_same(&proxies->proxy[i].address, address, proxies->proxy[i].bits))
            return true;
    }
    return false;
}

bool proxies_is_loopback(const struct in6_addr *address)
{
    static const struct in6_addr v4 = {.s6_addr = {[10] = 0xff, 0xff, 127}};

    return IN6_IS_ADDR_LOOPBACK(address) || is_same(address, &v4, BITS_V4 + 8);
}

/* The word between `begin` and `end`, without blanks. A proxy may say a port, which no address in
 * numbers has. */
static bool read_word(const char *begin, const char *end, struct in6_addr *out)
{
    char word[TEXT_SIZE];

    begin += strspn(begin, " \t");
    while (end > begin && strchr(" \t", end[-1]))
        end--;
    if (end - begin >= (long)sizeof word)
        return false;
    snprintf(word, sizeof word, "%.*s", (int)(end - begin), begin);
    return read_address(word, out) != 0;
}

/* From the right: what stands left of the first that is no proxy, a client may have made up. */
struct in6_addr proxies_client(const struct proxies *proxies, const struct in6_addr *from,
                               const char *forwarded_for)
{
    struct in6_addr client = *from, said;
    const char *end = forwarded_for ? forwarded_for + strlen(forwarded_for) : NULL;

    while (end && end > forwarded_for && proxies_have(proxies, &client)) {
        const char *begin = end;

        while (begin > forwarded_for && begin[-1] != ',')
            begin--;
        if (!read_word(begin, end, &said))
            return client;
        client = said;
        end = begin > forwarded_for ? begin - 1 : NULL;
    }
    return client;
}
