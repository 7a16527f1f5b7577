#include "proto/base/metric.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const struct metric_info metric_table[METRIC_COUNT] = {
#define X(ENUM, name, unit, needs, sentence, read_as)                                              \
    [METRIC_##ENUM] = {#name, unit, needs, sentence, read_as},
    METRICS(X)
#undef X
};

const struct metric_ends metric_ends[METRIC_COUNT] = {
#define X(ENUM, low, high) [METRIC_##ENUM] = {low, high},
    METRIC_ENDS(X)
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

static const struct {
    const char *plain, *corrected;
} corrections[] = {
#define X(plain, corrected) {#plain, #corrected},
    METRIC_CORRECTIONS(X)
#undef X
};
#define N_CORRECTIONS (sizeof corrections / sizeof corrections[0])

int metric_corrected(int metric)
{
    assert(metric >= 0 && metric < METRIC_COUNT);
    for (size_t i = 0; i < N_CORRECTIONS; i++) {
        int corrected = metric_find(corrections[i].corrected);

        if (corrected >= 0 && strcmp(corrections[i].plain, metric_table[metric].name) == 0)
            return corrected;
    }
    return metric;
}

int metric_plain(int metric)
{
    assert(metric >= 0 && metric < METRIC_COUNT);
    for (size_t i = 0; i < N_CORRECTIONS; i++) {
        if (strcmp(corrections[i].corrected, metric_table[metric].name) == 0)
            return metric_find(corrections[i].plain);
    }
    return metric;
}

const struct flag_info flag_table[FLAG_COUNT] = {
#define X(ENUM, name, sentence) [FLAG_BIT_##ENUM] = {#name, sentence},
    FLAGS(X)
#undef X
};
