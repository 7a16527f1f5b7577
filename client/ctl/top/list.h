/* The runs that top shows: what is known of each, and which of them are wanted in which order. RUN
 * OBJECTs and POINTs keep it up to date. Pure: JSON and the time in, rows out; it owns the rows.
 * Tested by test_view.c.
 *
 * The way through the room: feed.h asks the daemon, and puts what comes into this list; view.h
 * draws the rows that the list selects. cmd_top.c, above the room, waits, takes keys and calls the
 * three. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Points kept of a curve: a few for each column of a wide terminal. */
#define TOP_SAMPLES 256

struct topsample {
    double step;
    double value; /* NaN where the measure is null */
};

/* A count at a time; two of them give a rate. */
struct topcount {
    double time_s;
    double n;
};

struct toprun {
    char *run;         /* its id */
    char *label;       /* project/name, escaped */
    char *layer;       /* whose D_LR is shown; NULL: none yet */
    char *shown_layer; /* its name, escaped; "head +2" says that there are two more */
    char state[16];
    double attempt;
    double step, d_lr, d_debiased; /* of the layer's latest point; NaN before */
    double n_points;               /* of all layers */
    double created, updated;
    struct topcount then, later, now; /* n_points 30 to 60 s ago, less long ago, and last */
    struct topsample *samples;        /* the curve: TOP_SAMPLES, or NULL */
    size_t n_samples;
    bool sampled; /* samples are all there is: points are added as they come */
    bool changed; /* since the caller cleared it */
};

enum top_order {
    TOP_NEWEST, /* open runs first, then by age */
    TOP_UPDATED,
    TOP_NAME,
    TOP_D_LR, /* the rich first */
    TOP_ORDERS,
};

struct toplist;

/* An empty list (free with toplist_free), or NULL. Of runs with several layers it shows `layer`, or
 * the last one (NULL); borrowed for the list's life. */
struct toplist *toplist_new(const char *layer);
void toplist_free(struct toplist *);
/* Forgets all runs. */
void toplist_clear(struct toplist *);

/* Takes what a RUN OBJECT or a POINT says. A point of a run that is not here is skipped: the run
 * itself will be listed. Returns 1 when something is new, 0 when not, -ENOMEM. */
int toplist_take_run(struct toplist *, const cJSON *run, double now_s);
int toplist_take_point(struct toplist *, const cJSON *point);

/* Puts a sample at the end of a run's curve. A curve that is full, or goes back (a run that
 * resumed), is no longer `sampled`: it is to be asked for. */
void toprun_add_sample(struct toprun *, double step, double value);
/* Empties the curve. Returns false without memory. */
bool toprun_clear_samples(struct toprun *);

/* The runs whose label, id, layer or state holds `filter` (NULL or "": all; ASCII letters match in
 * either case), in order. Returns their number; `*out` borrows until the next call, or any change.
 */
size_t toplist_select(struct toplist *, enum top_order, const char *filter,
                      struct toprun *const **out);

/* All runs, and those that are open. */
size_t toplist_count(const struct toplist *, size_t *n_open);

/* Points a second, over the last half a minute to a minute, or since the run is watched. NaN for a
 * run that is not open, and for the first five seconds. */
double toprun_rate(const struct toprun *, double now_s);

/* "newest", ... */
const char *top_order_name(enum top_order);
