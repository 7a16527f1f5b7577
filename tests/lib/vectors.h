/* The golden vectors of proto/vectors, read for a test: files, their JSON, hex. A test runs in the
 * repository's root, as `make unit` does. Whatever cannot be read ends the test: a vector that is
 * not found must not pass. */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

/* The array in proto/vectors/NAME.json. Free with cJSON_Delete. */
cJSON *vectors_read(const char *name);

/* The first example of JSON on a page of proto (NAME.md) behind the line that begins with `above`.
 * Free with cJSON_Delete. */
cJSON *vectors_example(const char *name, const char *above);

/* The text of a string member that has to be there; borrowed from `vector`. */
const char *vectors_text(const cJSON *vector, const char *name);

/* The bytes written in hex, in a block of exactly that size, so that a read past its end is seen by
 * the sanitizer. Free with free(). */
unsigned char *vectors_bytes(const char *hex, size_t *size);
