/* The one way to read ADDRESS:PORT: a name or IPv4 address, or an IPv6 address in brackets, and a
 * decimal port. Plain values, any thread. The caller looks names up, and connects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A domain name has at most 253 bytes. */
#define ADDRESS_HOST_MAX 255

struct address {
    char host[ADDRESS_HOST_MAX + 1]; /* without brackets */
    bool has_brackets;
    uint16_t port;
};

/* Returns 0, or -EINVAL when `text` is not of that form. */
int address_parse(const char *text, struct address *out);

/* Writes it as address_parse reads it. Returns 0, or -ENAMETOOLONG. */
int address_print(const struct address *, char *out, size_t size);

/* Fills in the socket's address when the host is written in numbers. Returns its size, or
 * -EINVAL. */
int address_to_socket(const struct address *, struct sockaddr_storage *out);

/* 127.x.x.x or [::1] in numbers. A name that begins like one may belong to another host. */
bool address_is_loopback(const struct address *);
