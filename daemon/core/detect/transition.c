#include "daemon/core/detect/transition.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Standard deviation over median absolute value, of normal noise. */
#define SIGMA_OF_MEDIAN 1.4826
/* A scale below this share of the values is rounding, not noise. */
#define ROUNDING 1e-9
/* Share of the way covered at the start, and left at the end. */
#define EDGE 0.1
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
    double range;  /* of y at the finest scale, behind its first points */
    double noise;  /* s of the finest scale, before a passage if one is under way */
    double wander; /* w */
};

/* ---- a passage ----------------------------------------------------------------------------- */

static void trail_init(struct transition_trail *t)
{
    t->n = t->skipped = 0;
    t->stride = 1;
}

static void trail_keep(struct transition_trail *t, struct transition_place place)
{
    if (++t->skipped < t->stride)
        return;
    t->skipped = 0;
    if (t->n == TRANSITION_TRAIL) {
        for (size_t i = 0; i < TRANSITION_TRAIL / 2; i++)
            t->places[i] = t->places[2 * i];
        t->n /= 2;
        t->stride *= 2;
    }
    t->places[t->n++] = place;
}

/* Begins at y, `n_moved` points behind the level; its trail is left to the caller. */
static void passage_begin(struct transition_passage *p, double from, double y, double scale,
                          uint64_t n_moved)
{
    p->is_moving = true;
    p->sign = y < from ? -1 : 1;
    p->from = from;
    p->scale = scale;
    p->slope = 0;
    p->gained = fabs(y - from);
    p->n_moved = n_moved;
    trail_init(&p->trail);
}

/* Points at the end of a passage that have to be quiet. */
static uint64_t quiet_points(const struct transition_passage *p)
{
    uint64_t share = (uint64_t)ceil(p->quiet * (double)p->n_moved);

    return share > TRANSITION_QUIET ? share : TRANSITION_QUIET;
}

/* Whether they brought no gain worth the name upon what was gained before them. */
static bool is_quiet(const struct transition_passage *p)
{
    size_t n = (size_t)((quiet_points(p) + p->trail.stride - 1) / p->trail.stride);
    double before = 0;

    for (size_t i = 0; i + n < p->trail.n; i++)
        before = fmax(before, p->sign * (p->trail.places[i].y - p->from));
    return p->gained < (1 + TRANSITION_GAIN) * before;
}

enum progress { GOES_ON, WENT_BACK, STOPPED };

static enum progress passage_go_on(struct transition_passage *p, struct transition_place y)
{
    double gain = p->sign * (y.y - p->from);

    trail_keep(&p->trail, y);
    p->n_moved++;
    p->gained = fmax(p->gained, gain);
    if (gain < TRANSITION_BACK * p->gained) {
        p->is_moving = false;
        return WENT_BACK;
    }
    if (!is_quiet(p))
        return GOES_ON;
    p->is_moving = false;
    return STOPPED;
}

/* The steps at which the way was covered to 10 % for the last time before, and to 90 % for the
 * first time after. */
static void find_ends(const struct transition_passage *p, struct transition *out)
{
    const struct transition_place *places = p->trail.places;
    size_t end = 0, start;

    while (end + 1 < p->trail.n && p->sign * (places[end].y - p->from) < (1 - EDGE) * out->size)
        end++;
    start = end;
    while (start > 0 && p->sign * (places[start].y - p->from) > EDGE * out->size)
        start--;
    out->start = places[start].step;
    out->end = places[end].step;
}

/* Whether what has stopped at the last QUIET points, `raw`, was a transition, and which. */
static bool passage_judge(const struct transition_passage *p, const struct transition_place *raw,
                          const struct seen *seen, struct transition *out)
{
    double spread[TRANSITION_QUIET], scale, sigma;

    out->to = median_y(raw, TRANSITION_QUIET);
    out->from = p->from;
    out->size = p->sign * (out->to - p->from);
    for (size_t i = 0; i < TRANSITION_QUIET; i++)
        spread[i] = fabs(raw[i].y - out->to);
    scale = fmax(fmax(p->scale, seen->noise), median(spread, TRANSITION_QUIET));
    if (!(out->size > TRANSITION_ACCEPT * scale) ||
        out->size < TRANSITION_MIN_SHARE * seen->range ||
        out->size < p->slope * (double)(p->n_moved - quiet_points(p)))
        return false;
    sigma = SIGMA_OF_MEDIAN * scale / out->size;
    out->direction = p->sign < 0 ? TRANSITION_FALL : TRANSITION_RISE;
    out->confidence = 1 - 4.0 / 9 * sigma * sigma;
    find_ends(p, out);
    return true;
}

struct band {
    double middle, half; /* half its width, h */
    double wander; /* what is left of h when the way from its first to its last is not counted */
};

/* Where the series was in the first half of its stay. */
static struct band find_band(const struct transition_trail *stay)
{
    double low = stay->n > 0 ? stay->places[0].y : 0, high = low, way;

    for (size_t i = 1; i < stay->n / 2; i++) {
        low = fmin(low, stay->places[i].y);
        high = fmax(high, stay->places[i].y);
    }
    way = stay->n / 2 > 0 ? fabs(stay->places[stay->n / 2 - 1].y - stay->places[0].y) : 0;
    return (struct band){(low + high) / 2, (high - low) / 2, (high - low - way) / 2};
}

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
    if (c->passage.is_moving)
        c->s = c->began_s;
    c->passage.is_moving = false;
    c->n_block = c->n_raw = c->n_recent = c->n_deviations = 0;
}

/* IDLE -> MOVING. */
static void start_moving(struct transition_scale *c, double level, double y, double s,
                         double wander)
{
    passage_begin(&c->passage, level, y, fmax(s, wander), TRANSITION_LAG);
    c->began_s = s;
    c->passage.slope = TRANSITION_ENTER * s / SPAN;
    c->passage.quiet = TRANSITION_QUIET_MOVING;
    for (size_t i = 0; i < c->n_recent; i++)
        trail_keep(&c->passage.trail, c->recent[i]);
}

/* MOVING; true when the passage has stopped, and was a transition. */
static bool go_on(struct transition_scale *c, struct transition_place y, const struct seen *seen,
                  struct transition *out)
{
    struct transition_passage *p = &c->passage;

    switch (passage_go_on(p, y)) {
    case GOES_ON:
        return false;
    case WENT_BACK:
        if (p->gained > TRANSITION_ACCEPT * c->began_s)
            c->n_recent = 0; /* the way back from an excursion is no transition */
        return false;
    case STOPPED:
        break;
    }
    return passage_judge(p, c->raw, seen, out);
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
    if (c->passage.is_moving)
        return go_on(c, y, seen, out);
    if (fabs(d) > TRANSITION_ENTER * fmax(s, ROUNDING * fabs(level)))
        start_moving(c, level, y.y, s, seen->wander);
    return false;
}

/* ---- leaving where it stayed ----------------------------------------------------------------- */

/* Its level when it was in there last, at place `left`. */
static double last_level(const struct transition_trail *stay, const struct band *band, size_t *left)
{
    double values[TRANSITION_LEVEL];
    size_t n = 0;

    for (size_t i = stay->n; i-- > 0 && n < TRANSITION_LEVEL;) {
        if (fabs(stay->places[i].y - band->middle) > (1 + ROUNDING) * band->half)
            continue;
        if (n == 0)
            *left = i;
        values[n++] = stay->places[i].y;
    }
    assert(n > 0); /* the first half is in there */
    return median(values, n);
}

/* STAYING -> LEAVING. */
static void start_leaving(struct transition_passage *p, const struct transition_trail *stay,
                          const struct band *band, double y)
{
    size_t left = 0;
    double level = last_level(stay, band, &left);

    passage_begin(p, level, y, band->half, (stay->n - left) * stay->stride);
    p->quiet = TRANSITION_QUIET_LEAVING;
    p->trail = *stay;
}

/* Takes y of the finest scale, whose last points are `raw`. */
static bool step_stay(struct transition_detector *t, struct transition_place y,
                      const struct seen *seen, struct transition *out)
{
    const struct transition_scale *finest = &t->scales[0];
    struct band band;

    trail_keep(&t->stay, y);
    if (t->leave.is_moving)
        return passage_go_on(&t->leave, y) == STOPPED &&
               passage_judge(&t->leave, finest->raw, seen, out);
    if (t->stay.n < 2UL * (TRANSITION_LEVEL + TRANSITION_LAG))
        return false;
    band = find_band(&t->stay);
    if (fabs(y.y - band.middle) > TRANSITION_LEAVE * fmax(band.half, ROUNDING * fabs(band.middle)))
        start_leaving(&t->leave, &t->stay, &band, y.y);
    return false;
}

/* ---- all scales ---------------------------------------------------------------------------- */

void transition_init(struct transition_detector *t)
{
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < TRANSITION_SCALES; i++)
        t->scales[i].s = INFINITY;
    trail_init(&t->stay);
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

static void begin_all_anew(struct transition_detector *t)
{
    for (size_t i = 0; i < TRANSITION_SCALES; i++)
        begin_anew(&t->scales[i]);
    trail_init(&t->stay);
    t->leave.is_moving = false;
}

bool transition_feed(struct transition_detector *t, int64_t step, double value,
                     struct transition *out)
{
    struct transition_place x = {step, value};
    const struct transition_scale *finest = &t->scales[0];
    struct seen seen = {t->high - t->low, finest->passage.is_moving ? finest->began_s : finest->s,
                        find_band(&t->stay).wander};
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
    if (!found && finest->n_recent > 0)
        found = step_stay(t, finest->recent[finest->n_recent - 1], &seen, out);
    note_range(t);
    if (found)
        begin_all_anew(t);
    return found;
}
