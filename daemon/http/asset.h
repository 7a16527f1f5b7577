/* The page's files, which are part of the binary (embed.sh writes the table). Constant data,
 * any thread; reply.c sends them. Tested by tests/e2e/read/test_http.py. */
#pragma once

#include <stddef.h>

/* As it is, and compressed by what browsers take: all take gzip, and Brotli on loopback and over
 * TLS. */
enum http_coding {
    HTTP_PLAIN,
    HTTP_GZIP,
    HTTP_BROTLI,
    HTTP_CODINGS,
};

/* The words of `content-encoding`, by number; NULL for HTTP_PLAIN. */
extern const char *const http_coding_names[HTTP_CODINGS];

struct http_asset {
    const char *path; /* below /, without it: "index.html"; NULL ends the table */
    const char *type;
    const char *hash; /* of the content, 16 hexadecimal digits */
    struct http_form {
        const unsigned char *data, *end;
    } forms[HTTP_CODINGS];
};

extern const struct http_asset http_assets[];

/* The file for a request's path, "/" being index.html; NULL when there is none. */
const struct http_asset *http_asset_find(const char *path);
