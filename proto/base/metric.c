#include "proto/base/metric.h"

#include <string.h>

const struct metric_info metric_table[METRIC_COUNT] = {
#define X(ENUM, name, unit, needs, sentence, read_as)                                              \
    [METRIC_##ENUM] = {#name, unit, needs, sentence, read_as},
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

const struct flag_info flag_table[FLAG_COUNT] = {
#define X(ENUM, name, sentence) [FLAG_BIT_##ENUM] = {#name, sentence},
    FLAGS(X)
#undef X
};
