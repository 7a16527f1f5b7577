/* The head of an HTTP/1.1 response, as text. Stateless, any thread; reply.c sends it, and the
 * body. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer than any head of ours: the longest has the policies below and an address or two. */
#define HTTP_HEAD_MAX 2048

enum http_code {
    HTTP_OK = 200,
    HTTP_NOT_MODIFIED = 304,
    HTTP_BAD_REQUEST = 400,
    HTTP_UNAUTHORIZED = 401,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_NO_METHOD = 405,
    HTTP_NO_LENGTH = 411,
    HTTP_BODY_TOO_LARGE = 413,
    HTTP_NO_TYPE = 415,
    HTTP_NOT_EXPECTED = 417,
    HTTP_MISDIRECTED = 421,
    HTTP_NO_UPGRADE = 426,
    HTTP_TOO_MANY = 429,
    HTTP_HEAD_TOO_LARGE = 431,
    HTTP_FAILED = 500,
    HTTP_UNAVAILABLE = 503,
    HTTP_NO_VERSION = 505,
};

struct http_head {
    enum http_code status;
    const char *type;   /* NULL: no body */
    const char *etag;   /* NULL: none; with its quotes */
    const char *coding; /* of the body: "gzip", "br"; NULL: as it is */
    bool endless;       /* the body ends with the connection; `length` means nothing */
    bool close;         /* the connection ends with this answer */
    uint64_t length;    /* of the body */
    const char *allow;  /* of 405: the methods that the path has; NULL: GET and HEAD */
    unsigned wait_s;    /* of 429: until the next try; 0: it is not said */
};

/* Writes the head with its empty line; returns its length, which is below HTTP_HEAD_MAX. */
size_t http_head_write(const struct http_head *, char out[HTTP_HEAD_MAX]);
