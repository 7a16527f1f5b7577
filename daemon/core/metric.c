#include "daemon/core/metric.h"

#include <assert.h>
#include <string.h>

const struct metric_info metric_table[METRIC_COUNT] = {
    [METRIC_D_LR] = {"d_lr", "1", "1 - CKA(T, T_MP): 0 is rich, 1 is lazy"},
    [METRIC_D_DEBIASED] = {"d_debiased", "1", "d_lr corrected for the finite number of rows"},
    [METRIC_U] = {"u", "1", "share of the feature variance inside the learned function space"},
    [METRIC_PR] = {"pr", "1", "participation ratio of the features"},
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
        "degenerate", "small_sample", "partial", "low_precision", "constant", "not_converged",
    };

    assert(i >= 0 && i < FLAG_COUNT);
    return names[i];
}
