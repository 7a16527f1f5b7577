#include "client/ctl/top/list.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"

/* A rate is told over one to two of these. */
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
    struct toplist *l = calloc(1, sizeof *l);

    if (l)
        l->layer = layer;
    return l;
}

static void free_run(struct toprun *r)
{
    if (!r)
        return;
    free(r->run);
    free(r->label);
    free(r->layer);
    free(r->shown_layer);
    free(r->samples);
    free(r);
}

void toplist_clear(struct toplist *l)
{
    for (size_t i = 0; i < l->n; i++)
        free_run(l->by_id[i]);
    l->n = 0;
}

void toplist_free(struct toplist *l)
{
    if (!l)
        return;
    toplist_clear(l);
    free(l->by_id);
    free(l->wanted);
    free(l);
}

/* Where the run stands in by_id, or would. */
static size_t find(const struct toplist *l, const char *run, bool *found)
{
    size_t low = 0, high = l->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(l->by_id[middle]->run, run) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < l->n && strcmp(l->by_id[low]->run, run) == 0;
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

static bool grow(struct toplist *l)
{
    size_t size = l->size ? 2 * l->size : 64;

    if (l->n < l->size)
        return true;
    if (!resize(&l->by_id, size) || !resize(&l->wanted, size))
        return false;
    l->size = size;
    return true;
}

static struct toprun *new_run(const cJSON *object)
{
    struct toprun *r = calloc(1, sizeof *r);
    char *label = NULL;

    if (!r || asprintf(&label, "%s/%s", member_text(object, "project", ""),
                       member_text(object, "name", "")) < 0) {
        free(r);
        return NULL;
    }
    r->run = strdup(member_text(object, "run", ""));
    r->label = text_escape(label);
    r->created = member_number(object, "created");
    r->attempt = r->step = r->d_lr = r->n_points = r->updated = (double)NAN;
    free(label);
    if (r->run && r->label)
        return r;
    free_run(r);
    return NULL;
}

/* The run of that object, made where it is new; NULL without memory. */
static struct toprun *obtain(struct toplist *l, const cJSON *object)
{
    bool found;
    size_t i = find(l, member_text(object, "run", ""), &found);
    struct toprun *r;

    if (found)
        return l->by_id[i];
    r = grow(l) ? new_run(object) : NULL;
    if (!r)
        return NULL;
    memmove(l->by_id + i + 1, l->by_id + i, (l->n - i) * sizeof(struct toprun *));
    l->by_id[i] = r;
    l->n++;
    return r;
}

/* Sets `*to`; notes whether it differs. Two NaN are equal. */
static void set_number(double *to, double value, bool *changed)
{
    if (*to != value && !(isnan(*to) && isnan(value)))
        *changed = true;
    *to = value;
}

/* Of the layers of a RUN OBJECT the one to show, or NULL. */
static const cJSON *choose_layer(const struct toplist *l, const cJSON *layers)
{
    const cJSON *layer, *chosen = NULL;

    cJSON_ArrayForEach(layer, layers)
    {
        if (!l->layer || strcmp(member_text(layer, "layer", ""), l->layer) == 0)
            chosen = layer;
    }
    return chosen;
}

static bool name_layer(struct toprun *r, const char *name, int n_layers, bool *changed)
{
    char *escaped = text_escape(name), *shown = NULL;

    if (!escaped)
        return false;
    if (asprintf(&shown, n_layers > 1 ? "%s +%d" : "%s", escaped, n_layers - 1) < 0)
        shown = NULL;
    free(escaped);
    if (!r->layer || strcmp(r->layer, name) != 0) {
        free(r->layer);
        r->layer = strdup(name);
        r->sampled = false;
        *changed = true;
    }
    free(r->shown_layer);
    r->shown_layer = shown;
    return r->layer && shown;
}

/* The latest of the layer is in the points, too; whichever comes first. */
static bool take_layer(const struct toplist *l, struct toprun *r, const cJSON *layers,
                       bool *changed)
{
    const cJSON *layer = choose_layer(l, layers);

    if (!layer)
        return true;
    if (!name_layer(r, member_text(layer, "layer", ""), cJSON_GetArraySize(layers), changed))
        return false;
    set_number(&r->step, member_number(layer, "step"), changed);
    set_number(&r->d_lr, member_number(layer, "d_lr"), changed);
    return true;
}

static void count(struct toprun *r, double now_s)
{
    struct topcount c = {now_s, r->n_points};

    if (r->now.time_s == 0)
        r->then = r->later = c;
    r->now = c;
    if (now_s - r->later.time_s < RATE_S)
        return;
    r->then = r->later;
    r->later = c;
}

int toplist_take_run(struct toplist *l, const cJSON *object, double now_s)
{
    struct toprun *r = obtain(l, object);
    const char *state = member_text(object, "state", "");
    double attempt;
    bool changed = false;

    if (!r)
        return -ENOMEM;
    attempt = r->attempt;
    set_number(&r->attempt, member_number(object, "attempt"), &changed);
    set_number(&r->n_points, member_number(object, "n_points"), &changed);
    set_number(&r->updated, member_number(object, "updated"), &changed);
    changed = changed || strcmp(r->state, state) != 0;
    snprintf(r->state, sizeof r->state, "%s", state);
    /* The new attempt may have superseded points of the old one. */
    if (attempt != r->attempt)
        r->sampled = false;
    count(r, now_s);
    if (!take_layer(l, r, member(object, "layers"), &changed))
        return -ENOMEM;
    r->changed = r->changed || changed;
    return changed;
}

int toplist_take_point(struct toplist *l, const cJSON *point)
{
    bool found, changed = false;
    size_t i = find(l, member_text(point, "run", ""), &found);
    struct toprun *r = found ? l->by_id[i] : NULL;

    if (!r || !r->layer || strcmp(r->layer, member_text(point, "layer", "")) != 0)
        return 0;
    set_number(&r->step, member_number(point, "step"), &changed);
    set_number(&r->d_lr, member_number(point, "d_lr"), &changed);
    if (r->sampled)
        toprun_add_sample(r, r->step, r->d_lr);
    r->changed = r->changed || changed;
    return changed;
}

bool toprun_clear_samples(struct toprun *r)
{
    if (!r->samples)
        r->samples = calloc(TOP_SAMPLES, sizeof r->samples[0]);
    r->n_samples = 0;
    return r->samples != NULL;
}

void toprun_add_sample(struct toprun *r, double step, double value)
{
    bool goes_back = r->n_samples > 0 && step < r->samples[r->n_samples - 1].step;

    /* The point that a query and a subscription both brought. */
    if (r->n_samples > 0 && step == r->samples[r->n_samples - 1].step)
        return;
    if (!isfinite(step) || goes_back || r->n_samples == TOP_SAMPLES)
        r->sampled = false;
    else
        r->samples[r->n_samples++] = (struct topsample){step, value};
}

static int compare(double a, double b)
{
    /* NaN behind all numbers. */
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static bool is_open(const struct toprun *r)
{
    return strcmp(r->state, "open") == 0;
}

static int by_created(const struct toprun *a, const struct toprun *b)
{
    int open = (int)is_open(b) - (int)is_open(a);

    return open ? open : compare(-a->created, -b->created);
}

static int by_updated(const struct toprun *a, const struct toprun *b)
{
    return compare(-a->updated, -b->updated);
}

static int by_label(const struct toprun *a, const struct toprun *b)
{
    return strcmp(a->label, b->label);
}

static int by_d_lr(const struct toprun *a, const struct toprun *b)
{
    return compare(a->d_lr, b->d_lr);
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
    return orders[order].name;
}

static int compare_runs(const void *a, const void *b, void *order)
{
    const struct toprun *const *left = a, *const *right = b;
    int rc = orders[*(const enum top_order *)order].compare(*left, *right);

    /* Rows that are equal keep their places. */
    return rc ? rc : strcmp((*left)->run, (*right)->run);
}

static bool matches(const struct toprun *r, const char *filter)
{
    return !filter || !*filter || strcasestr(r->label, filter) || strcasestr(r->run, filter) ||
           strcasestr(r->state, filter) || (r->layer && strcasestr(r->layer, filter));
}

size_t toplist_select(struct toplist *l, enum top_order order, const char *filter,
                      struct toprun *const **out)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (matches(l->by_id[i], filter))
            l->wanted[n++] = l->by_id[i];
    }
    if (n > 1)
        qsort_r(l->wanted, n, sizeof(struct toprun *), compare_runs, &order);
    *out = l->wanted;
    return n;
}

size_t toplist_count(const struct toplist *l, size_t *n_open)
{
    *n_open = 0;
    for (size_t i = 0; i < l->n; i++)
        *n_open += is_open(l->by_id[i]);
    return l->n;
}

double toprun_rate(const struct toprun *r, double now_s)
{
    double time_s = now_s - r->then.time_s;

    if (!is_open(r) || time_s < RATE_LEAST_S || r->then.time_s == 0)
        return (double)NAN;
    return fmax(0, r->now.n - r->then.n) / time_s;
}
