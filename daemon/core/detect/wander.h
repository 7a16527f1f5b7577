/* How far a series goes without a transition: an upper bound of the variance of its way in so many
 * places, learned from the levels that it had, and where these lay. Plain values, which
 * transition.h keeps for each scale; one thread at a time; nothing fails. transition.h says what a
 * level is, gives the formula of V_m and its sources, and decides with it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Places in a level. */
#define WANDER_LEVEL 8
/* Distances at which the wandering is measured. */
#define WANDER_LAGS 6
/* The longest of them. */
#define WANDER_LAG_MAX 32

/* A point, or what some points were joined to. A scale has many: so the errors are floats. */
struct wander_place {
    int64_t step;
    double x;
    double level;       /* of the last WANDER_LEVEL places, from there on */
    float se, level_se; /* standard errors of x and of the level; 0: not known */
};

/* n squared differences at one distance; known: what the standard errors explain of their sum. */
struct wander_stray {
    double n, sum, known;
};

struct wander {
    double low, high; /* of the levels; INFINITY and -INFINITY before the first */
    struct wander_stray stray[WANDER_LAGS];
};

/* Takes the level of `to`, and how far it is from those of the n places before it that have one.
 * Borrows places until it returns. */
void wander_extend(struct wander *, const struct wander_place *to, size_t n);

/* Takes the level of `oldest`, and how far it is from those of the next WANDER_LAG_MAX places.
 * Forgets a little of all that it took. */
void wander_leave(struct wander *, const struct wander_place *oldest);

/* V_m: variance that a way of m >= WANDER_LEVEL places has by wandering alone, at most, for a limit
 * of sqrt(z2) standard deviations. Infinite when nothing was taken. */
double wander_variance(const struct wander *, size_t m, double z2);
