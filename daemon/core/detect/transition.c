#include "daemon/core/detect/transition.h"

#include <math.h>
#include <string.h>

/* Variance of a level over that of its points: the mean of the middle half of 8 normal values has
 * 1.13 times the variance of their mean. */
#define LEVEL_VARIANCE (1.13 / TRANSITION_LEVEL)
/* Variance of the median of three normal values, over that of one. */
#define JOINED_VARIANCE 0.449
/* Mean distance of the 2nd and 3rd from the 6th and 7th of 8 normal values, over their standard
 * deviation. */
#define MIDDLE_WIDTH 1.33
/* C: the error of 1 % of whole series, shared out over the looks at them (bench_detect). */
#define LOOKS 800.0
/* Levels before a passage, at least. */
#define HISTORY_MIN 8
/* What left the window is forgotten over so many places. */
#define MEMORY 512.0
/* A new level lies outside all that the series had before by this share of the passage: a drift
 * and a wave that comes back do not. */
#define OUTSIDE 0.5
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
/* Back to this share of the way is a return. */
#define BACK (1.0 / 3)
/* Share of the way covered at the start, and left at the end. */
#define EDGE 0.1

/* Distances at which the wandering is measured: below TRANSITION_LEVEL of points, from there on of
 * levels, which then share no point. */
static const size_t lags[TRANSITION_LAGS] = {1, 2, 4, 8, 16, 32};
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

/* Fills in the level of the last TRANSITION_LEVEL places. */
static void find_level(struct transition_place *last)
{
    const struct transition_place *first = last - (TRANSITION_LEVEL - 1);
    double x[TRANSITION_LEVEL], sum = 0, variance = 0;

    for (size_t i = 0; i < TRANSITION_LEVEL; i++) {
        x[i] = first[i].x;
        variance += square(first[i].se) / TRANSITION_LEVEL;
    }
    sort(x, TRANSITION_LEVEL);
    for (size_t i = TRANSITION_LEVEL / 4; i < TRANSITION_LEVEL - TRANSITION_LEVEL / 4; i++)
        sum += x[i];
    last->level = 2 * sum / TRANSITION_LEVEL;
    last->level_se = (float)sqrt(LEVEL_VARIANCE * variance);
}

/* Variance of the level by its points' distances from each other. */
static double level_spread(const struct transition_place *last)
{
    double x[TRANSITION_LEVEL];

    for (size_t i = 0; i < TRANSITION_LEVEL; i++)
        x[i] = last[-(ptrdiff_t)i].x;
    sort(x, TRANSITION_LEVEL);
    return LEVEL_VARIANCE * square((x[5] + x[6] - x[1] - x[2]) / 2 / MIDDLE_WIDTH);
}

/* Adds the square of how far the series went in the `lag` places before `to`. */
static void add_stray(struct transition_stray *stray, size_t lag, const struct transition_place *to)
{
    const struct transition_place *from = to - lag;
    double d = lag < TRANSITION_LEVEL ? to->x - from->x : to->level - from->level;

    stray->n++;
    stray->sum += square(d);
    if (lag >= TRANSITION_LEVEL)
        stray->known += square(from->level_se) + square(to->level_se);
}

/* The oldest level leaves the window. */
static void leave(struct transition_history *old, const struct transition_place *oldest)
{
    old->low = fmin(old->low, oldest->level);
    old->high = fmax(old->high, oldest->level);
    for (size_t k = 0; k < TRANSITION_LAGS; k++) {
        struct transition_stray *stray = &old->stray[k];
        double kept = stray->n < MEMORY ? 1 : 1 - 1 / MEMORY;

        *stray = (struct transition_stray){kept * stray->n, kept * stray->sum, kept * stray->known};
        add_stray(stray, lags[k], oldest + lags[k]);
    }
}

static void append(struct transition_scale *scale, struct transition_place place)
{
    if (scale->n == TRANSITION_WINDOW) {
        leave(&scale->old, &scale->places[TRANSITION_LEVEL - 1]);
        memmove(scale->places, scale->places + 1, (TRANSITION_WINDOW - 1) * sizeof place);
        scale->n--;
    }
    scale->places[scale->n++] = place;
    if (scale->n >= TRANSITION_LEVEL)
        find_level(&scale->places[scale->n - 1]);
}

/* Joins three places of a scale to one of the next; false while there are fewer. */
static bool join(struct transition_scale *scale, struct transition_place *place)
{
    const struct transition_place *block = scale->block;
    double x[3];

    scale->block[scale->n_block++] = *place;
    if (scale->n_block < 3)
        return false;
    scale->n_block = 0;
    for (size_t i = 0; i < 3; i++)
        x[i] = block[i].x;
    sort(x, 3);
    *place = (struct transition_place){
        .step = block[1].step,
        .x = x[1],
        .se = (float)sqrt(JOINED_VARIANCE / 3 *
                          (square(block[0].se) + square(block[1].se) + square(block[2].se)))};
    return true;
}

/* ---- how far the series would go without a transition ---- */

/* Takes the levels from the n-th to the n_new-th of the window into the time before a passage. */
static void extend(struct transition_history *history, const struct transition_scale *scale,
                   size_t n, size_t n_new)
{
    const struct transition_place *level = scale->places + TRANSITION_LEVEL - 1;

    for (; n < n_new; n++) {
        history->low = fmin(history->low, level[n].level);
        history->high = fmax(history->high, level[n].level);
        for (size_t k = 0; k < TRANSITION_LAGS && lags[k] <= n; k++)
            add_stray(&history->stray[k], lags[k], &level[n]);
    }
}

/* g: variance of the way of a random walk in so many places, in steps: of points, or of the means
 * of w points. */
static double growth(size_t lag)
{
    return (double)lag - (lag < TRANSITION_LEVEL ? 0 : TRANSITION_LEVEL / 3.0);
}

/* V of the header: variance that a way of `lag` places has by wandering alone, at most. */
static double wander(const struct transition_history *history, size_t lag, double z2)
{
    double bound = INFINITY, seen = 0, last = 0;

    for (size_t k = 0; k < TRANSITION_LAGS && lags[k] <= lag; k++) {
        const struct transition_stray *stray = &history->stray[k];
        double mean = stray->sum / stray->n, known = stray->known / stray->n;
        double n_free = stray->n / (double)lags[k] + 1;
        double grown = fmax(1, growth(lag) / growth(lags[k]));

        if (stray->n < (double)lags[k])
            break;
        bound = fmin(bound, grown * fmax(0, exp((z2 + 1) / (2 * n_free)) * mean - known));
        if (lags[k] >= TRANSITION_LEVEL) {
            seen = fmax(seen, mean - known);
            last = grown * (mean - known);
        }
    }
    return fmax(bound, fmax(seen, last));
}

/* ---- judging ---- */

/* A passage begins where the series was quiet: back to there from `span` places before now. */
static size_t go_back(const struct transition_scale *scale, size_t span)
{
    const struct transition_place *now = &scale->places[scale->n - 1];
    size_t more = span / 4 > 4 ? span / 4 : 4;

    while (span + more + TRANSITION_LEVEL <= scale->n) {
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
                       const struct transition_scale *scale,
                       const struct transition_history *history, size_t span)
{
    const struct transition_place *now = &scale->places[scale->n - 1], *from = now - span;
    size_t part = go_back(scale, span) / QUIET_PART;
    size_t quiet = part > QUIET_MIN ? part : QUIET_MIN;
    double sign = now->level < from->level ? -1 : 1, size = sign * (now->level - from->level);
    double outside = sign < 0 ? history->low - now->level : now->level - history->high;
    double se = fmax(now->level_se, from->level_se) / sqrt(LEVEL_VARIANCE);

    return outside >= OUTSIDE * size && size >= MIN_SHARE * (detector->high - detector->low) &&
           size > MIN_RELATIVE * fmax(fabs(now->level), fabs(from->level)) &&
           size >= MIN_ERRORS * se && sign * (now->level - (now - quiet)->level) <= GAIN * size;
}

/* Square of the size of a passage over the largest that a series without transitions shows. */
static double judge(const struct transition_detector *detector,
                    const struct transition_scale *scale, const struct transition_history *history,
                    size_t span)
{
    const struct transition_place *now = &scale->places[scale->n - 1], *from = now - span;
    double size = now->level - from->level;
    double n_scale = (double)(scale - detector->scales) + 1;
    double z2 = 2 * log(LOOKS * n_scale * (double)detector->n_stay / (double)span);
    double bound;

    if (!is_passage(detector, scale, history, span))
        return 0;
    bound = z2 * (wander(history, span, z2) + square(from->level_se) + square(now->level_se));
    return square(size) / fmax(bound, square(SPREAD_MIN) * level_spread(now));
}

static double median_of_five(const struct transition_place *middle)
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
    const struct transition_place *now = &scale->places[scale->n - 1], *from = now - span;
    const struct transition_place *end = from, *start;
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

/* Whether a passage has ended at the newest place of a scale. */
static bool find(const struct transition_detector *detector, const struct transition_scale *scale,
                 struct transition *out)
{
    struct transition_history history = scale->old;
    size_t n_levels = scale->n - TRANSITION_LEVEL + 1, n = 0, best = 0;
    double most = 1;

    if (scale->n < TRANSITION_POINTS_MIN)
        return false;
    for (size_t k = 0; k < sizeof spans / sizeof *spans; k++) {
        double surprise;

        if (n_levels < spans[k] + (spans[k] > HISTORY_MIN ? spans[k] : HISTORY_MIN))
            continue;
        extend(&history, scale, n, n_levels - spans[k]);
        n = n_levels - spans[k];
        surprise = judge(detector, scale, &history, spans[k]);
        if (surprise > most) {
            most = surprise;
            best = spans[k];
        }
    }
    if (best > 0)
        describe(scale, go_back(scale, best), out);
    return best > 0;
}

/* ---- all scales ---- */

/* The levels from low to high are no longer new. */
static void start_over(struct transition_detector *detector, double low, double high)
{
    detector->n_stay = 0;
    for (size_t i = 0; i < TRANSITION_SCALES; i++) {
        struct transition_scale *scale = &detector->scales[i];

        scale->n = scale->n_block = 0;
        scale->old = (struct transition_history){.low = low, .high = high};
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

    return detector->is_open && finest->n >= TRANSITION_LEVEL &&
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
static bool feed_scales(struct transition_detector *detector, struct transition_place place,
                        struct transition *out)
{
    for (size_t i = 0; i < TRANSITION_SCALES; i++) {
        struct transition_scale *scale = &detector->scales[i];

        append(scale, place);
        if (i == 0 && scale->n >= TRANSITION_LEVEL) {
            detector->low = fmin(detector->low, scale->places[scale->n - 1].level);
            detector->high = fmax(detector->high, scale->places[scale->n - 1].level);
        }
        if (find(detector, scale, out))
            return true;
        if (!join(scale, &place))
            break;
    }
    return false;
}

enum transition_news transition_feed(struct transition_detector *detector,
                                     const struct transition_point *point, struct transition *out)
{
    struct transition_place place = {.step = point->step, .x = point->value};
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
