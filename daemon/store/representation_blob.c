#include "daemon/store/representation_blob.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t blob_size(size_t n)
{
    return representation_n_values(n) * sizeof(uint32_t);
}

void *representation_encode(const struct representation *representation, size_t *size)
{
    char *data;

    *size = blob_size(representation->n);
    data = malloc(*size);
    for (size_t i = 0; data && i < representation_n_values(representation->n); i++) {
        uint32_t bits;

        memcpy(&bits, &representation->kernel[i], sizeof bits);
        bits = htole32(bits);
        memcpy(data + i * sizeof bits, &bits, sizeof bits);
    }
    return data;
}

int representation_decode(const void *data, size_t size, int64_t n_rows, struct representation *out)
{
    int rc;

    *out = (struct representation){0};
    if (n_rows < REPRESENTATION_ROWS_MIN || n_rows > UINT16_MAX ||
        size != blob_size(representation_rows((size_t)n_rows)))
        return -EUCLEAN;
    rc = data ? representation_alloc(out, (size_t)n_rows) : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < representation_n_values(out->n); i++) {
        uint32_t bits;

        memcpy(&bits, (const char *)data + i * sizeof bits, sizeof bits);
        bits = le32toh(bits);
        memcpy(&out->kernel[i], &bits, sizeof bits);
        if (!isfinite(out->kernel[i]))
            rc = -EUCLEAN;
    }
    if (rc < 0)
        representation_release(out);
    return rc;
}
