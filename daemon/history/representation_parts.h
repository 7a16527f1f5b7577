/* What a run kept of its probe's rows, as the files about it share it: representation.c finds it
 * and lists it, representation_map.c compares it. Threads as in history.h. Tested with its files by
 * test_representation.c. */
#pragma once

#include "daemon/history/db.h"

struct kept {
    int64_t layer_key, attempt, step, n_rows;
    char layer[LAYER_NAME_MAX + 1];
};

/* One side of a map: in the order of the layers, then of the steps. */
struct map_side {
    int64_t run_key;
    char run[RUN_ID_MAX + 1];
    struct kept *kept; /* free with free, also after a failure */
    size_t n, capacity;
};

/* All that the run kept of those layers (NULL: of all) in those steps, but what a newer attempt
 * superseded. `side` starts as {0}. */
int representation_find(struct history *, const char *run, const cJSON *layers, int64_t from,
                        int64_t to, struct map_side *side, struct err *err);

/* Whether the layer of the i-th ends with it. */
bool representation_is_last(const struct map_side *, size_t i);
