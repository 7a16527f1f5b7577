#include "daemon/core/detect/transition.h"

#include <math.h>
#include <string.h>

/* Variance of a level over that of its points: the mean of the middle half of 8 normal values has
 * 1.13 times the variance of their mean. */
#define LEVEL_VARIANCE (1.13 / WANDER_LEVEL)
/* Variance of the median of three normal values, over that of one. */
#define JOINED_VARIANCE 0.449
/* Mean distance of the 2nd and 3rd from the 6th and 7th of 8 normal values, over their standard
 * deviation. */
#define MIDDLE_WIDTH 1.33
/* C: the error of 1 % of whole series, shared out over the looks at them (bench_detect). */
#define LOOKS 600.0
/* Levels before a passage, at least. */
#define HISTORY_MIN 8
/* A new level lies outside all that the series had before by this share of the passage: a drift
 * and a wave that comes back do not. */
#define OUTSIDE 0.65
/* A passage has stopped when it has gained less than this share... */
#define GAIN 0.125
/* ...within this part of its length... */
#define QUIET_PART 5
/* ...and within at least so many places. */
#define QUIET_MIN 8
/* A passage is 7 standard deviations of the points about the new level: a series that only becomes
 * noisier has none. */
#define SPREAD_MIN 7.0
/* A share of the range of the levels: ripples after a great fall are no transitions. */
#define MIN_SHARE 0.2
/* A passage within 2 standard errors of the points, or 1e-4 of the values, is too small to matter,
 * however sure it is. */
#define MIN_ERRORS   2.0
#define MIN_RELATIVE 1e-4
/* A passage of so many places, or more, may be the start of one that is longer by far: dense points
 * show a slow start as a passage. */
#define LONG 24
/* It has surely ended when its last part has gained less than this share of it, so many standard
 * errors included... */
#define SURE        0.25
#define SURE_ERRORS 5.0
/* ...or when the series has stayed within this share of the new level for as long as it took. */
#define STAY 0.4
/* Back to this share of the way is a return. */
#define BACK (1.0 / 3)
/* Share of the way covered at the start, and left at the end. */
#define EDGE 0.1

/* Lengths of a passage that are tried, the longest first: the history only grows. */
static const size_t spans[] = {56, 48, 40, 33, 28, 24, 20, 17, 14, 12, 10, 9, 8};

const char *transition_direction_name(enum transition_direction direction)
{
    return direction == TRANSITION_FALL ? "fall" : "rise";
}

/* ---- places ---- */

/* Sorts in place; n is small. */
static void sort(double *values, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        double value = values[i];
        size_t at = i;

        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
}

static double square(double x)
{
    return x * x;
}

/* Fills in the level of the last WANDER_LEVEL places. */
static void find_level(struct wander_place *last)
{
    const struct wander_place *first = last - (WANDER_LEVEL - 1);
    double x[WANDER_LEVEL], sum = 0, variance = 0;

    for (size_t i = 0; i < WANDER_LEVEL; i++) {
        x[i] = first[i].x;
        variance += square(first[i].se) / WANDER_LEVEL;
    }
    sort(x, WANDER_LEVEL);
    for (size_t i = WANDER_LEVEL / 4; i < WANDER_LEVEL - WANDER_LEVEL / 4; i++)
        sum += x[i];
    last->level = 2 * sum / WANDER_LEVEL;
    last->level_se = (float)sqrt(LEVEL_VARIANCE * variance);
}

/* Variance of the level by its points' distances from each other. */
static double level_spread(const struct wander_place *last)
{
    double x[WANDER_LEVEL];

    for (size_t i = 0; i < WANDER_LEVEL; i++)
        x[i] = last[-(ptrdiff_t)i].x;
    sort(x, WANDER_LEVEL);
    return LEVEL_VARIANCE * square((x[5] + x[6] - x[1] - x[2]) / 2 / MIDDLE_WIDTH);
}

static void append(struct transition_scale *scale, struct wander_place place)
{
    if (scale->n == TRANSITION_WINDOW) {
        wander_leave(&scale->old, &scale->places[WANDER_LEVEL - 1]);
        memmove(scale->places, scale->places + 1, (TRANSITION_WINDOW - 1) * sizeof place);
        scale->n--;
    }
    scale->places[scale->n++] = place;
    if (scale->n >= WANDER_LEVEL)
        find_level(&scale->places[scale->n - 1]);
}

/* Joins three places of a scale to one of the next; false while there are fewer. */
static bool join(struct transition_scale *scale, struct wander_place *place)
{
    const struct wander_place *block = scale->block;
    double x[3];

    scale->block[scale->n_block++] = *place;
    if (scale->n_block < 3)
        return false;
    scale->n_block = 0;
    for (size_t i = 0; i < 3; i++)
        x[i] = block[i].x;
    sort(x, 3);
    *place = (struct wander_place){
        .step = block[1].step,
        .x = x[1],
        .se = (float)sqrt(JOINED_VARIANCE / 3 *
                          (square(block[0].se) + square(block[1].se) + square(block[2].se)))};
    return true;
}

/* ---- judging ---- */

/* A passage begins where the series was quiet: back to there from `span` places before now. */
static size_t go_back(const struct transition_scale *scale, size_t span)
{
    const struct wander_place *now = &scale->places[scale->n - 1];
    size_t more = span / 4 > 4 ? span / 4 : 4;

    while (span + more + WANDER_LEVEL <= scale->n) {
        double from = (now - span)->level;

        if (((now - span - more)->level - from) / (from - now->level) <= GAIN)
            break;
        span += more;
        more = span / 4 > 4 ? span / 4 : 4;
    }
    return span;
}

/* Whether a passage from `span` places before now has come to its end, at a level that is new and
 * far enough to matter. */
static bool is_passage(const struct transition_detector *detector,
                       const struct transition_scale *scale, const struct wander *history,
                       size_t span)
{
    const struct wander_place *now = &scale->places[scale->n - 1], *from = now - span;
    size_t part = go_back(scale, span) / QUIET_PART;
    size_t quiet = part > QUIET_MIN ? part : QUIET_MIN;
    double sign = now->level < from->level ? -1 : 1, size = sign * (now->level - from->level);
    double outside = sign < 0 ? history->low - now->level : now->level - history->high;
    double se = fmax(now->level_se, from->level_se) / sqrt(LEVEL_VARIANCE);

    return outside >= OUTSIDE * size && size >= MIN_SHARE * (detector->high - detector->low) &&
           size > MIN_RELATIVE * fmax(fabs(now->level), fabs(from->level)) &&
           size >= MIN_ERRORS * se && sign * (now->level - (now - quiet)->level) <= GAIN * size;
}

/* Whether a passage that has ended by its looks has ended for sure. */
static bool is_surely_over(const struct transition_scale *scale, size_t span)
{
    const struct wander_place *now = &scale->places[scale->n - 1], *from = now - span;
    size_t quiet = span / QUIET_PART > QUIET_MIN ? span / QUIET_PART : QUIET_MIN;
    const struct wander_place *before = now - quiet;
    double variance = 2 * level_spread(now);
    double sign = now->level < from->level ? -1 : 1, size = sign * (now->level - from->level);

    variance = fmax(variance, square(now->level_se) + square(before->level_se));
    return span < LONG ||
           sign * (now->level - before->level) + SURE_ERRORS * sqrt(variance) <= SURE * size;
}

/* Square of the size of a passage over the largest that a series without transitions shows. */
static double judge(const struct transition_detector *detector,
                    const struct transition_scale *scale, const struct wander *history, size_t span)
{
    const struct wander_place *now = &scale->places[scale->n - 1], *from = now - span;
    double size = now->level - from->level;
    double n_scale = (double)(scale - detector->scales) + 1;
    double z2 = 2 * log(LOOKS * n_scale * (double)detector->n_stay / (double)span);
    double bound;

    if (!is_passage(detector, scale, history, span))
        return 0;
    bound =
        z2 * (wander_variance(history, span, z2) + square(from->level_se) + square(now->level_se));
    return square(size) / fmax(bound, square(SPREAD_MIN) * level_spread(now));
}

static double median_of_five(const struct wander_place *middle)
{
    double x[5];

    for (size_t i = 0; i < 5; i++)
        x[i] = middle[(ptrdiff_t)i - 2].x;
    sort(x, 5);
    return x[2];
}

/* Describes the passage that began `span` places ago. */
static void describe(const struct transition_scale *scale, size_t span, struct transition *out)
{
    const struct wander_place *now = &scale->places[scale->n - 1], *from = now - span;
    const struct wander_place *end = from, *start;
    double sign = now->level < from->level ? -1 : 1;

    *out = (struct transition){.direction = sign < 0 ? TRANSITION_FALL : TRANSITION_RISE,
                               .from = from->level,
                               .to = now->level,
                               .size = fabs(now->level - from->level),
                               .returned = -1};
    while (end < now - 2 && sign * (median_of_five(end) - out->from) < (1 - EDGE) * out->size)
        end++;
    start = end;
    while (start > scale->places + 2 &&
           sign * (median_of_five(start) - out->from) > EDGE * out->size)
        start--;
    out->start = start->step;
    out->end = end->step;
}

/* Returns the places of a passage that has ended at the newest place of a scale; 0: none has. */
static size_t find(const struct transition_detector *detector, const struct transition_scale *scale)
{
    const struct wander_place *levels = scale->places + WANDER_LEVEL - 1;
    struct wander history = scale->old;
    size_t n_levels = scale->n - WANDER_LEVEL + 1, n = 0, best = 0;
    double most = 1;

    if (scale->n < TRANSITION_POINTS_MIN)
        return 0;
    for (size_t k = 0; k < sizeof spans / sizeof *spans; k++) {
        double surprise;

        if (n_levels < spans[k] + (spans[k] > HISTORY_MIN ? spans[k] : HISTORY_MIN))
            continue;
        for (; n < n_levels - spans[k]; n++)
            wander_extend(&history, &levels[n], n);
        surprise = judge(detector, scale, &history, spans[k]);
        if (surprise > most) {
            most = surprise;
            best = spans[k];
        }
    }
    return best > 0 ? go_back(scale, best) : 0;
}

/* Follows the passage that was held back; true when it is to be told. */
static bool follow(struct transition_held *held, const struct transition_scale *scale)
{
    const struct transition *passage = &held->passage;
    double gone = fabs(scale->places[scale->n - 1].level - passage->to) / passage->size;

    if (gone > STAY)
        held->n_wait = 0;
    else if (--held->n_wait == 0)
        return true;
    return false;
}

/* Whether the newest place of a scale completes a transition. */
static bool look(struct transition_detector *detector, const struct transition_scale *scale,
                 struct transition *out)
{
    struct transition_held *held = &detector->held;
    size_t span = find(detector, scale);

    if (held->n_wait > 0 && held->scale == scale - detector->scales && follow(held, scale)) {
        *out = held->passage;
        return true;
    }
    if (span == 0)
        return false;
    if (is_surely_over(scale, span)) {
        describe(scale, span, out);
        return true;
    }
    if (held->n_wait == 0) {
        held->scale = scale - detector->scales;
        held->n_wait = span;
        describe(scale, span, &held->passage);
    }
    return false;
}

/* ---- all scales ---- */

/* The levels from low to high are no longer new. */
static void start_over(struct transition_detector *detector, double low, double high)
{
    detector->n_stay = detector->held.n_wait = 0;
    for (size_t i = 0; i < TRANSITION_SCALES; i++) {
        struct transition_scale *scale = &detector->scales[i];

        scale->n = scale->n_block = 0;
        scale->old = (struct wander){.low = low, .high = high};
    }
}

void transition_init(struct transition_detector *detector)
{
    memset(detector, 0, sizeof *detector);
    start_over(detector, INFINITY, -INFINITY);
    detector->low = INFINITY;
    detector->high = -INFINITY;
}

static bool has_returned(const struct transition_detector *detector)
{
    const struct transition_scale *finest = &detector->scales[0];
    const struct transition *last = &detector->last;
    double sign = last->direction == TRANSITION_FALL ? -1 : 1;

    return detector->is_open && finest->n >= WANDER_LEVEL &&
           sign * (finest->places[finest->n - 1].level - last->from) < BACK * last->size;
}

static enum transition_news close_last(struct transition_detector *detector, int64_t step,
                                       struct transition *out)
{
    detector->is_open = false;
    *out = detector->last;
    out->returned = step;
    start_over(detector, fmin(out->from, out->to), fmax(out->from, out->to));
    return TRANSITION_RETURNED;
}

/* Shows a place to all scales that it completes a place of. */
static bool feed_scales(struct transition_detector *detector, struct wander_place place,
                        struct transition *out)
{
    for (size_t i = 0; i < TRANSITION_SCALES; i++) {
        struct transition_scale *scale = &detector->scales[i];

        append(scale, place);
        if (i == 0 && scale->n >= WANDER_LEVEL) {
            detector->low = fmin(detector->low, scale->places[scale->n - 1].level);
            detector->high = fmax(detector->high, scale->places[scale->n - 1].level);
        }
        if (look(detector, scale, out))
            return true;
        if (!join(scale, &place))
            break;
    }
    return false;
}

enum transition_news transition_feed(struct transition_detector *detector,
                                     const struct transition_point *point, struct transition *out)
{
    struct wander_place place = {.step = point->step, .x = point->value};
    bool found;

    if (!isfinite(point->value) || (detector->n_points > 0 && point->step <= detector->last_step))
        return TRANSITION_NONE;
    if (isfinite(point->se))
        place.se = (float)fabs(point->se);
    detector->last_step = point->step;
    detector->n_points++;
    detector->n_stay++;
    found = feed_scales(detector, place, out);
    if (has_returned(detector))
        return close_last(detector, point->step, out);
    if (!found)
        return TRANSITION_NONE;
    detector->last = *out;
    detector->is_open = true;
    start_over(detector, INFINITY, -INFINITY);
    return TRANSITION_FOUND;
}

bool transition_is_ready(const struct transition_detector *detector)
{
    return detector->n_points >= TRANSITION_POINTS_MIN;
}
