#include "daemon/core/monitor/claims.h"

#include <stdlib.h>
#include <string.h>

struct claims *claims_new(const struct checkpoint_layer *layers, size_t n)
{
    size_t size = sizeof(struct claims) + n * sizeof *layers;
    struct claims *claims;
    char *name;

    for (size_t i = 0; i < n; i++)
        size += strlen(layers[i].name) + 1;
    claims = malloc(size);
    if (!claims)
        return NULL;
    claims->n = n;
    claims->size_bytes = size;
    name = (char *)&claims->layers[n];
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(layers[i].name) + 1;

        claims->layers[i] = layers[i];
        claims->layers[i].name = memcpy(name, layers[i].name, length);
        name += length;
    }
    return claims;
}
