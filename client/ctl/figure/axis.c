#include "client/ctl/figure/axis.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Values beyond stand at the edge: twice as much is still a double. */
#define VALUE_MAX 1e300
/* Values that are closer are one value: their distance has a logarithm and can be divided. */
#define DISTANCE_MIN 1e-300
/* Steps are at least so far apart, as a share of them: their logarithms differ. */
#define STEP_SHARE 1e-9

/* The nearest of 1, 2, 5 times a power of ten that is not below `raw`. */
static double round_up(double raw)
{
    double power = pow(10, floor(log10(raw)));
    double digit = raw / power;

    /* A hair of room, so that 0.1 * 3 / 3 does not become the next one. */
    if (digit <= 1 + 1e-9)
        return power;
    return (digit <= 2 + 1e-9 ? 2 : digit <= 5 + 1e-9 ? 5 : 10) * power;
}

/* Digits after the point that multiples of `spacing` need to differ. */
static int decimals_of(double spacing)
{
    double digits = ceil(-log10(spacing) - 1e-9);

    return digits > 0 ? (int)fmin(digits, 9) : 0;
}

static void label_value(struct tick *tick, double spacing)
{
    if (fabs(tick->value) >= 1e6 || spacing < 1e-6)
        snprintf(tick->label, sizeof tick->label, "%.3g", tick->value);
    else
        snprintf(tick->label, sizeof tick->label, "%.*f", decimals_of(spacing), tick->value);
}

/* Steps are whole and large: 500, 20k, 1.5M. */
static void label_step(struct tick *tick)
{
    static const struct {
        double unit;
        const char *suffix;
    } scale[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}};

    for (size_t i = 0; i < sizeof scale / sizeof scale[0]; i++) {
        double unit = scale[i].unit == 1e4 ? 1e3 : scale[i].unit;

        if (tick->value < scale[i].unit)
            continue;
        snprintf(tick->label, sizeof tick->label, "%.6g%s", tick->value / unit, scale[i].suffix);
        return;
    }
    snprintf(tick->label, sizeof tick->label, "%.6g", tick->value);
}

static struct tick *add_tick(struct axis *axis, double value)
{
    struct tick *tick;

    if (axis->n_ticks == AXIS_MAX_TICKS)
        return NULL;
    tick = &axis->ticks[axis->n_ticks++];
    tick->value = value;
    return tick;
}

static double within_bounds(double value)
{
    return fmin(fmax(value, -VALUE_MAX), VALUE_MAX);
}

void axis_fit_values(struct axis *axis, double low, double high, size_t wanted)
{
    double spacing, first, last;

    assert(isfinite(low) && isfinite(high) && low <= high && wanted > 0);
    low = within_bounds(low);
    high = within_bounds(high);
    if (!(high - low > fmax(1e-9 * fmax(fabs(low), fabs(high)), DISTANCE_MIN))) {
        double room = fabs(low) <= DISTANCE_MIN ? 1 : fabs(low) * 0.1;

        low -= room;
        high += room;
    }
    spacing = round_up((high - low) / (double)wanted);
    first = floor(low / spacing + 1e-9);
    last = ceil(high / spacing - 1e-9);
    *axis = (struct axis){.low = first * spacing, .high = last * spacing};
    for (double k = first; k <= last; k++) {
        struct tick *tick = add_tick(axis, k == 0 ? 0 : k * spacing);

        if (tick)
            label_value(tick, spacing);
    }
}

static void linear_steps(struct axis *axis, size_t wanted)
{
    double spacing = fmax(1, round_up((axis->high - axis->low) / (double)wanted));

    for (double v = ceil(axis->low / spacing) * spacing; v <= axis->high; v += spacing) {
        struct tick *tick = add_tick(axis, v);

        if (tick)
            label_step(tick);
    }
}

/* Ticks at `digits` times each power of ten inside the range; all or none of a power's. */
static void log_steps(struct axis *axis, const char *digits)
{
    axis->n_ticks = 0;
    for (double power = 1; power <= axis->high; power *= 10) {
        for (const char *d = digits; *d; d++) {
            double value = power * (*d - '0');
            struct tick *tick;

            if (value < axis->low || value > axis->high)
                continue;
            tick = add_tick(axis, value);
            if (tick)
                label_step(tick);
        }
    }
}

void axis_fit_steps(struct axis *axis, double low, double high, bool log, size_t wanted)
{
    static const char *const digits[] = {"1", "125", "123456789"};

    assert(low >= 0 && low <= high && isfinite(high) && wanted > 0);
    high = fmax(high, low + fmax(1, STEP_SHARE * low));
    *axis = (struct axis){.low = low, .high = high, .log = log};
    for (size_t i = 0; log && i < 3 && axis->n_ticks < 3; i++)
        log_steps(axis, digits[i]);
    if (axis->n_ticks < 3) {
        axis->n_ticks = 0;
        linear_steps(axis, wanted);
    }
}

double axis_position(const struct axis *axis, double value)
{
    assert(axis->high > axis->low);
    if (axis->log)
        return (log1p(value) - log1p(axis->low)) / (log1p(axis->high) - log1p(axis->low));
    return (within_bounds(value) - axis->low) / (axis->high - axis->low);
}
