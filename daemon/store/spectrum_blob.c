#include "daemon/store/spectrum_blob.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/store/blob.h"

void *spectrum_encode(const struct spectrum *spectrum, size_t *size)
{
    size_t n_arrays = 1 + (spectrum->u != NULL) + (spectrum->q != NULL);
    char *data;

    *size = n_arrays * spectrum->n_values * sizeof(double);
    data = malloc(*size ? *size : 1);
    if (data)
        blob_put(blob_put(blob_put(data, spectrum->rho, spectrum->n_values), spectrum->u,
                          spectrum->n_values),
                 spectrum->q, spectrum->n_values);
    return data;
}

struct spectrum *spectrum_decode(const void *data, size_t size, size_t n_values)
{
    size_t one = n_values * sizeof(double), n_arrays = one ? size / one : 0;
    struct spectrum *spectrum;

    errno = EUCLEAN;
    if (n_values == 0 || n_values > SPECTRUM_P_MAX || size != n_arrays * one || n_arrays < 1 ||
        n_arrays > 3)
        return NULL;
    errno = ENOMEM;
    spectrum = spectrum_alloc((uint32_t)n_values, n_arrays > 1, n_arrays > 2);
    if (spectrum)
        blob_get(blob_get(blob_get(data, spectrum->rho, n_values), spectrum->u, n_values),
                 spectrum->q, n_values);
    return spectrum;
}
