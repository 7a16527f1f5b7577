#include "daemon/core/measure/separation.h"

#include <math.h>
#include <stdbool.h>

#define LAYERS_MIN 3

struct sums {
    double n, x, y, xx, xy, yy;
};

static bool is_on_line(double nc1)
{
    return nc1 > 0 && isfinite(nc1);
}

/* Of deviations from the means, x = the layer's number, y = ln nc1. */
static struct sums sum_deviations(size_t n, const double *nc1)
{
    struct sums s = {0};

    for (size_t i = 0; i < n; i++) {
        if (!is_on_line(nc1[i]))
            continue;
        s.n++;
        s.x += (double)i;
        s.y += log(nc1[i]);
    }
    for (size_t i = 0; i < n; i++) {
        double x = (double)i - s.x / s.n, y;

        if (!is_on_line(nc1[i]))
            continue;
        y = log(nc1[i]) - s.y / s.n;
        s.xx += x * x;
        s.xy += x * y;
        s.yy += y * y;
    }
    return s;
}

struct separation separation_fit(size_t n, const double *nc1)
{
    struct sums s = sum_deviations(n, nc1);
    double none = (double)NAN;

    if (s.n < LAYERS_MIN)
        return (struct separation){(size_t)s.n, none, none};
    return (struct separation){
        .n_layers = (size_t)s.n,
        .slope = s.xy / s.xx,
        .r2 = s.yy > 0 ? s.xy * s.xy / (s.xx * s.yy) : none,
    };
}
