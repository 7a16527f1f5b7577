#include "daemon/http/asset.h"

#include <string.h>

const char *const http_coding_names[HTTP_CODINGS] = {NULL, "gzip", "br"};

const struct http_asset *http_asset_find(const char *path)
{
    const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;

    if (*path != '/')
        return NULL;
    for (const struct http_asset *asset = http_assets; asset->path; asset++) {
        if (strcmp(asset->path, name) == 0)
            return asset;
    }
    return NULL;
}
