/* The page's files, which are part of the binary (embed.sh writes the table). Constant data,
 * any thread; reply.c sends them. Tested by tests/e2e/read/test_http.py. */
#pragma once

#include <stddef.h>

struct http_asset {
    const char *path; /* below /, without it: "index.html"; NULL ends the table */
    const char *type;
    const char *hash; /* of the content, 16 hexadecimal digits */
    const unsigned char *data, *data_end;
    const unsigned char *gzip, *gzip_end;
};

extern const struct http_asset http_assets[];

/* The file for a request's path, "/" being index.html; NULL when there is none. */
const struct http_asset *http_asset_find(const char *path);
