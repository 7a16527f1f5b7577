#include "proto/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, uint16_t *out)
{
    size_t n = strspn(text, "0123456789");
    long port = strtol(text, NULL, 10);

    if (n < 1 || n > 5 || text[n] != '\0' || port > UINT16_MAX)
        return -EINVAL;
    *out = (uint16_t)port;
    return 0;
}

int address_parse(const char *text, struct address *out)
{
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;

    *out = (struct address){.has_brackets = size > 2 && text[0] == '[' && colon[-1] == ']'};
    if (out->has_brackets) {
        text++;
        size -= 2;
    }
    if (size < 1 || size > ADDRESS_HOST_MAX || memchr(text, '[', size) || memchr(text, ']', size))
        return -EINVAL;
    if (!out->has_brackets && memchr(text, ':', size))
        return -EINVAL;
    memcpy(out->host, text, size);
    return parse_port(colon + 1, &out->port);
}

int address_print(const struct address *address, char *out, size_t size)
{
    int n = snprintf(out, size, address->has_brackets ? "[%s]:%u" : "%s:%u", address->host,
                     address->port);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int address_to_socket(const struct address *address, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (address->has_brackets) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(address->port);
        return inet_pton(AF_INET6, address->host, &in6->sin6_addr) == 1 ? (int)sizeof *in6
                                                                        : -EINVAL;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    return inet_pton(AF_INET, address->host, &v4->sin_addr) == 1 ? (int)sizeof *v4 : -EINVAL;
}

bool address_is_loopback(const struct address *address)
{
    struct sockaddr_storage socket;

    if (address_to_socket(address, &socket) < 0)
        return false;
    if (address->has_brackets)
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&socket)->sin6_addr);
    return ntohl(((struct sockaddr_in *)&socket)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}
