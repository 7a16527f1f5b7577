#include "daemon/core/detect/watch.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct watch_list watch_default = {
    .n = 2,
    .metrics = {METRIC_D_DEBIASED, METRIC_D_LR},
    .in_turn = true,
};

/* Places of which the rows are remembered: as many as a passage remembers of its way. */
#define ROWS_MAX 64
/* So many of them, nearest to the passage, make the mean on its side. */
#define ROWS_BESIDE 8

/* n over the steps, of a series of any length: when it is full every other place is dropped. */
struct rows {
    struct {
        int64_t step;
        double n;
    } places[ROWS_MAX];
    size_t n;
    size_t stride; /* every stride-th point is stored */
    size_t skipped;
};

/* One measure, or one scalar. */
struct series {
    enum metric metric;
    int se; /* the metric that is its standard error, -1: none */
    char scalar[SCALAR_NAME_MAX + 1];
    bool has_begun;
    struct finding told; /* the last one found */
    struct transition_detector detector;
};

struct watch {
    bool in_turn;
    struct rows rows;
    size_t n;
    struct series series[];
};

/* ---- which points count ---------------------------------------------------------------------- */

/* Measures that are taken against the outputs' projector. */
static const enum metric projected[] = {METRIC_D_LR, METRIC_D_DEBIASED, METRIC_U,
                                        METRIC_U_DEBIASED};

/* Flags of a point whose values tell of something else than the network. */
static const struct {
    enum flag flag;
    bool only_projected; /* the other measures are sound */
} spoilers[] = {
    {FLAG_PARTIAL, false},       /* which rows were lost depends on the daemon's load */
    {FLAG_NOT_CONVERGED, false}, /* some sums are not numbers */
    {FLAG_LOW_PRECISION, false}, /* the format's steps are as large as the features' spread */
    {FLAG_CONSTANT, true},       /* ratios of rounding */
    {FLAG_DEGENERATE, true},     /* n or isotropy alone */
};

static bool is_projected(enum metric metric)
{
    for (size_t i = 0; i < sizeof projected / sizeof *projected; i++) {
        if (projected[i] == metric)
            return true;
    }
    return false;
}

bool watch_takes(enum metric metric, const struct point *point)
{
    if (!isfinite(point->value[metric]))
        return false;
    if (metric_table[metric].needs == NEEDS_TRAINER)
        return true; /* it is of no row */
    for (size_t i = 0; i < sizeof spoilers / sizeof *spoilers; i++) {
        if ((point->flags & spoilers[i].flag) &&
            (!spoilers[i].only_projected || is_projected(metric)))
            return false;
    }
    return true;
}

/* ---- the rows behind the points -------------------------------------------------------------- */

static void note_rows(struct rows *rows, int64_t step, double n)
{
    if (++rows->skipped < rows->stride)
        return;
    rows->skipped = 0;
    if (rows->n == ROWS_MAX) {
        for (size_t i = 0; i < ROWS_MAX / 2; i++)
            rows->places[i] = rows->places[2 * i];
        rows->n /= 2;
        rows->stride *= 2;
    }
    rows->places[rows->n].step = step;
    rows->places[rows->n++].n = n;
}

/* The mean over the nearest places at or before `step`. */
static double rows_before(const struct rows *rows, int64_t step)
{
    double sum = 0;
    size_t count = 0;

    for (size_t i = rows->n; i-- > 0 && count < ROWS_BESIDE;) {
        if (rows->places[i].step > step)
            continue;
        sum += rows->places[i].n;
        count++;
    }
    return count ? sum / (double)count : (double)NAN;
}

/* The mean over the nearest places at or behind `step`; when the places are too far apart, of the
 * point that completed the passage. */
static double rows_behind(const struct rows *rows, int64_t step, double n_now)
{
    double sum = 0;
    size_t count = 0;

    for (size_t i = 0; i < rows->n && count < ROWS_BESIDE; i++) {
        if (rows->places[i].step < step)
            continue;
        sum += rows->places[i].n;
        count++;
    }
    return count ? sum / (double)count : n_now;
}

/* ---- a watch --------------------------------------------------------------------------------- */

/* The metric NAME_se, or -1. */
static int find_se(enum metric metric)
{
    char name[64];

    snprintf(name, sizeof name, "%s_se", metric_table[metric].name);
    return metric_find(name);
}

static struct watch *new_watch(size_t n)
{
    struct watch *watch = calloc(1, sizeof *watch + n * sizeof *watch->series);

    assert(n <= RUN_WATCHED_MAX);
    if (!watch)
        return NULL;
    watch->rows.stride = 1;
    watch->n = n;
    for (size_t i = 0; i < n; i++)
        transition_init(&watch->series[i].detector);
    return watch;
}

struct watch *watch_new(const struct watch_list *list)
{
    struct watch *watch = new_watch(list->n);

    for (size_t i = 0; watch && i < list->n; i++) {
        watch->series[i].metric = list->metrics[i];
        watch->series[i].se = find_se(list->metrics[i]);
    }
    if (watch)
        watch->in_turn = list->in_turn;
    return watch;
}

struct watch *watch_new_scalars(const struct watch_list *list)
{
    struct watch *watch = new_watch(list->n_scalars);

    for (size_t i = 0; watch && i < list->n_scalars; i++)
        snprintf(watch->series[i].scalar, sizeof watch->series[i].scalar, "%s", list->scalars[i]);
    return watch;
}

void watch_free(struct watch *watch)
{
    free(watch);
}

/* Gives the series its next point. True with what it has brought in the series' `told`, which the
 * caller completes when it is new. */
static bool series_feed(struct series *series, const struct transition_point *point)
{
    struct transition transition = {.returned = -1};
    enum transition_news news = transition_feed(&series->detector, point, &transition);

    series->has_begun = true;
    if (news == TRANSITION_NONE)
        return false;
    if (news == TRANSITION_FOUND)
        series->told = (struct finding){0};
    series->told.transition = transition;
    return true;
}

/* Whether the metric before this one is there, for which it would stand in. */
static bool is_not_needed(const struct watch *watch, size_t i)
{
    return watch->in_turn && i > 0 && watch->series[i - 1].has_begun;
}

static bool feed_metric(struct watch *watch, struct series *series, uint32_t attempt,
                        const struct point *point)
{
    struct transition_point next = {point->step, point->value[series->metric],
                                    series->se < 0 ? (double)NAN : point->value[series->se]};

    if (!watch_takes(series->metric, point) || !series_feed(series, &next))
        return false;
    if (series->told.transition.returned >= 0)
        return true;
    series->told.metric = metric_table[series->metric].name;
    series->told.attempt = attempt;
    series->told.step = point->step;
    series->told.time = point->time;
    series->told.n_from = rows_before(&watch->rows, series->told.transition.start);
    series->told.n_to = rows_behind(&watch->rows, series->told.transition.end, point->n);
    return true;
}

size_t watch_feed(struct watch *watch, uint32_t attempt, const struct point *point,
                  struct finding out[RUN_WATCHED_MAX])
{
    size_t n_found = 0;

    if (!(point->flags & FLAG_PARTIAL))
        note_rows(&watch->rows, point->step, point->n);
    for (size_t i = 0; i < watch->n && !is_not_needed(watch, i); i++) {
        if (feed_metric(watch, &watch->series[i], attempt, point))
            out[n_found++] = watch->series[i].told;
    }
    return n_found;
}

static const struct scalar *find_scalar(const struct scalar *scalars, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(scalars[i].name, name) == 0)
            return &scalars[i];
    }
    return NULL;
}

size_t watch_log_feed(struct watch *watch, uint32_t attempt, int64_t step, double time,
                      const struct scalar *scalars, size_t n, struct finding out[RUN_WATCHED_MAX])
{
    size_t n_found = 0;

    for (size_t i = 0; i < watch->n; i++) {
        struct series *series = &watch->series[i];
        const struct scalar *scalar = find_scalar(scalars, n, series->scalar);

        if (!scalar ||
            !series_feed(series, &(struct transition_point){step, scalar->value, (double)NAN}))
            continue;
        if (series->told.transition.returned < 0) {
            series->told.attempt = attempt;
            series->told.step = step;
            series->told.time = time;
            series->told.n_from = series->told.n_to = NAN;
        }
        series->told.metric = scalar->name;
        out[n_found++] = series->told;
    }
    return n_found;
}
