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
 * A passage begins when |d| > 3 s (IDLE -> MOVING) and goes on while the series gains 10 % upon
 * what it has gained. It is over when a third of its own length, at least 8 points, has brought no
 * such gain; the median of the last 8 points is then the new level. It is a transition when
 *
 *   the levels are 8 s apart, and 8 times the spread of the last 8 points about the new one;
 *   on the way it gained as much over d's length as made it begin: 3 s in 8 points;
 *   the levels are a fifth of all that the series has shown apart.
 *
 * If it goes back to a third of its gain before that, it was an excursion.
 *
 *             |d| > 3 s                     no gain for a while: an event, or nothing
 *     IDLE ------------------> MOVING ------------------------------------------------> IDLE
 *                                  \------ gone back to a third ------------------------> IDLE
 *
 * Since drift enters s by its own slope, a series that drifts all the time gains s in 8 points and
 * has no transition (of noisy drifts, under 1 % do); nor has one that only becomes noisier. Dense
 * points would make any fall a drift: the same machine therefore also runs on points 3, 9, 27, ...
 * at a time, each the median of three of the scale below, where a fall over hundreds of points is
 * abrupt again. Whichever scale is first to end a passage tells of it, and all begin anew behind
 * it.
 *
 * What it misses: a fall that is gradual in a series that was restless before and is too short for
 * the coarser scales. Of four runs of addition mod 97 (tests/data) one is missed for that reason.
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
 * counts are in tests/unit/core/test_transition.c). */
#define TRANSITION_ENTER  3.0
#define TRANSITION_ACCEPT 8.0
/* Back to this share of the greatest gain: an excursion. Half is too strict: the fall of D_LR while
 * a network groks takes back half of its first part (tests/data, seed 1). */
#define TRANSITION_BACK (1.0 / 3)
/* A passage has stopped when it has not gained this share on itself... */
#define TRANSITION_GAIN 0.1
/* ...within this share of its own length: an exponential approach is then 9/10 of its way. */
#define TRANSITION_QUIET_SHARE (1.0 / 3)
/* ...and at least as many points: they are the new level. */
#define TRANSITION_QUIET 8
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
    /* 1 - (4/9) (sigma / size)^2, sigma = 1.48 s: no noise of one peak and of this scale would
     * carry a single point as far with a greater probability than the rest to 1. At least 0.98. */
    double confidence;
};

struct transition_place {
    int64_t step;
    double y;
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

    bool is_moving;
    double sign;      /* +1 rising, -1 falling */
    double from;      /* L when it began */
    double began_s;   /* s when it began */
    double gained;    /* greatest gain that counted */
    uint64_t n_moved; /* points until then, and since then */
    uint64_t n_quiet;
    struct transition_place trail[TRANSITION_TRAIL];
    size_t n_trail;
    uint64_t stride; /* every so many-th y is kept */
    uint64_t skipped;
};

struct transition_detector {
    struct transition_scale scales[TRANSITION_SCALES];
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
