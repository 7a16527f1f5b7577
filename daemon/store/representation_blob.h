/* A representation as the store keeps it: the kernel's triangle, each element an f32,
 * little-endian. The number of the window's rows is a column of its own (schema.c), from which the
 * size follows. Pure; any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/measure/representation.h"

/* Returns the bytes (free with free), or NULL. */
void *representation_encode(const struct representation *, size_t *size);

/* Returns 0 with a representation (release with representation_release); -ENOMEM; or -EUCLEAN: no
 * window of n_rows has `size` bytes, or an element is not finite. */
int representation_decode(const void *data, size_t size, int64_t n_rows,
                          struct representation *out);
