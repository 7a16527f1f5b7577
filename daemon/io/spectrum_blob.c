#include "daemon/io/spectrum_blob.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char *put(char *at, const double *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++, at += sizeof(uint64_t)) {
        uint64_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        bits = htole64(bits);
        memcpy(at, &bits, sizeof bits);
    }
    return at;
}

static const char *get(const char *at, double *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++, at += sizeof(uint64_t)) {
        uint64_t bits;

        memcpy(&bits, at, sizeof bits);
        bits = le64toh(bits);
        memcpy(&values[i], &bits, sizeof bits);
    }
    return at;
}

void *spectrum_encode(const struct spectrum *s, size_t *size)
{
    size_t n_arrays = 1 + (s->u != NULL) + (s->q != NULL);
    char *data;

    *size = n_arrays * s->n_values * sizeof(double);
    data = malloc(*size ? *size : 1);
    if (data)
        put(put(put(data, s->rho, s->n_values), s->u, s->n_values), s->q, s->n_values);
    return data;
}

struct spectrum *spectrum_decode(const void *data, size_t size, size_t n_values)
{
    size_t one = n_values * sizeof(double), n_arrays = one ? size / one : 0;
    struct spectrum *s;

    errno = EUCLEAN;
    if (n_values == 0 || n_values > SPECTRUM_P_MAX || size != n_arrays * one || n_arrays > 3)
        return NULL;
    errno = ENOMEM;
    s = spectrum_alloc((uint32_t)n_values, n_arrays > 1, n_arrays > 2);
    if (s)
        get(get(get(data, s->rho, n_values), s->u, n_values), s->q, n_values);
    return s;
}
