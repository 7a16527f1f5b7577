/* Finds transitions in a series while it grows: passages from one level to another that are abrupt
 * beside what the series did before. A detector owns its state, a few kilobytes of plain memory,
 * and is used by one thread at a time; it reads no clock and allocates nothing. Which series are
 * watched, and what becomes of a find, is left to the caller.
 *
 * It speaks of a transition, never of its cause: D_LR may fall without generalisation, and rise
 * with it.
 *
 * METHOD. Points are counted, not steps, so that log-spaced checkpoints are as good as dense ones.
 *
 *   y_i = med(x_i-4 .. x_i)               one or two spikes in a row do not move it
 *   L_i = med(y_i-11 .. y_i-4)            the level the series comes from
 *   d_i = y_i - L_i
 *   s_i = med |d_k| over the last 64      how far it strays as a rule, by noise and by drift alike
 *
 *   h   = half the width of where y was in the first half of its stay: since the series began
 *         or last had a transition
 *   w   = h less half the way from the first of these y to the last: a drift has none
 *
 * A passage begins in one of two ways, each with a state of its own: the series is fast for what
 * it is, |d| > 3 s (IDLE -> MOVING), or it is far from where it was, 5 h from the middle of that
 * (STAYING -> LEAVING). It is over when its last points, at least 8, have not gained 1/8 upon what
 * was gained before them; the median of the last 8 is then the new level. It is a transition when
 *
 *   the levels are 8 s apart, 8 w (MOVING) or 8 h (LEAVING), and 8 times the spread of the last 8
 *   points about the new one;
 *
 *   if it began by speed: on the way it gained as much over d's length as made it begin;
 *
 *   the levels are a fifth of all that the series has shown apart.
 *
 * If it goes back to a third of its gain before that, it was an excursion.
 *
 *           |d| > 3 s                         no gain for a while: an event, or nothing
 *   IDLE ---------------------> MOVING  ----------------------------------------------> IDLE
 *           5 h from the middle               the same
 *   STAYING ------------------> LEAVING ----------------------------------------------> STAYING
 *                                    \-- either: gone back to a third ----------------> as before
 *
 * s knows how the series moves within 8 points, h and w where it has been at all. A series that
 * wanders has a small s and a large w; one that was restless before it settled has a large s, also
 * while it falls, and its h grows no more: a gradual fall is found by it.
 *
 * A drift enters s by its own slope, and half of it h: at an even one the series is 3 h from the
 * middle, at a quadratic one 7 h, but then it has no end. Neither has a transition (of noisy
 * drifts, 6 in 1,000 do); nor has a series that only becomes noisier. Dense points would make any
 * fall a drift: MOVING therefore also runs on points 3, 9, 27, ... at a time, each the median of
 * three of the scale below, where a fall over hundreds of points is abrupt again. Whoever is first
 * to end a passage tells of it, and all begin anew behind it.
 *
 * WHAT WAS MEASURED (tests/data). The constants were chosen with seeds 0 to 3 of addition mod 97
 * under squared error and seed 0 under cross-entropy. Of four further runs, seeds 4 to 7, each has
 * its one fall told, 10 points behind its end; of two further ones under cross-entropy nothing.
 * That drifts are left out of w was decided later, for made-up series, and changed none of these.
 *
 * No constant has a unit, and an offset changes nothing, so other measures may be fed; a logarithm
 * is another series. What they show is in tests/unit/daemon/core/detect/test_watch.c.
 *
 * What it misses: a fall in the first 23 points, and one that begins so soon behind a restless
 * start that half of the stay holds all of that.
 *
 * Start and end are where the passage has covered 10 % and 90 % of the way between the levels.
 *
 * SOURCES. The hysteresis is that of Page's cumulative sums (E. S. Page, Biometrika 41, 1954), with
 * medians and their absolute deviations in place of means for the sake of spikes (P. J. Huber,
 * Robust Statistics, 1981); the scales are the remedian (P. J. Rousseeuw, G. W. Bassett, JASA 85,
 * 1990); levels, 10 % and 90 % are those of IEEE Std 181 for transitions of waveforms; the
 * confidence is the inequality of D. F. Vysochanskij and Y. I. Petunin (1980). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Points whose median is y: two spikes in a row leave three good ones. */
#define TRANSITION_SMOOTH 5
/* y's in the level L, and from L's last to now: a step is in all of y, and in none of L, for 2
 * points, whatever its phase. */
#define TRANSITION_LEVEL 8
#define TRANSITION_LAG   4
/* |d|'s whose median is s; so many must have come before it is believed. Of 64 it varies by 10 %,
 * of 8 by 30 %: 8 s are then still 5. A series needs SMOOTH + LEVEL + LAG + 6 points, 23, before a
 * passage can begin. */
#define TRANSITION_SCALE     64
#define TRANSITION_SCALE_MIN 8
/* In normal noise d has a standard deviation of 1.5 s. 3 s are 2 of them, which one point in twenty
 * has: to begin costs nothing. 8 s are 5.4, and have to last: no series of noise shows that (the
 * counts are in tests/unit/daemon/core/detect/test_transition.c). */
#define TRANSITION_ENTER  3.0
#define TRANSITION_ACCEPT 8.0
/* Back to this share of the greatest gain: an excursion. Half is too strict: the fall of D_LR while
 * a network groks takes back half of its first part (tests/data, seed 1). */
#define TRANSITION_BACK (1.0 / 3)
/* A passage has stopped when it has not gained this share upon itself... */
#define TRANSITION_GAIN 0.125
/* ...within this share of its points (MOVING, LEAVING): an exponential approach is then 85 % and 80
 * % of its way. LEAVING counts from where the series was last at home, before the passage. */
#define TRANSITION_QUIET_MOVING  0.25
#define TRANSITION_QUIET_LEAVING 0.18
/* ...and at least as many points: they are the new level. */
#define TRANSITION_QUIET 8
/* In h, from the middle: an even drift does not reach it. */
#define TRANSITION_LEAVE 5.0
/* Of the range of y: ripples behind a great fall are not told of. */
#define TRANSITION_MIN_SHARE 0.2
/* A passage keeps so many places of its way; when they are full every other one is dropped, so that
 * start and end are known to 1/32 of its length. */
#define TRANSITION_TRAIL 64
/* Scales, each of three points of the one below: the last sees 3^7 = 2187 points as one, enough for
 * a fall over ten thousands. */
#define TRANSITION_SCALES 8

enum transition_direction {
    TRANSITION_FALL,
    TRANSITION_RISE,
};

/* "fall", "rise". */
const char *transition_direction_name(enum transition_direction);

struct transition {
    enum transition_direction direction;
    int64_t start; /* step at which it had covered 10 % of the way */
    int64_t end;   /* 90 % */
    double from;   /* the levels before and after */
    double to;
    double size; /* |to - from| > 0 */
    /* 1 - (4/9) (sigma / size)^2, sigma = 1.48 of s, w, h or spread: no noise of one peak and of
     * this scale would carry a single point as far with a greater probability than the rest to 1.
     * At least 0.98. */
    double confidence;
};

struct transition_place {
    int64_t step;
    double y;
};

/* Places of a stretch that may be of any length: when it is full every other one is dropped. */
struct transition_trail {
    struct transition_place places[TRANSITION_TRAIL];
    size_t n;
    uint64_t stride; /* every so many-th y is kept */
    uint64_t skipped;
};

/* A passage under way. */
struct transition_passage {
    bool is_moving;
    double sign;      /* +1 rising, -1 falling */
    double from;      /* the level that it left */
    double scale;     /* how far the series strays of itself, when it began: s, w or h */
    double slope;     /* gain a point that it has to show on the way */
    double quiet;     /* share of its points that have to be quiet at its end */
    double gained;    /* at most */
    uint64_t n_moved; /* points since it left the level */
    struct transition_trail trail;
};

/* One scale of a detector. */
struct transition_scale {
    /* three of its points become one of the next scale */
    struct transition_place block[3];
    size_t n_block;

    struct transition_place raw[TRANSITION_QUIET]; /* the last x, newest last */
    size_t n_raw;
    struct transition_place recent[TRANSITION_LEVEL + TRANSITION_LAG]; /* the last y */
    size_t n_recent;
    double deviation[TRANSITION_SCALE]; /* the last |d|, a ring */
    size_t n_deviations;                /* ever pushed */
    double s;                           /* in force; infinite while too little is known */
    double began_s;                     /* when the passage began */

    struct transition_passage passage;
};

struct transition_detector {
    struct transition_scale scales[TRANSITION_SCALES];
    struct transition_trail stay; /* of the finest scale's y */
    struct transition_passage leave;
    bool has_last;
    int64_t last_step;
    bool has_range;
    double low, high; /* of y at the finest scale, behind its first points */
};

void transition_init(struct transition_detector *);

/* Takes the next point. A value that is not finite, and a step that is not beyond the last one, are
 * passed over. Returns true with a transition that this point has completed. */
bool transition_feed(struct transition_detector *, int64_t step, double value,
                     struct transition *out);
