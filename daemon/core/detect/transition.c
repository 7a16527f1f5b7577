#include "daemon/core/detect/transition.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A deviation below this share of the values is rounding, not noise. */
#define ROUNDING 1e-9
/* Share of the way covered at the start, and left at the end. */
#define EDGE 0.1
/* Points from the middle of L to y: d is measured over so many. */
#define REACH (TRANSITION_LAG + TRANSITION_LEVEL / 2.0)

const char *transition_direction_name(enum transition_direction direction)
{
    return direction == TRANSITION_FALL ? "fall" : "rise";
}

/* ---- medians ---- */

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
    double range;  /* of y at the finest scale, after its first points */
    double noise;  /* s of the finest scale, before a passage if one is under way */
    double wander; /* w */
};

/* ---- a passage ---- */

static void trail_init(struct transition_trail *trail)
{
    trail->n = trail->skipped = 0;
    trail->stride = 1;
}

static void trail_add(struct transition_trail *trail, struct transition_place place)
{
    if (++trail->skipped < trail->stride)
        return;
    trail->skipped = 0;
    if (trail->n == TRANSITION_TRAIL) {
        for (size_t i = 0; i < TRANSITION_TRAIL / 2; i++)
            trail->places[i] = trail->places[2 * i];
        trail->n /= 2;
        trail->stride *= 2;
    }
    trail->places[trail->n++] = place;
}

/* Begins at y, `n_moved` points after the level. The caller fills the trail and `quiet`. */
static void passage_begin(struct transition_passage *passage, double from, double y, double stray,
                          uint64_t n_moved)
{
    passage->is_moving = true;
    passage->sign = y < from ? -1 : 1;
    passage->from = from;
    passage->stray = stray;
    passage->slope = 0;
    passage->gained = fabs(y - from);
    passage->n_moved = n_moved;
    trail_init(&passage->trail);
}

/* Points at the end of a passage that have to be quiet. */
static uint64_t quiet_points(const struct transition_passage *passage)
{
    uint64_t share = (uint64_t)ceil(passage->quiet * (double)passage->n_moved);

    return share > TRANSITION_QUIET ? share : TRANSITION_QUIET;
}

/* Whether these points gained less than the share TRANSITION_GAIN of what was gained before them.
 */
static bool is_quiet(const struct transition_passage *passage)
{
    size_t n =
        (size_t)((quiet_points(passage) + passage->trail.stride - 1) / passage->trail.stride);
    double before = 0;

    for (size_t i = 0; i + n < passage->trail.n; i++)
        before = fmax(before, passage->sign * (passage->trail.places[i].y - passage->from));
    return passage->gained < (1 + TRANSITION_GAIN) * before;
}

enum progress { GOES_ON, WENT_BACK, STOPPED };

static enum progress passage_go_on(struct transition_passage *passage, struct transition_place y)
{
    double gain = passage->sign * (y.y - passage->from);

    trail_add(&passage->trail, y);
    passage->n_moved++;
    passage->gained = fmax(passage->gained, gain);
    if (gain < TRANSITION_BACK * passage->gained) {
        passage->is_moving = false;
        return WENT_BACK;
    }
    if (!is_quiet(passage))
        return GOES_ON;
    passage->is_moving = false;
    return STOPPED;
}

/* The start is the last step at which 10 % of the way were covered, the end the first at which 90 %
 * were. */
static void find_ends(const struct transition_passage *passage, struct transition *out)
{
    const struct transition_place *places = passage->trail.places;
    size_t end = 0, start;

    while (end + 1 < passage->trail.n &&
           passage->sign * (places[end].y - passage->from) < (1 - EDGE) * out->size)
        end++;
    start = end;
    while (start > 0 && passage->sign * (places[start].y - passage->from) > EDGE * out->size)
        start--;
    out->start = places[start].step;
    out->end = places[end].step;
}

/* Whether the passage that stopped at the last QUIET points, `raw`, was a transition, and which. */
static bool passage_judge(const struct transition_passage *passage,
                          const struct transition_place *raw, const struct seen *seen,
                          struct transition *out)
{
    double spread[TRANSITION_QUIET], stray;

    out->to = median_y(raw, TRANSITION_QUIET);
    out->from = passage->from;
    out->size = passage->sign * (out->to - passage->from);
    for (size_t i = 0; i < TRANSITION_QUIET; i++)
        spread[i] = fabs(raw[i].y - out->to);
    stray = fmax(fmax(passage->stray, seen->noise), median(spread, TRANSITION_QUIET));
    if (!(out->size > TRANSITION_ACCEPT * stray) ||
        out->size < TRANSITION_MIN_SHARE * seen->range ||
        out->size < passage->slope * (double)(passage->n_moved - quiet_points(passage)))
        return false;
    out->direction = passage->sign < 0 ? TRANSITION_FALL : TRANSITION_RISE;
    out->returned = -1;
    find_ends(passage, out);
    return true;
}

struct band {
    double middle, half; /* half its width, h */
    double wander;       /* w: h less half the way from the first to the last */
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

/* ---- a scale ---- */

static void note_deviation(struct transition_scale *scale, double d)
{
    double values[TRANSITION_SCALE];
    size_t n;

    scale->deviation[scale->n_deviations++ % TRANSITION_SCALE] = d;
    n = scale->n_deviations < TRANSITION_SCALE ? scale->n_deviations : TRANSITION_SCALE;
    if (n < TRANSITION_SCALE_MIN)
        return;
    memcpy(values, scale->deviation, n * sizeof *values);
    scale->s = median(values, n);
}

/* Forgets the levels, but not s. */
static void start_over(struct transition_scale *scale)
{
    if (scale->passage.is_moving)
        scale->s = scale->began_s;
    scale->passage.is_moving = false;
    scale->n_block = scale->n_raw = scale->n_recent = scale->n_deviations = 0;
}

/* IDLE -> MOVING. */
static void start_moving(struct transition_scale *scale, double level, double y, double s,
                         double wander)
{
    passage_begin(&scale->passage, level, y, fmax(s, wander), TRANSITION_LAG);
    scale->began_s = s;
    scale->passage.slope = TRANSITION_ENTER * s / REACH;
    scale->passage.quiet = TRANSITION_QUIET_MOVING;
    for (size_t i = 0; i < scale->n_recent; i++)
        trail_add(&scale->passage.trail, scale->recent[i]);
}

/* MOVING; true when the passage has stopped, and was a transition. */
static bool go_on(struct transition_scale *scale, struct transition_place y,
                  const struct seen *seen, struct transition *out)
{
    struct transition_passage *passage = &scale->passage;

    switch (passage_go_on(passage, y)) {
    case GOES_ON:
        return false;
    case WENT_BACK:
        if (passage->gained > TRANSITION_ACCEPT * scale->began_s)
            scale->n_recent = 0; /* the way back from an excursion is no transition */
        return false;
    case STOPPED:
        break;
    }
    return passage_judge(passage, scale->raw, seen, out);
}

/* Takes a point of this scale. */
static bool step_scale(struct transition_scale *scale, struct transition_place x,
                       const struct seen *seen, struct transition *out)
{
    struct transition_place y;
    double level, d, s = scale->s;

    slide(scale->raw, &scale->n_raw, TRANSITION_QUIET, x);
    if (scale->n_raw < TRANSITION_SMOOTH)
        return false;
    /* the median belongs to the middle of its points */
    y.step = scale->raw[scale->n_raw - 1 - TRANSITION_SMOOTH / 2].step;
    y.y = median_y(scale->raw + scale->n_raw - TRANSITION_SMOOTH, TRANSITION_SMOOTH);
    slide(scale->recent, &scale->n_recent, TRANSITION_LEVEL + TRANSITION_LAG, y);
    if (scale->n_recent < TRANSITION_LEVEL + TRANSITION_LAG)
        return false;
    level = median_y(scale->recent, TRANSITION_LEVEL);
    d = y.y - level;
    note_deviation(scale, fabs(d));
    if (scale->passage.is_moving)
        return go_on(scale, y, seen, out);
    if (fabs(d) > TRANSITION_ENTER * fmax(s, ROUNDING * fabs(level)))
        start_moving(scale, level, y.y, s, seen->wander);
    return false;
}

/* ---- leaving where it stayed ---- */

/* The level of the series when it was last inside the band, at place `left`. */
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
    assert(n > 0); /* the first half of the stay is inside */
    return median(values, n);
}

/* STAYING -> LEAVING. */
static void start_leaving(struct transition_passage *passage, const struct transition_trail *stay,
                          const struct band *band, double y)
{
    size_t left = 0;
    double level = last_level(stay, band, &left);

    passage_begin(passage, level, y, band->half, (stay->n - left) * stay->stride);
    passage->quiet = TRANSITION_QUIET_LEAVING;
    passage->trail = *stay;
}

/* Takes y of the finest scale, whose last points are `raw`. */
static bool step_stay(struct transition_detector *detector, struct transition_place y,
                      const struct seen *seen, struct transition *out)
{
    const struct transition_scale *finest = &detector->scales[0];
    struct band band;

    trail_add(&detector->stay, y);
    if (detector->leave.is_moving)
        return passage_go_on(&detector->leave, y) == STOPPED &&
               passage_judge(&detector->leave, finest->raw, seen, out);
    if (detector->stay.n < 2UL * (TRANSITION_LEVEL + TRANSITION_LAG))
        return false;
    band = find_band(&detector->stay);
    if (fabs(y.y - band.middle) > TRANSITION_LEAVE * fmax(band.half, ROUNDING * fabs(band.middle)))
        start_leaving(&detector->leave, &detector->stay, &band, y.y);
    return false;
}

/* ---- all scales ---- */

void transition_init(struct transition_detector *detector)
{
    memset(detector, 0, sizeof *detector);
    for (size_t i = 0; i < TRANSITION_SCALES; i++)
        detector->scales[i].s = INFINITY;
    trail_init(&detector->stay);
}

/* Joins three points of a scale to one of the next; false while there are fewer. */
static bool join(struct transition_scale *scale, struct transition_place *x)
{
    scale->block[scale->n_block++] = *x;
    if (scale->n_block < 3)
        return false;
    scale->n_block = 0;
    x->y = median_y(scale->block, 3);
    x->step = scale->block[1].step;
    return true;
}

static void note_range(struct transition_detector *detector)
{
    const struct transition_scale *scale = &detector->scales[0];
    double y;

    if (scale->n_recent < TRANSITION_LEVEL + TRANSITION_LAG)
        return;
    y = scale->recent[scale->n_recent - 1].y;
    detector->low = detector->has_range ? fmin(detector->low, y) : y;
    detector->high = detector->has_range ? fmax(detector->high, y) : y;
    detector->has_range = true;
}

static void start_all_over(struct transition_detector *detector)
{
    for (size_t i = 0; i < TRANSITION_SCALES; i++)
        start_over(&detector->scales[i]);
    trail_init(&detector->stay);
    detector->leave.is_moving = false;
}

enum transition_news transition_feed(struct transition_detector *detector,
                                     const struct transition_point *point, struct transition *out)
{
    struct transition_place x = {point->step, point->value};
    const struct transition_scale *finest = &detector->scales[0];
    struct seen seen = {detector->high - detector->low,
                        finest->passage.is_moving ? finest->began_s : finest->s,
                        find_band(&detector->stay).wander};
    bool found = false;

    if (!isfinite(x.y) || (detector->has_last && x.step <= detector->last_step))
        return TRANSITION_NONE;
    detector->has_last = true;
    detector->last_step = x.step;
    if (!transition_is_ready(detector))
        detector->n_points++;
    for (size_t i = 0; i < TRANSITION_SCALES && !found; i++) {
        found = step_scale(&detector->scales[i], x, &seen, out);
        if (!join(&detector->scales[i], &x))
            break;
    }
    if (!found && finest->n_recent > 0)
        found = step_stay(detector, finest->recent[finest->n_recent - 1], &seen, out);
    note_range(detector);
    if (found)
        start_all_over(detector);
    return found ? TRANSITION_FOUND : TRANSITION_NONE;
}

bool transition_is_ready(const struct transition_detector *detector)
{
    return detector->n_points >= TRANSITION_POINTS_MIN;
}
