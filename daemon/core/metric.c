#include "daemon/core/metric.h"

#include <assert.h>
#include <string.h>

const struct metric_info metric_table[METRIC_COUNT] = {
#define X(ENUM, name, unit, needs, sentence) [METRIC_##ENUM] = {#name, unit, needs, sentence},
    METRICS(X)
#undef X
};

int metric_find(const char *name)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (strcmp(metric_table[i].name, name) == 0)
            return i;
    }
    return -1;
}

const char *flag_name(int i)
{
    static const char *const names[FLAG_COUNT] = {
        "degenerate",    "small_sample",    "partial",     "low_precision", "constant",
        "not_converged", "classes_missing", "no_spectrum", "row_form",
    };

    assert(i >= 0 && i < FLAG_COUNT);
    return names[i];
}
