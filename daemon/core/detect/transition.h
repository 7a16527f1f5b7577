/* Finds transitions in a series while it grows: passages from one level to another that are abrupt
 * beside what the series did before. A detector owns its state, a few kilobytes of plain memory;
 * one thread at a time uses it; it reads no clock and allocates nothing. watch.h decides which
 * series are watched, its owner what a transition leads to.
 *
 * The way through the room: watch_feed takes a point and gives each watched measure of it to
 * transition_feed. A value enters the finest scale; three points of a scale make one of the next. A
 * scale either waits (IDLE) or follows a passage (MOVING), and beside the scales one more state
 * follows the stay (STAYING, LEAVING). When a passage stops it is judged, and a transition leaves
 * as a finding (finding.h). Nothing fails: values that are not finite, and old steps, change
 * nothing.
 *
 * A detector names a transition, never its cause: D_LR may fall without generalisation, and rise
 * with it.
 *
 * METHOD. It counts points, not steps, so log-spaced checkpoints are as good as dense ones.
 *
 *   y_i = med(x_i-4 .. x_i)               one or two spikes in a row do not move it
 *   L_i = med(y_i-11 .. y_i-4)            the level the series comes from
 *   d_i = y_i - L_i
 *   s_i = med |d_k| over the last 64      how far it usually strays, by noise or by drift
 *
 *   h   = half the width of where y was in the first half of its stay: since the series began
 *         or last had a transition
 *   w   = h less half the way from the first of these y to the last: a drift has none
 *
 * A passage begins in one of two ways, each with a state of its own: the series is faster than
 * usual, |d| > 3 s (IDLE -> MOVING), or it is far from where it was, 5 h from the middle of that
 * (STAYING -> LEAVING). It is over when its last points, at least 8, have added less than 1/8 to
 * what was gained before them. The median of the last 8 is then the new level. It is a transition
 * when
 *
 *   the levels are 8 s apart, 8 w (MOVING) or 8 h (LEAVING), and 8 times the spread of the last 8
 *   points about the new one;
 *
 *   it kept its speed, if it began by speed: on the way it gained per length of d what began it;
 *
 *   the distance of the levels is a fifth of the range of the series.
 *
 * If it falls back to a third of its gain before that, it was an excursion.
 *
 *           |d| > 3 s                         no gain for a while: an event, or nothing
 *   IDLE ---------------------> MOVING  ----------------------------------------------> IDLE
 *           5 h from the middle               the same
 *   STAYING ------------------> LEAVING ----------------------------------------------> STAYING
 *                                    \-- either: gone back to a third ----------------> as before
 *
 * s measures how the series moves within 8 points, h and w where it has been at all. A series that
 * wanders has a small s and a large w. A series that was restless before it settled has a large s,
 * also while it falls, but its h does not grow: h finds a gradual fall.
 *
 * The slope of a drift enters s, and half of the drift enters h. In an even drift the series is 3 h
 * from the middle, in a quadratic one 7 h, but a drift has no end. So neither has a transition (of
 * noisy drifts, 6 in 1,000 have one), and a series that only becomes noisier has none. With dense
 * points any fall would look like a drift. So MOVING also runs on 3, 9, 27, ... points at a time:
 * each point is the median of three of the scale below, and a fall over hundreds of points is
 * abrupt again. The first scale that ends a passage reports it, and all scales start over behind
 * it.
 *
 * WHAT WAS MEASURED (tests/data). The constants were chosen with seeds 0 to 3 of addition mod 97
 * under squared error and seed 0 under cross-entropy. In four further runs, seeds 4 to 7, the one
 * fall is found, 10 points after its end; in two further runs under cross-entropy nothing is found.
 * Later drifts were left out of w, for made-up series; that changed none of these results.
 *
 * No constant has a unit, and an offset changes nothing, so other measures may be fed. The
 * logarithm of a measure is another series. test_watch.c shows what other measures give.
 *
 * What it misses: a fall in the first 23 points, and a fall so soon after a restless start that the
 * first half of the stay holds all of the start.
 *
 * Start and end are where the passage has covered 10 % and 90 % of the way between the levels.
 *
 * SOURCES. The hysteresis is that of Page's cumulative sums (E. S. Page, Biometrika 41, 1954), with
 * medians and their absolute deviations in place of means for the sake of spikes (P. J. Huber,
 * Robust Statistics, 1981); the scales are the remedian (P. J. Rousseeuw, G. W. Bassett, JASA 85,
 * 1990); levels, 10 % and 90 % are those of IEEE Std 181 for transitions of waveforms. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Points whose median is y: two spikes in a row leave three good ones. */
#define TRANSITION_SMOOTH 5
/* Points y in the level L, and from the last of L to now. For 2 points a step is in all of y and in
 * none of L, whatever its phase. */
#define TRANSITION_LEVEL 8
#define TRANSITION_LAG   4
/* s is the median of so many |d|, and is used from SCALE_MIN of them on. With 64 it varies by 10 %,
 * with 8 by 30 %: 8 s are then still 5. */
#define TRANSITION_SCALE     64
#define TRANSITION_SCALE_MIN 8
/* SMOOTH + LEVEL + LAG + 6: so many come before a passage can begin. */
#define TRANSITION_POINTS_MIN 23
/* In normal noise d has a standard deviation of 1.5 s. 3 s are 2 of these, which one point in
 * twenty has: it costs nothing to begin. 8 s are 5.4, and have to last: no series of noise shows
 * that (test_transition.c has the counts). */
#define TRANSITION_ENTER  3.0
#define TRANSITION_ACCEPT 8.0
/* Back to this share of the greatest gain is an excursion. Half is too strict: the fall of D_LR
 * while a network groks loses half of its first part again (tests/data, seed 1). */
#define TRANSITION_BACK (1.0 / 3)
/* A passage has stopped when it has added less than this share to its gain... */
#define TRANSITION_GAIN 0.125
/* ...within this share of its points (MOVING, LEAVING). An exponential approach has then covered 85
 * % and 80 % of its way. LEAVING counts from where the series was last inside its band. */
#define TRANSITION_QUIET_MOVING  0.25
#define TRANSITION_QUIET_LEAVING 0.18
/* ...and within at least so many points: they are the new level. */
#define TRANSITION_QUIET 8
/* In h, from the middle: an even drift does not reach it. */
#define TRANSITION_LEAVE 5.0
/* A share of the range of y: ripples after a great fall are no transitions. */
#define TRANSITION_MIN_SHARE 0.2
/* A passage stores so many places of its way. When they are full every other one is dropped, so
 * start and end are known to 1/32 of its length. */
#define TRANSITION_TRAIL 64
/* Scales; a point of a scale is three of the scale below. The last sees 3^7 = 2187 points as one,
 * which is enough for a fall over tens of thousands. */
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
    double size;      /* |to - from| > 0 */
    int64_t returned; /* step at which it was found to have gone back; -1 while it lasts */
};

/* A value of the series, with its standard error: NaN where none is known. */
struct transition_point {
    int64_t step;
    double value;
    double se;
};

/* What a point has brought. */
enum transition_news {
    TRANSITION_NONE,
    TRANSITION_FOUND,    /* a passage between two levels */
    TRANSITION_RETURNED, /* the last one that was found has gone back to the level it came from */
};

struct transition_place {
    int64_t step;
    double y;
};

/* Places of a stretch of any length: when it is full every other place is dropped. */
struct transition_trail {
    struct transition_place places[TRANSITION_TRAIL];
    size_t n;
    uint64_t stride; /* every stride-th y is stored */
    uint64_t skipped;
};

/* A passage under way. */
struct transition_passage {
    bool is_moving;
    double sign;      /* +1 rising, -1 falling */
    double from;      /* the level that it left */
    double stray;     /* how far the series strayed when it began: s, w or h */
    double slope;     /* gain per point that it needs on the way */
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
    size_t n_points; /* taken, up to TRANSITION_POINTS_MIN */
    bool has_last;
    int64_t last_step;
    bool has_range;
    double low, high; /* of y at the finest scale, after its first points */
};

void transition_init(struct transition_detector *);

/* Takes the next point. A value that is not finite changes nothing, nor does a step that is not
 * beyond the last one. FOUND: *out is a new transition. RETURNED: *out is the transition that was
 * found last, with `returned` set; nothing more will be told of it. */
enum transition_news transition_feed(struct transition_detector *, const struct transition_point *,
                                     struct transition *out);

/* False while the series is too short to judge: fewer than TRANSITION_POINTS_MIN points. */
bool transition_is_ready(const struct transition_detector *);
