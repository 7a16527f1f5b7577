#include "daemon/core/transition.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Standard deviation over median absolute value, of normal noise. */
#define SIGMA_OF_MEDIAN 1.4826
/* A scale below this share of the values is rounding, not noise. */
#define ROUNDING 1e-9
/* Points from the middle of L to y: over so many d is measured. */
#define SPAN (TRANSITION_LAG + TRANSITION_LEVEL / 2.0)

const char *transition_direction_name(enum transition_direction direction)
{
    return direction == TRANSITION_FALL ? "fall" : "rise";
}

/* ---- medians ------------------------------------------------------------------------------- */

/* Sorts in place; n is small. */
static double median(double *values, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        double value = values[i];
        size_t at = i;

        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double median_y(const struct transition_place *places, size_t n)
{
    double values[TRANSITION_TRAIL];

    for (size_t i = 0; i < n; i++)
        values[i] = places[i].y;
    return median(values, n);
}

/* Appends to a window that keeps the newest `size`. */
static void slide(struct transition_place *window, size_t *n, size_t size,
                  struct transition_place place)
{
    if (*n == size) {
        memmove(window, window + 1, (size - 1) * sizeof *window);
        (*n)--;
    }
    window[(*n)++] = place;
}

/* What all scales know of the series. */
struct seen {
    double range; /* of y at the finest scale, behind its first points */
    double noise; /* s of the finest scale, before a passage if one is under way */
};

/* ---- a scale ------------------------------------------------------------------------------- */

static void note_deviation(struct transition_scale *c, double d)
{
    double values[TRANSITION_SCALE];
    size_t n;

    c->deviation[c->n_deviations++ % TRANSITION_SCALE] = d;
    n = c->n_deviations < TRANSITION_SCALE ? c->n_deviations : TRANSITION_SCALE;
    if (n < TRANSITION_SCALE_MIN)
        return;
    memcpy(values, c->deviation, n * sizeof *values);
    c->s = median(values, n);
}

/* Forgets the levels, not how far the series strays. */
static void begin_anew(struct transition_scale *c)
{
    if (c->is_moving)
        c->s = c->began_s;
    c->is_moving = false;
    c->n_block = c->n_raw = c->n_recent = c->n_deviations = 0;
}

static void keep_place(struct transition_scale *c, struct transition_place place)
{
    if (++c->skipped < c->stride)
        return;
    c->skipped = 0;
    if (c->n_trail == TRANSITION_TRAIL) {
        for (size_t i = 0; i < TRANSITION_TRAIL / 2; i++)
            c->trail[i] = c->trail[2 * i];
        c->n_trail /= 2;
        c->stride *= 2;
    }
    c->trail[c->n_trail++] = place;
}

static void start_moving(struct transition_scale *c, double level, double d, double s)
{
    c->is_moving = true;
    c->sign = d < 0 ? -1 : 1;
    c->from = level;
    c->began_s = s;
    c->gained = fabs(d);
    c->n_moved = TRANSITION_LAG;
    c->n_quiet = 0;
    c->n_trail = 0;
    c->stride = 1;
    c->skipped = 0;
    for (size_t i = 0; i < c->n_recent; i++)
        keep_place(c, c->recent[i]);
}

/* The steps at which the way was covered to 10 % for the last time before, and to 90 % for the
 * first time after. */
static void find_ends(const struct transition_scale *c, struct transition *out)
{
    size_t end = 0, start;

    while (end + 1 < c->n_trail &&
           c->sign * (c->trail[end].y - c->from) < (1 - TRANSITION_GAIN) * out->size)
        end++;
    start = end;
    while (start > 0 && c->sign * (c->trail[start].y - c->from) > TRANSITION_GAIN * out->size)
        start--;
    out->start = c->trail[start].step;
    out->end = c->trail[end].step;
}

/* Whether what has stopped was a transition, and which. */
static bool judge(const struct transition_scale *c, const struct seen *seen, struct transition *out)
{
    double spread[TRANSITION_QUIET], scale = fmax(c->began_s, seen->noise), sigma;

    assert(c->n_raw == TRANSITION_QUIET);
    out->to = median_y(c->raw, TRANSITION_QUIET);
    out->from = c->from;
    out->size = c->sign * (out->to - c->from);
    for (size_t i = 0; i < TRANSITION_QUIET; i++)
        spread[i] = fabs(c->raw[i].y - out->to);
    scale = fmax(scale, median(spread, TRANSITION_QUIET));
    if (!(out->size > TRANSITION_ACCEPT * scale) ||
        out->size < TRANSITION_MIN_SHARE * seen->range ||
        out->size * SPAN < TRANSITION_ENTER * c->began_s * (double)c->n_moved)
        return false;
    sigma = SIGMA_OF_MEDIAN * scale / out->size;
    out->direction = c->sign < 0 ? TRANSITION_FALL : TRANSITION_RISE;
    out->confidence = 1 - 4.0 / 9 * sigma * sigma;
    find_ends(c, out);
    return true;
}

/* MOVING: counts gains; true when it has stopped, and was a transition. */
static bool go_on(struct transition_scale *c, struct transition_place y, const struct seen *seen,
                  struct transition *out)
{
    double gain = c->sign * (y.y - c->from);

    keep_place(c, y);
    c->n_quiet++;
    if (gain >= (1 + TRANSITION_GAIN) * c->gained) {
        c->gained = gain;
        c->n_moved += c->n_quiet;
        c->n_quiet = 0;
    }
    if (gain < TRANSITION_BACK * c->gained) {
        c->is_moving = false;
        if (c->gained > TRANSITION_ACCEPT * c->began_s)
            c->n_recent = 0; /* the way back from an excursion is no transition */
        return false;
    }
    if (c->n_quiet < TRANSITION_QUIET ||
        (double)c->n_quiet < TRANSITION_QUIET_SHARE * (double)c->n_moved)
        return false;
    c->is_moving = false;
    return judge(c, seen, out);
}

/* Takes a point of this scale. */
static bool step_scale(struct transition_scale *c, struct transition_place x,
                       const struct seen *seen, struct transition *out)
{
    struct transition_place y;
    double level, d, s = c->s;

    slide(c->raw, &c->n_raw, TRANSITION_QUIET, x);
    if (c->n_raw < TRANSITION_SMOOTH)
        return false;
    /* the median belongs to the middle of its points */
    y.step = c->raw[c->n_raw - 1 - TRANSITION_SMOOTH / 2].step;
    y.y = median_y(c->raw + c->n_raw - TRANSITION_SMOOTH, TRANSITION_SMOOTH);
    slide(c->recent, &c->n_recent, TRANSITION_LEVEL + TRANSITION_LAG, y);
    if (c->n_recent < TRANSITION_LEVEL + TRANSITION_LAG)
        return false;
    level = median_y(c->recent, TRANSITION_LEVEL);
    d = y.y - level;
    note_deviation(c, fabs(d));
    if (c->is_moving)
        return go_on(c, y, seen, out);
    if (fabs(d) > TRANSITION_ENTER * fmax(s, ROUNDING * fabs(level)))
        start_moving(c, level, d, s);
    return false;
}

/* ---- all scales ---------------------------------------------------------------------------- */

void transition_init(struct transition_detector *t)
{
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < TRANSITION_SCALES; i++)
        t->scales[i].s = INFINITY;
}

/* Joins three points of a scale to one of the next; false while they are not three. */
static bool join(struct transition_scale *c, struct transition_place *x)
{
    c->block[c->n_block++] = *x;
    if (c->n_block < 3)
        return false;
    c->n_block = 0;
    x->y = median_y(c->block, 3);
    x->step = c->block[1].step;
    return true;
}

static void note_range(struct transition_detector *t)
{
    const struct transition_scale *c = &t->scales[0];
    double y;

    if (c->n_recent < TRANSITION_LEVEL + TRANSITION_LAG)
        return;
    y = c->recent[c->n_recent - 1].y;
    t->low = t->has_range ? fmin(t->low, y) : y;
    t->high = t->has_range ? fmax(t->high, y) : y;
    t->has_range = true;
}

bool transition_feed(struct transition_detector *t, int64_t step, double value,
                     struct transition *out)
{
    struct transition_place x = {step, value};
    const struct transition_scale *finest = &t->scales[0];
    struct seen seen = {t->high - t->low, finest->is_moving ? finest->began_s : finest->s};
    bool found = false;

    if (!isfinite(value) || (t->has_last && step <= t->last_step))
        return false;
    t->has_last = true;
    t->last_step = step;
    for (size_t i = 0; i < TRANSITION_SCALES && !found; i++) {
        found = step_scale(&t->scales[i], x, &seen, out);
        if (!join(&t->scales[i], &x))
            break;
    }
    note_range(t);
    for (size_t i = 0; found && i < TRANSITION_SCALES; i++)
        begin_anew(&t->scales[i]);
    return found;
}
