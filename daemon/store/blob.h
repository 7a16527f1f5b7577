/* Arrays of doubles as the store keeps them: f64, little-endian, wherever the file was written.
 * Pure; any thread. */
#pragma once

#include <stddef.h>

/* Writes `n` values at `at`, or reads them from it; nothing for values NULL. Both return what
 * follows in the blob. */
char *blob_put(char *at, const double *values, size_t n);
const char *blob_get(const char *at, double *values, size_t n);
