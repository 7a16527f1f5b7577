/* The name that a mistyped word most likely means, for a hint. Keeps nothing; any thread. */
#pragma once

#include <stddef.h>

/* Of `n` names the one most like `word`, or NULL when none is like it. Dashes in front of a name
 * count for both alike. */
const char *nearest_name(const char *word, const char *const names[], size_t n);
