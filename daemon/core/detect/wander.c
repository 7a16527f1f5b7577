#include "daemon/core/detect/wander.h"

#include <math.h>

/* What came by wander_leave is forgotten over so many places. */
#define MEMORY 512.0

/* Distances at which the wandering is measured: below WANDER_LEVEL of points, from there on of
 * levels, which then share no point. */
static const size_t lags[WANDER_LAGS] = {1, 2, 4, 8, 16, WANDER_LAG_MAX};

static double square(double x)
{
    return x * x;
}

static void take_level(struct wander *wander, double level)
{
    wander->low = fmin(wander->low, level);
    wander->high = fmax(wander->high, level);
}

/* Adds the square of how far the series went in the `lag` places before `to`. */
static void add_stray(struct wander_stray *stray, size_t lag, const struct wander_place *to)
{
    const struct wander_place *from = to - lag;
    double d = lag < WANDER_LEVEL ? to->x - from->x : to->level - from->level;

    stray->n++;
    stray->sum += square(d);
    if (lag >= WANDER_LEVEL)
        stray->known += square(from->level_se) + square(to->level_se);
}

void wander_extend(struct wander *wander, const struct wander_place *to, size_t n)
{
    take_level(wander, to->level);
    for (size_t k = 0; k < WANDER_LAGS && lags[k] <= n; k++)
        add_stray(&wander->stray[k], lags[k], to);
}

void wander_leave(struct wander *wander, const struct wander_place *oldest)
{
    take_level(wander, oldest->level);
    for (size_t k = 0; k < WANDER_LAGS; k++) {
        struct wander_stray *stray = &wander->stray[k];
        double kept = stray->n < MEMORY ? 1 : 1 - 1 / MEMORY;

        *stray = (struct wander_stray){kept * stray->n, kept * stray->sum, kept * stray->known};
        add_stray(stray, lags[k], oldest + lags[k]);
    }
}

/* g: variance of the way of a random walk in so many places, in steps: of points, or of the means
 * of w points. */
static double growth(size_t lag)
{
    return (double)lag - (lag < WANDER_LEVEL ? 0 : WANDER_LEVEL / 3.0);
}

double wander_variance(const struct wander *wander, size_t m, double z2)
{
    double bound = INFINITY, seen = 0, last = 0;

    for (size_t k = 0; k < WANDER_LAGS && lags[k] <= m; k++) {
        const struct wander_stray *stray = &wander->stray[k];
        double mean = stray->sum / stray->n, known = stray->known / stray->n;
        double n_free = stray->n / (double)lags[k] + 1;
        double grown = fmax(1, growth(m) / growth(lags[k]));

        if (stray->n < (double)lags[k])
            break;
        bound = fmin(bound, grown * fmax(0, exp((z2 + 1) / (2 * n_free)) * mean - known));
        if (lags[k] >= WANDER_LEVEL) {
            seen = fmax(seen, mean - known);
            last = grown * (mean - known);
        }
    }
    return fmax(bound, fmax(seen, last));
}
