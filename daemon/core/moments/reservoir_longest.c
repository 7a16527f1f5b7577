/* The longest rows of a window, beside the sample. Tested by test_reservoir.c. */
#include <math.h>

#include "daemon/core/moments/reservoir.h"

/* The shortest of the longest rows. */
static size_t find_shortest(const struct reservoir *reservoir)
{
    size_t at = 0;

    for (size_t i = 1; i < reservoir->n_longest; i++) {
        if (reservoir->longest_key[i] < reservoir->longest_key[at])
            at = i;
    }
    return at;
}

/* Of rows that are forgotten the older one weighs less by the same factor ever after, so their
 * order never changes: the key is the logarithm, plus the row's number in half-lives. Rows that are
 * equally long stay as they came. */
size_t reservoir_offer(struct reservoir *reservoir, size_t i, size_t n, double square)
{
    double key = log2(square);
    size_t at = reservoir->n_longest;

    if (reservoir->half_life_rows > 0)
        key += (double)(reservoir->n_seen + n) / reservoir->half_life_rows;
    if (at == RESERVOIR_LONGEST) {
        at = find_shortest(reservoir);
        if (!(key > reservoir->longest_key[at]))
            return RESERVOIR_NONE;
    } else {
        reservoir->n_longest++;
    }
    reservoir->longest_key[at] = key;
    reservoir->longest_row[at] = reservoir->n_seen + i;
    return reservoir_capacity(reservoir) + at;
}

struct reservoir_group reservoir_longest(const struct reservoir *reservoir, size_t i)
{
    return (struct reservoir_group){.at = reservoir_capacity(reservoir) + i,
                                    .n = 1,
                                    .age = reservoir->n_seen - 1 - reservoir->longest_row[i]};
}
