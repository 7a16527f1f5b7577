#include "client/ctl/figure/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* Digits after the point that tell multiples of `spacing` apart. */
static int decimals_of(double spacing)
{
    double digits = ceil(-log10(spacing) - 1e-9);

    return digits > 0 ? (int)fmin(digits, 9) : 0;
}

static void label_value(struct tick *t, double spacing)
{
    if (fabs(t->value) >= 1e6 || spacing < 1e-6)
        snprintf(t->label, sizeof t->label, "%.3g", t->value);
    else
        snprintf(t->label, sizeof t->label, "%.*f", decimals_of(spacing), t->value);
}

/* Steps are whole and large: 500, 20k, 1.5M. */
static void label_step(struct tick *t)
{
    static const struct {
        double unit;
        const char *suffix;
    } scale[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}};

    for (size_t i = 0; i < sizeof scale / sizeof scale[0]; i++) {
        double unit = scale[i].unit == 1e4 ? 1e3 : scale[i].unit;

        if (t->value < scale[i].unit)
            continue;
        snprintf(t->label, sizeof t->label, "%.6g%s", t->value / unit, scale[i].suffix);
        return;
    }
    snprintf(t->label, sizeof t->label, "%.6g", t->value);
}

static struct tick *add_tick(struct axis *a, double value)
{
    struct tick *t;

    if (a->n_ticks == AXIS_MAX_TICKS)
        return NULL;
    t = &a->ticks[a->n_ticks++];
    t->value = value;
    return t;
}

void axis_fit_values(struct axis *a, double low, double high, size_t wanted)
{
    double spacing, first, last;

    if (!(high - low > 1e-9 * fmax(fabs(low), fabs(high)))) {
        double room = low == 0 ? 1 : fabs(low) * 0.1;

        low -= room;
        high += room;
    }
    spacing = round_up((high - low) / (double)wanted);
    first = floor(low / spacing + 1e-9);
    last = ceil(high / spacing - 1e-9);
    *a = (struct axis){.low = first * spacing, .high = last * spacing};
    for (double k = first; k <= last; k++) {
        struct tick *t = add_tick(a, k == 0 ? 0 : k * spacing);

        if (t)
            label_value(t, spacing);
    }
}

static void linear_steps(struct axis *a, size_t wanted)
{
    double spacing = fmax(1, round_up((a->high - a->low) / (double)wanted));

    for (double v = ceil(a->low / spacing) * spacing; v <= a->high; v += spacing) {
        struct tick *t = add_tick(a, v);

        if (t)
            label_step(t);
    }
}

/* Ticks at `digits` times each power of ten inside the range; all or none of a power's. */
static void log_steps(struct axis *a, const char *digits)
{
    a->n_ticks = 0;
    for (double power = 1; power <= a->high; power *= 10) {
        for (const char *d = digits; *d; d++) {
            double value = power * (*d - '0');
            struct tick *t;

            if (value < a->low || value > a->high)
                continue;
            t = add_tick(a, value);
            if (t)
                label_step(t);
        }
    }
}

void axis_fit_steps(struct axis *a, double low, double high, bool log, size_t wanted)
{
    static const char *const digits[] = {"1", "125", "123456789"};

    if (high - low < 1)
        high = low + 1;
    *a = (struct axis){.low = low, .high = high, .log = log};
    for (size_t i = 0; log && i < 3 && a->n_ticks < 3; i++)
        log_steps(a, digits[i]);
    if (a->n_ticks < 3) {
        a->n_ticks = 0;
        linear_steps(a, wanted);
    }
}

double axis_position(const struct axis *a, double value)
{
    if (a->log)
        return (log1p(value) - log1p(a->low)) / (log1p(a->high) - log1p(a->low));
    return (value - a->low) / (a->high - a->low);
}
