/* Finds transitions in a series while it grows: passages from one level to another that are
 * improbable by the series' own wandering. A detector owns its state, tens of kilobytes of plain
 * memory; one thread at a time uses it; it reads no clock and allocates nothing. watch.h decides
 * which series are watched, its owner what a transition leads to.
 *
 * The way through: transition_feed appends a point to the finest scale; three places of a scale
 * make one of the next (their median), so that a fall over hundreds of points is short on some
 * scale. On each scale that got a place, find() asks of 13 lengths of a passage whether it has just
 * ended. The surest is told as FOUND, and all scales start over behind it. While the last one that
 * was found lasts, each point is asked whether the series has gone back: RETURNED. Nothing fails:
 * values that are not finite, and old steps, change nothing. It counts points, not steps.
 *
 * A detector names a transition, never its cause: D_LR may fall without generalisation, and rise
 * with it.
 *
 * METHOD. L_i is the mean of the middle half of the last w = 8 places: two spikes do not move it. A
 * passage of m places has the size D = |L_i - L_i-m|. It is a transition when
 *
 *   D^2 > z^2 (V_m + v_i + v_i-m),   z^2 = 2 ln(C s N / m),   C = 600
 *
 * N is the number of points since the series began or last had a transition, s = 1, 2... the number
 * of the scale. It had N / m opportunities to go so far by chance; P(|normal| > z) < exp(-z^2 / 2)
 * makes their sum a constant. v is the variance of a level by the standard errors that came with
 * the points (0 when none did).
 *
 * V_m is the variance that the series shows by wandering alone. It is learned from all levels
 * before the passage, at k = 1, 2, 4 (of points), 8, 16, 32 (of levels):
 *
 *   S_k = mean of (L_j - L_j-k)^2,   g_k = k (points), k - w/3 (levels)
 *   V_m = max( min_k (f_k S_k - known_k) g_m / g_k,  max_k S_k - known_k,  S_k' g_m / g_k' )
 *
 * g is how a random walk grows. White noise, 1/f noise and all that returns to a mean grow more
 * slowly, so any k gives an upper bound, and the best is taken. A series that is smoother than a
 * random walk grows faster: so what was seen at longer distances (k', the longest) counts as well.
 * f_k = exp((z^2 + 1) / (2 n_k)) turns the limit of a normal variable into that of Student's t, as
 * S_k is a mean of n_k = n / k free values only. (|t| = z exp((z^2 + 1) / (4 n)) to first order.)
 * Rejected: medians in place of the mean squares, which need three times as many points.
 *
 * Besides, the passage has to matter, to be over and to be new (the constants are in
 * transition.c): larger than 2 standard errors of the points, or 1e-4 of the values, a fifth of the
 * range of the series, and 7 times what the points about the new level allow; in its last fifth,
 * at least 8 places, it gains no more than an eighth; and the new level is outside of all levels
 * since the last transition by .65 of the passage. After a return both levels are known. So of a
 * square wave, or of restarts of a learning rate, one transition is told and closed, and no more.
 *
 * With dense points the slow start of a fall looks like a small passage. So one of 24 places or
 * more is told at once only when its last part, five standard errors included, is below a quarter
 * of it. Otherwise it is held back: it is told when the series has stayed for as long as it took,
 * and dropped when the series goes on.
 *
 * Start and end are where the passage has covered 10 % and 90 % of the way between the levels.
 *
 * WHAT WAS MEASURED (bench_detect, 1,000 runs a figure, 2026-11-27, AMD EPYC family 25 model 17;
 * normal noise; se the standard error that came with each point).
 *
 *   false alarms, % of runs; the same with se 1, .1 and not known
 *   points:               30    100    300   1000   3000
 *   white, 1/f             0      0      0      0      0
 *   AR(.9)                 0     .1      0     .1      0
 *   random walk            0     .1     .4     .4     .7
 *
 *   found of passages half way in 300 points, %, se known (not known)
 *   sigma:              3          4          5          6          8
 *   step             37 (15)    82 (67)    98 (96)   100 (100)  100
 *   over 10 points   28 (5)     66 (38)    92 (81)    99 (97)   100
 *   over 20 points   21 (2)     48 (15)    78 (48)    93 (80)   100 (99)
 *
 *   other numbers of rows (64 then 640, 1280 then 128, log-spaced, short last windows): nothing
 *
 * What it promises of others: nothing in drifts, in restarts that decay or follow a cosine, in
 * square waves of a period up to 40; in slower square waves one transition, and its return. An
 * excursion of up to 9 points is silent, one of 17 or more is told and closed.
 *
 * Real series (tests/data): the one fall of addition mod 97 under squared error, seeds 0 to 7, 10
 * or 11 points after its end; nothing under cross-entropy. The constants were chosen with these.
 * Made and tried afterwards, once: seeds 8 and 9, 13 and 11 points; cross-entropy seed 3, nothing.
 *
 * What it misses: the first 23 points; a passage that has fewer points before it than it takes
 * itself; one that is held back when the series ends.
 *
 * SOURCES. Differences at several distances: the structure function of A. N. Kolmogorov (1941), the
 * variogram of G. Matheron (1963); the many looks: C. E. Bonferroni; the scales: the remedian (P.
 * J. Rousseeuw, G. W. Bassett, JASA 85, 1990); 10 % and 90 %: IEEE Std 181 for transitions of
 * waveforms. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/detect/wander.h"

/* A series with fewer points is too short to judge: 8 for a level, 7 more levels before the
 * passage, and 8 points behind it. */
#define TRANSITION_POINTS_MIN 23
/* Places that a scale remembers one by one: two passages of the longest kind, and the level. */
#define TRANSITION_WINDOW 128
/* A place of a scale is three of the scale below. The last sees 3^7 = 2187 points as one, which is
 * enough for a fall over tens of thousands. */
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

struct transition_scale {
    struct wander_place block[3]; /* become one of the next scale */
    size_t n_block;
    struct wander_place places[TRANSITION_WINDOW]; /* newest last */
    size_t n;
    struct wander old; /* of the levels that left the window */
};

/* A passage that may go on: told unless it does within n_wait more places of its scale. */
struct transition_held {
    struct transition passage;
    ptrdiff_t scale;
    size_t n_wait; /* 0: none is held */
};

struct transition_detector {
    struct transition_scale scales[TRANSITION_SCALES];
    size_t n_points; /* taken */
    size_t n_stay;   /* since the last transition, or its return */
    int64_t last_step;
    double low, high; /* of all levels of the finest scale */
    struct transition_held held;
    struct transition last; /* that was found */
    bool is_open;           /* it has not returned */
};

void transition_init(struct transition_detector *);

/* Takes the next point. A value that is not finite changes nothing, nor does a step that is not
 * beyond the last one. FOUND: *out is a new transition. RETURNED: *out is the transition that was
 * found last, with `returned` set; nothing more will be told of it. */
enum transition_news transition_feed(struct transition_detector *, const struct transition_point *,
                                     struct transition *out);

/* False while the series is too short to judge: fewer than TRANSITION_POINTS_MIN points. */
bool transition_is_ready(const struct transition_detector *);
