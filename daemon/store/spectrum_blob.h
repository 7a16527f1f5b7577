/* A spectrum as the store keeps it: the arrays rho, u and q one after the other, each value an f64,
 * little-endian. The numbers beside them are columns of their own (schema.c). Pure; any
 * thread. */
#pragma once

#include <stddef.h>

#include "daemon/core/measure/spectrum.h"

/* Returns the bytes (free with free), or NULL. */
void *spectrum_encode(const struct spectrum *, size_t *size);

/* A spectrum of n_values with the arrays that `size` bytes hold: one, two or three. Returns it
 * (free with spectrum_free), or NULL: out of memory, with errno ENOMEM, or no such size, with
 * EUCLEAN. */
struct spectrum *spectrum_decode(const void *data, size_t size, size_t n_values);
