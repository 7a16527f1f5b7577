#include "proto/base/nearest.h"

#include <assert.h>
#include <string.h>

/* Edits that turn one word into the other (Levenshtein), with the usual single row. */
static size_t distance(const char *left, const char *right)
{
    size_t row[32], length = strlen(right);

    if (length >= 32)
        return length;
    for (size_t k = 0; k <= length; k++)
        row[k] = k;
    for (size_t i = 1; left[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t k = 1; k <= length; k++) {
            size_t best = diagonal + (left[i - 1] != right[k - 1]);

            diagonal = row[k];
            best = row[k] + 1 < best ? row[k] + 1 : best;
            row[k] = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
        }
    }
    return row[length];
}

const char *nearest_name(const char *word, const char *const names[], size_t n)
{
    const char *nearest = NULL;
    size_t least = 4;

    assert(word && names);
    for (size_t i = 0; i < n; i++) {
        size_t edits = distance(word, names[i]);

        /* of a name's letters, half may be wrong */
        if (edits < least && 2 * edits <= strlen(names[i] + strspn(names[i], "-"))) {
            least = edits;
            nearest = names[i];
        }
    }
    return nearest;
}
