#include "client/ctl/top/list.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/shown.h"
#include "client/ctl/common/text.h"

/* A rate is taken over one to two of these. */
#define RATE_S 30.0
/* Earlier it would jump. */
#define RATE_LEAST_S 5.0

struct toplist {
    const char *layer;
    struct toprun **by_id; /* sorted, to be found */
    struct toprun **wanted;
    size_t n, size;
};

struct toplist *toplist_new(const char *layer)
{
    struct toplist *list = calloc(1, sizeof *list);

    if (list)
        list->layer = layer;
    return list;
}

static void free_run(struct toprun *run)
{
    if (!run)
        return;
    free(run->run);
    free(run->label);
    free(run->layer);
    free(run->shown_layer);
    free(run->samples);
    free(run);
}

void toplist_clear(struct toplist *list)
{
    for (size_t i = 0; i < list->n; i++)
        free_run(list->by_id[i]);
    list->n = 0;
}

void toplist_free(struct toplist *list)
{
    if (!list)
        return;
    toplist_clear(list);
    free(list->by_id);
    free(list->wanted);
    free(list);
}

/* Where the run stands in by_id, or would. */
static size_t find(const struct toplist *list, const char *run, bool *found)
{
    size_t low = 0, high = list->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(list->by_id[middle]->run, run) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < list->n && strcmp(list->by_id[low]->run, run) == 0;
    return low;
}

/* What was there stays when memory runs out. */
static bool resize(struct toprun ***runs, size_t n)
{
    struct toprun **resized = realloc(*runs, n * sizeof(struct toprun *));

    if (resized)
        *runs = resized;
    return resized != NULL;
}

static bool grow(struct toplist *list)
{
    size_t size = list->size ? 2 * list->size : 64;

    if (list->n < list->size)
        return true;
    if (!resize(&list->by_id, size) || !resize(&list->wanted, size))
        return false;
    list->size = size;
    return true;
}

static struct toprun *new_run(const cJSON *object)
{
    struct toprun *run = calloc(1, sizeof *run);
    char *label = NULL;

    if (!run || asprintf(&label, "%s/%s", member_text(object, "project", ""),
                         member_text(object, "name", "")) < 0) {
        free(run);
        return NULL;
    }
    run->run = strdup(member_text(object, "run", ""));
    run->label = text_escape(label);
    run->created = member_number(object, "created");
    run->attempt = run->step = run->n_points = run->updated = (double)NAN;
    run->d_lr = run->d_debiased = (double)NAN;
    free(label);
    if (run->run && run->label)
        return run;
    free_run(run);
    return NULL;
}

/* The run of that object, made where it is new; NULL without memory. */
static struct toprun *obtain(struct toplist *list, const cJSON *object)
{
    bool found;
    size_t i = find(list, member_text(object, "run", ""), &found);
    struct toprun *run;

    if (found)
        return list->by_id[i];
    run = grow(list) ? new_run(object) : NULL;
    if (!run)
        return NULL;
    memmove(list->by_id + i + 1, list->by_id + i, (list->n - i) * sizeof(struct toprun *));
    list->by_id[i] = run;
    list->n++;
    return run;
}

/* Sets `*to`; notes whether it differs. Two NaN are equal. */
static void set_number(double *to, double value, bool *changed)
{
    if (*to != value && !(isnan(*to) && isnan(value)))
        *changed = true;
    *to = value;
}

/* Of the layers of a RUN OBJECT the one to show, or NULL. */
static const cJSON *choose_layer(const struct toplist *list, const cJSON *layers)
{
    const cJSON *layer, *chosen = NULL;

    cJSON_ArrayForEach(layer, layers)
    {
        if (!list->layer || strcmp(member_text(layer, "layer", ""), list->layer) == 0)
            chosen = layer;
    }
    return chosen;
}

static bool name_layer(struct toprun *run, const char *name, int n_layers, bool *changed)
{
    char *escaped = text_escape(name), *shown = NULL;

    if (!escaped)
        return false;
    if (asprintf(&shown, n_layers > 1 ? "%s +%d" : "%s", escaped, n_layers - 1) < 0)
        shown = NULL;
    free(escaped);
    if (!run->layer || strcmp(run->layer, name) != 0) {
        free(run->layer);
        run->layer = strdup(name);
        run->sampled = false;
        *changed = true;
    }
    free(run->shown_layer);
    run->shown_layer = shown;
    return run->layer && shown;
}

/* Of the latest point: a layer of run.list and a POINT have the same members. */
static void take_values(struct toprun *run, const cJSON *object, bool *changed)
{
    set_number(&run->step, member_number(object, "step"), changed);
    set_number(&run->d_lr, member_number(object, "d_lr"), changed);
    set_number(&run->d_debiased, member_number(object, "d_debiased"), changed);
}

/* The points have the same values; either may come first. */
static bool take_layer(const struct toplist *list, struct toprun *run, const cJSON *layers,
                       bool *changed)
{
    const cJSON *layer = choose_layer(list, layers);

    if (!layer)
        return true;
    if (!name_layer(run, member_text(layer, "layer", ""), cJSON_GetArraySize(layers), changed))
        return false;
    take_values(run, layer, changed);
    return true;
}

static void count(struct toprun *run, double now_s)
{
    struct topcount now = {now_s, run->n_points};

    if (run->now.time_s == 0)
        run->then = run->later = now;
    run->now = now;
    if (now_s - run->later.time_s < RATE_S)
        return;
    run->then = run->later;
    run->later = now;
}

int toplist_take_run(struct toplist *list, const cJSON *object, double now_s)
{
    struct toprun *run = obtain(list, object);
    const char *state = member_text(object, "state", "");
    double attempt;
    bool changed = false;

    assert(list && isfinite(now_s));
    if (!run)
        return -ENOMEM;
    attempt = run->attempt;
    set_number(&run->attempt, member_number(object, "attempt"), &changed);
    set_number(&run->n_points, member_number(object, "n_points"), &changed);
    set_number(&run->updated, member_number(object, "updated"), &changed);
    changed = changed || strcmp(run->state, state) != 0;
    snprintf(run->state, sizeof run->state, "%s", state);
    /* The new attempt may have superseded points of the old one. */
    if (attempt != run->attempt)
        run->sampled = false;
    count(run, now_s);
    if (!take_layer(list, run, member(object, "layers"), &changed))
        return -ENOMEM;
    run->changed = run->changed || changed;
    return changed;
}

int toplist_take_point(struct toplist *list, const cJSON *point)
{
    bool found, changed = false;
    size_t i = find(list, member_text(point, "run", ""), &found);
    struct toprun *run = found ? list->by_id[i] : NULL;

    assert(list);
    if (!run || !run->layer || strcmp(run->layer, member_text(point, "layer", "")) != 0)
        return 0;
    take_values(run, point, &changed);
    if (run->sampled)
        toprun_add_sample(run, run->step, shown_value(run->d_debiased, run->d_lr));
    run->changed = run->changed || changed;
    return changed;
}

bool toprun_clear_samples(struct toprun *run)
{
    if (!run->samples)
        run->samples = calloc(TOP_SAMPLES, sizeof run->samples[0]);
    run->n_samples = 0;
    return run->samples != NULL;
}

void toprun_add_sample(struct toprun *run, double step, double value)
{
    bool goes_back = run->n_samples > 0 && step < run->samples[run->n_samples - 1].step;

    assert(run->samples);
    /* The point that a query and a subscription both brought. */
    if (run->n_samples > 0 && step == run->samples[run->n_samples - 1].step)
        return;
    if (!isfinite(step) || goes_back || run->n_samples == TOP_SAMPLES)
        run->sampled = false;
    else
        run->samples[run->n_samples++] = (struct topsample){step, value};
}

static int compare(double a, double b)
{
    /* NaN behind all numbers. */
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static bool is_open(const struct toprun *run)
{
    return strcmp(run->state, "open") == 0;
}

static int by_created(const struct toprun *toprun, const struct toprun *b)
{
    int open = (int)is_open(b) - (int)is_open(toprun);

    return open ? open : compare(-toprun->created, -b->created);
}

static int by_updated(const struct toprun *toprun, const struct toprun *b)
{
    return compare(-toprun->updated, -b->updated);
}

static int by_label(const struct toprun *toprun, const struct toprun *b)
{
    return strcmp(toprun->label, b->label);
}

static int by_d_lr(const struct toprun *toprun, const struct toprun *b)
{
    return compare(shown_value(toprun->d_debiased, toprun->d_lr),
                   shown_value(b->d_debiased, b->d_lr));
}

static const struct {
    const char *name;
    int (*compare)(const struct toprun *, const struct toprun *);
} orders[TOP_ORDERS] = {
    [TOP_NEWEST] = {"newest", by_created},
    [TOP_UPDATED] = {"updated", by_updated},
    [TOP_NAME] = {"name", by_label},
    [TOP_D_LR] = {"d_lr", by_d_lr},
};

const char *top_order_name(enum top_order order)
{
    assert(order < TOP_ORDERS);
    return orders[order].name;
}

static int compare_runs(const void *a, const void *b, void *order)
{
    const struct toprun *const *left = a, *const *right = b;
    int rc = orders[*(const enum top_order *)order].compare(*left, *right);

    /* Rows that are equal keep their places. */
    return rc ? rc : strcmp((*left)->run, (*right)->run);
}

static bool matches(const struct toprun *run, const char *filter)
{
    return !filter || !*filter || strcasestr(run->label, filter) || strcasestr(run->run, filter) ||
           strcasestr(run->state, filter) || (run->layer && strcasestr(run->layer, filter));
}

size_t toplist_select(struct toplist *list, enum top_order order, const char *filter,
                      struct toprun *const **out)
{
    size_t n = 0;

    assert(order < TOP_ORDERS && out);
    for (size_t i = 0; i < list->n; i++) {
        if (matches(list->by_id[i], filter))
            list->wanted[n++] = list->by_id[i];
    }
    if (n > 1)
        qsort_r(list->wanted, n, sizeof(struct toprun *), compare_runs, &order);
    *out = list->wanted;
    return n;
}

size_t toplist_count(const struct toplist *list, size_t *n_open)
{
    assert(n_open);
    *n_open = 0;
    for (size_t i = 0; i < list->n; i++)
        *n_open += is_open(list->by_id[i]);
    return list->n;
}

double toprun_rate(const struct toprun *run, double now_s)
{
    double time_s = now_s - run->then.time_s;

    if (!is_open(run) || time_s < RATE_LEAST_S || run->then.time_s == 0)
        return (double)NAN;
    return fmax(0, run->now.n - run->then.n) / time_s;
}
