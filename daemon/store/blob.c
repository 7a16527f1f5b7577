#include "daemon/store/blob.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

char *blob_put(char *at, const double *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++, at += sizeof(uint64_t)) {
        uint64_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        bits = htole64(bits);
        memcpy(at, &bits, sizeof bits);
    }
    return at;
}

const char *blob_get(const char *at, double *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++, at += sizeof(uint64_t)) {
        uint64_t bits;

        memcpy(&bits, at, sizeof bits);
        bits = le64toh(bits);
        memcpy(&values[i], &bits, sizeof bits);
    }
    return at;
}
